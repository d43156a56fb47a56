package org.vmcheck.fuzz;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import net.jpountz.lz4.LZ4FrameOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorOutputStream;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MappedFile;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.testing.BootImageWriter;
import org.vmcheck.testing.BtfWriter;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.KallsymsWriter;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;

/// The readers of binary files: page codecs, dump formats, packed files, VMCOREINFO, BTF, kallsyms,
/// ELF and DWARF, boot images.
final class ReaderTargets {
  private static final long TEXT = 0xffffffff81000000L;

  private final Path directory;

  /// @param directory for the files that are read
  ReaderTargets(Path directory) {
    this.directory = directory;
  }

  List<Target> all() {
    List<Target> targets = new ArrayList<>();
    for (Packer packer : Packer.values()) {
      PageCodec codec = Codecs.byFlag(packer.flag()).orElseThrow();
      targets.add(
          new Target(
              "codec-" + codec.name(),
              () -> Stream.of(0, 1, 2).map(seed -> packer.pack(Bytes.mixed(seed))).toList(),
              input -> codec.decode(input, input.length, new byte[4096], 4096)));
    }
    targets.add(
        new Target(
            "kdump",
            () ->
                List.of(
                    kdump(6).bytes(),
                    kdump(1).bytes(),
                    kdump(3).bits32Packed().bytes(),
                    kdump(5).bits32Natural().bigEndian().bytes()),
            this::dump));
    targets.add(
        new Target(
            "elf-core",
            () ->
                List.of(
                    elf(ElfWriter.of64()),
                    elf(ElfWriter.of32().bigEndian()),
                    elf(ElfWriter.of64().extendedCount()),
                    // Found by fuzzing: memory without end was searched for symbols.
                    elf(ElfWriter.of64().excluded(1L << 40, 1L << 48))),
            this::dump));
    targets.add(
        new Target(
            "flattened",
            () -> List.of(FlattenedWriter.of(kdump(6).bytes(), 3000).shuffled(1).bytes()),
            this::dump));
    targets.add(new Target("diskdump", () -> List.of(diskdump()), this::dump));
    targets.add(split());
    targets.add(new Target("packed", ReaderTargets::packed, this::dump));
    targets.add(
        new Target(
            "vmcoreinfo", () -> List.of(INFO.getBytes(ISO_8859_1)), ReaderTargets::vmcoreinfo));
    targets.add(
        new Target(
            "btf", () -> List.of(btf()), input -> BtfTypes.parse(ByteView.of("btf", input))));
    targets.add(kallsyms());
    targets.add(new Target("elf-and-dwarf", ReaderTargets::files, this::elfFile));
    targets.add(
        new Target(
            "boot-image",
            () -> {
              List<byte[]> images = new ArrayList<>();
              for (BootImageWriter writer : BootImageWriter.values()) {
                images.add(writer.image(files().getLast()));
              }
              return images;
            },
            this::elfFile));
    return targets;
  }

  private static byte[] diskdump() {
    byte[] bytes = kdump(1).bytes();
    System.arraycopy("DISKDUMP".getBytes(US_ASCII), 0, bytes, 0, 8);
    return bytes;
  }

  private static List<byte[]> packed() throws IOException {
    byte[] kdump = kdump(6).bytes();
    List<byte[]> packed = new ArrayList<>();
    for (Wrap wrap : WRAPS) {
      packed.add(pack(wrap, kdump));
    }
    packed.add(tar(kdump));
    packed.add(pack(GZIPOutputStream::new, tar(elf(ElfWriter.of64()))));
    packed.add(pack(ReaderTargets::zipEntry, kdump));
    return packed;
  }

  private static List<byte[]> files() throws IOException {
    List<byte[]> files = new ArrayList<>();
    files.add(elf(ElfWriter.of64()));
    for (String name : DWARF) {
      try (InputStream in = ReaderTargets.class.getResourceAsStream("/dwarf/" + name)) {
        files.add(in.readAllBytes());
      }
    }
    return files;
  }

  private static final List<String> DWARF =
      List.of(
          "dwarf2",
          "dwarf4",
          "dwarf5",
          "dwarf5-64",
          "dwarf5-types",
          "dwarf5-zlib",
          "dwarf5-zstd",
          "clang5",
          "split.debug");

  @FunctionalInterface
  interface Wrap {
    OutputStream around(OutputStream out) throws IOException;
  }

  private static final List<Wrap> WRAPS =
      List.of(
          GZIPOutputStream::new,
          out -> new XZOutputStream(out, new LZMA2Options(1)),
          ZstdOutputStream::new,
          out -> new LZ4FrameOutputStream(out, LZ4FrameOutputStream.BLOCKSIZE.SIZE_64KB),
          out -> new BZip2CompressorOutputStream(out, 1));

  private static byte[] pack(Wrap wrap, byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (OutputStream packed = wrap.around(out)) {
      packed.write(bytes);
    }
    return out.toByteArray();
  }

  private static OutputStream zipEntry(OutputStream out) throws IOException {
    ZipOutputStream zip = new ZipOutputStream(out);
    zip.putNextEntry(new ZipEntry("vmcore"));
    return zip;
  }

