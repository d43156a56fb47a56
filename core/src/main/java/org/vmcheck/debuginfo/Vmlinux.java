package org.vmcheck.debuginfo;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.regex.Pattern;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSection;
import org.vmcheck.elf.ElfSections;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;

/// The file of a kernel: a vmlinux with or without debug information, a separate file of it, the
/// vmlinux unpacked from a bootable image, or the flat image of arm64. Nothing of it is read before
/// it is asked for.
public final class Vmlinux {
  private static final Set<Integer> MACHINES = Set.of(ElfFile.EM_X86_64, ElfFile.EM_AARCH64);

  /// Below the image of any of these, and above the offsets of per-CPU symbols.
  private static final long LEAST_ADDRESS = 0xffff_0000_0000_0000L;

  private static final byte[] BANNER = "Linux version ".getBytes(StandardCharsets.ISO_8859_1);
  private static final int MAX_BANNER = 512;
  private static final Pattern NUMBERED = Pattern.compile(" #\\d");

  /// The name of the one part of a flat image.
  public static final String FLAT = "image";

  private final Path path;
  private final ElfSections sections;

  /// The image of arm64, from its first byte to the end of its data; empty in an ELF file.
  private final Optional<ByteView> flat;

  private Vmlinux(Path path, ElfSections sections, Optional<ByteView> flat) {
    this.path = path;
    this.sections = sections;
    this.flat = flat;
  }

  /// Opens an ELF file, or unpacks the one in a bootable image.
  ///
  /// @throws IOException if it cannot be read, or is no kernel's file
  public static Vmlinux open(Path path) throws IOException {
    FileBytes file = FileBytes.map(path);
    return of(path, ElfFile.probe(file) ? file : BootImage.unpack(file));
  }

  static Vmlinux of(Path path, ByteSource bytes) throws IOException {
    ByteView start = bytes.view("start", 0, Math.min(bytes.size(), FlatImage.HEADER), false);
    if (FileMagic.ARM64_IMAGE.startsWith(start)) {
      ByteView whole = bytes.view("image", 0, bytes.size(), false);
      return new Vmlinux(path, null, Optional.of(whole));
    }
    ElfFile file = ElfFile.open(bytes);
    if (!MACHINES.contains(file.machine()) || !file.is64() || file.isBigEndian()) {
      throw new UnsupportedFormatException(
          "[%s] is an ELF file for machine %d, not of a 64-bit kernel of x86 or arm64"
              .formatted(file.name(), file.machine()));
    }
    return new Vmlinux(path, new ElfSections(file), Optional.empty());
  }

  public Path path() {
    return path;
  }

  ElfSections sections() {
    return sections;
  }

  /// A section that the kernel has in memory, as the linker left it.
  ///
  /// @param vaddr where it is linked to
  public record Part(String name, long vaddr, ByteView bytes) {
    /// Whether it has these addresses.
    public boolean has(long from, long byteCount) {
      return from >= vaddr && byteCount <= bytes.size() && from - vaddr <= bytes.size() - byteCount;
    }
  }

  /// The sections with an address and bytes in this file, in the file's order.
  ///
  /// A flat image is one part, named [#FLAT], whose address is not told: 0.
  public List<Part> parts() throws IOException {
    return flat.isPresent() ? List.of(new Part(FLAT, 0, flat.get())) : parts(sections);
  }

  /// The same of an ELF file that lies in another, as the vDSO does.
  ///
  /// @throws IOException if it is none
  public static List<Part> parts(ByteView file) throws IOException {
    return parts(new ElfSections(ElfFile.open(new FileBytes(file.file(), file.segment()))));
  }

  private static List<Part> parts(ElfSections sections) throws IOException {
    List<Part> parts = new ArrayList<>();
    for (ElfSection section : sections.all()) {
      if (section.address() != 0 && section.type() != ElfSection.SHT_NOBITS && section.size() > 0) {
        parts.add(new Part(section.name(), section.address(), sections.file().bytes(section)));
      }
    }
    return parts;
  }

  /// Whose file it is.
  public KernelIdentity identity() throws IOException {
    return new KernelIdentity(buildId(), banner());
  }

  private String buildId() throws IOException {
    if (flat.isPresent()) {
      return FlatImage.buildId(flat.get()).flatMap(KernelIdentity::buildId).orElse("");
    }
    for (ElfSection section : sections.all()) {
      if (section.type() == ElfSection.SHT_NOTE && section.size() < 1 << 20) {
        Optional<String> id = KernelIdentity.buildId(sections.file().bytes(section));
        if (id.isPresent()) {
          return id.get();
        }
      }
    }
    return "";
  }