  /// The first of two parts is changed.
  private Target split() {
    return new Target(
        "split",
        () -> List.of(Files.readAllBytes(kdump(6).writeSplit(directory, 4).getFirst())),
        input -> {
          Path last = directory.resolve("last");
          if (!Files.exists(last)) {
            Files.copy(kdump(6).writeSplit(directory, 4).getLast(), last);
          }
          read(List.of(last, Files.write(directory.resolve("input"), input)));
        });
  }

  private static final String INFO =
      """
      OSRELEASE=6.1.0-test
      PAGESIZE=4096
      SYMBOL(swapper_pg_dir)=ffffffff81001000
      SYMBOL(init_uts_ns)=ffffffff81002000
      SYMBOL(_stext)=ffffffff81000000
      NUMBER(phys_base)=-16777216
      SIZE(page)=64
      OFFSET(page.flags)=0
      KERNELOFFSET=0
      """;

  private static KdumpWriter kdump(int version) {
    return KdumpWriter.version(version)
        .vmcoreinfo(INFO)
        .zlib(1, Bytes.mixed(1))
        .lzo(2, Bytes.mixed(2))
        .snappy(3, Bytes.mixed(3))
        .zstd(4, Bytes.mixed(4))
        .raw(5, Bytes.mixed(5))
        .excluded(6)
        .zero(7)
        .zero(8);
  }

  private static byte[] elf(ElfWriter writer) {
    return writer
        .vmcoreinfo(INFO)
        .note("QEMU", 0, new byte[440])
        .load(0x1000, Bytes.mixed(1, 8192))
        .load(0x2000, 0, Bytes.mixed(2), 0x4000)
        .bytes();
  }

  private static byte[] tar(byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (TarArchiveOutputStream tar = new TarArchiveOutputStream(out)) {
      TarArchiveEntry entry = new TarArchiveEntry("vmcore");
      entry.setSize(bytes.length);
      tar.putArchiveEntry(entry);
      tar.write(bytes);
      tar.closeArchiveEntry();
    }
    return out.toByteArray();
  }

  private static byte[] btf() {
    BtfWriter writer = new BtfWriter();
    int u64 = writer.integer("long unsigned int", 8, false);
    int page =
        writer.struct(
            "page", 64, BtfWriter.Field.at("flags", u64, 0), BtfWriter.Field.bits("b", u64, 70, 3));
    writer.pointer(page);
    writer.typedef("page_t", page);
    writer.array(page, u64, 16);
    return writer.build();
  }

  private static Target kallsyms() {
    KallsymsWriter.Image[] image = new KallsymsWriter.Image[1];
    return new Target(
        "kallsyms",
        () -> List.of(kallsymsImage().bytes().clone()),
        input -> {
          if (image[0] == null) {
            image[0] = kallsymsImage();
          }
          // The tables are views of the image's own bytes.
          byte[] own = image[0].bytes();
          System.arraycopy(Arrays.copyOf(input, own.length), 0, own, 0, own.length);
          Kallsyms.decode(image[0].tables(), OptionalLong.of(TEXT));
        });
  }

  private static KallsymsWriter.Image kallsymsImage() {
    List<Symbol> symbols = new ArrayList<>();
    symbols.add(new Symbol("_stext", 'T', TEXT));
    for (int i = 0; i < 100; i++) {
      symbols.add(new Symbol("sys_" + i * 7919 % 1000, 't', TEXT + 0x100 + 0x40L * i));
    }
    return KallsymsWriter.as61(symbols).relativeBase(TEXT).at(0xffffffff82000000L);
  }

  private void dump(byte[] input) throws IOException {
    read(List.of(Files.write(directory.resolve("input"), input)));
  }

  private void read(List<Path> files) throws IOException {
    OpenOptions options = new OpenOptions(directory, 1 << 20, (what, done, total) -> {});
    try (Dump dump = Dumps.open(files, options)) {
      PageBuffer page = PageBuffer.of(dump.memory());
      for (long pfn = 0; pfn < 16; pfn++) {
        dump.memory().read(pfn);
        dump.memory().readInto(pfn, page);
        dump.memory().defect(pfn);
      }
      dump.eraseinfo();
      dump.audit();
      KernelFinder.find(dump);
    }
  }

  private static void vmcoreinfo(byte[] input) {
    Vmcoreinfo info = Vmcoreinfo.parse(new String(input, ISO_8859_1));
    info.release();
    info.symbol("_stext");
    info.number("phys_base");
    info.size("page");
    info.kernelOffset();
  }

  private void elfFile(byte[] input) throws IOException {
    Path file = Files.write(directory.resolve("elf"), input);
    try (MappedFile map = MappedFile.open(file)) {
      if (ElfFile.probe(map)) {
        ElfFile elf = ElfFile.open(map);
        elf.notes();
        elf.sections();
      }
    }
    Vmlinux vmlinux = Vmlinux.open(file);
    vmlinux.identity();
    vmlinux.symbols();
    Optional<Types> types = vmlinux.types(DebugSources.DEFAULT.ignoring(DebugSources.Kind.PLACES));
    if (types.isPresent()) {
      for (String name : List.of("slab", "kmem_cache", "twin")) {
        for (StructLayout layout : types.get().structs(name)) {
          layout.member("fc.counters");
          layout.member("lists.next");
        }
      }
      types.get().enumerator("", "PLUS");
      types.get().typedefSize("atomic_long_t");
    }
  }
}