  /// The banner as it stands in the read-only data; empty in a file of debug information only.
  private String banner() throws IOException {
    Optional<ByteView> data = flat.isPresent() ? flat : sections.bytes(".rodata");
    if (data.isEmpty()) {
      return "";
    }
    MemorySegment bytes = data.get().segment();
    byte[] chunk = new byte[1 << 16];
    String first = "";
    for (long at = 0; at < bytes.byteSize(); at += chunk.length - BANNER.length) {
      int count = (int) Math.min(chunk.length, bytes.byteSize() - at);
      MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, at, chunk, 0, count);
      for (int i = 0; i < count - BANNER.length; i++) {
        // Format strings such as "Linux version %s" are no banner.
        if (chunk[i] == 'L' && isBanner(chunk, i)) {
          String text = KernelIdentity.bannerText(data.get().string(at + i, MAX_BANNER));
          // Since 6.1 a draft of it without build number and date stands beside it.
          if (NUMBERED.matcher(text).find()) {
            return text;
          }
          first = first.isEmpty() ? text : first;
        }
      }
    }
    return first;
  }

  private static boolean isBanner(byte[] bytes, int at) {
    for (int i = 0; i < BANNER.length; i++) {
      if (bytes[at + i] != BANNER[i]) {
        return false;
      }
    }
    return Character.isDigit(bytes[at + BANNER.length]);
  }

  /// The symbols at the addresses that they are linked at: from the symbol table, else from
  /// kallsyms in the read-only data; empty if it has neither, or is a flat image, whose addresses
  /// are not told.
  public Optional<Symbols> symbols() throws IOException {
    if (flat.isPresent()) {
      return Optional.empty();
    }
    Optional<Symbols> table = SymbolTable.read(sections);
    return table.isPresent() ? table : kallsyms();
  }

  private Optional<Symbols> kallsyms() throws IOException {
    Optional<ByteView> data = sections.bytes(".rodata");
    if (data.isEmpty()) {
      return Optional.empty();
    }
    ByteView view = data.get();
    long start = sections.section(".rodata").orElseThrow().address();
    KallsymsSearch.Image image =
        (position, byteCount) -> {
          long at = position - start;
          return at < 0 || byteCount < 0 || at > view.size() - byteCount
              ? null
              : view.slice("kallsyms", at, byteCount);
        };
    long last = 0;
    for (long at = KallsymsSearch.findTrace(view.segment(), 0);
        at >= 0;
        at = KallsymsSearch.findTrace(view.segment(), at + 8)) {
      OptionalLong digits = KallsymsSearch.digitsAround(image, start + at);
      if (digits.isEmpty() || digits.getAsLong() == last) {
        continue;
      }
      last = digits.getAsLong();
      for (KallsymsSearch.Located located : KallsymsSearch.at(image, last)) {
        try {
          return Optional.of(located.symbols(0, OptionalLong.empty()));
        } catch (MalformedFileException _) {
          // Another reading of the same tables may fit.
        }
      }
    }
    return Optional.empty();
  }

  /// The symbols of a kernel that runs `offset` bytes above where it is linked. Per-CPU symbols of
  /// kernels before 6.15 are offsets, which do not move.
  public static Symbols relocate(Symbols linked, long offset) {
    return linked.shifted(offset, LEAST_ADDRESS);
  }

  /// The types: of BTF if the file has it, else of DWARF; empty if it has neither.
  public Optional<Types> types(DebugSources sources) throws IOException {
    if (!sources.ignores(DebugSources.Kind.BTF)) {
      Optional<ByteView> btf =
          flat.isPresent() ? FlatImage.btf(flat.get()) : sections.bytes(".BTF");
      if (btf.isPresent()) {
        return Optional.of(BtfTypes.parse(btf.get()));
      }
    }
    if (flat.isPresent()) {
      return Optional.empty();
    }
    if (DwarfTypes.isIn(sections)) {
      return Optional.of(DwarfTypes.open(sections));
    }
    Optional<Vmlinux> separate = separateDebugFile(sources);
    return separate.isPresent()
        ? Optional.of(DwarfTypes.open(separate.get().sections))
        : Optional.empty();
  }

  /// The file with the DWARF that was split off this one, as its build id or `.gnu_debuglink` names
  /// it.
  private Optional<Vmlinux> separateDebugFile(DebugSources sources) throws IOException {
    String id = buildId();
    List<Path> candidates = new ArrayList<>(DebugPlaces.byBuildId(sources, id));
    Optional<ByteView> link = sections.bytes(".gnu_debuglink");
    if (link.isPresent()) {
      candidates.addAll(DebugPlaces.byLink(sources, path, link.get().string(0, 256)));
    }
    for (Path candidate : candidates) {
      Vmlinux found = open(candidate);
      if (DwarfTypes.isIn(found.sections) && found.buildId().equals(id)) {
        return Optional.of(found);
      }
    }
    return Optional.empty();
  }
}
