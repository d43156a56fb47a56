package org.vmcheck.elf;

import com.github.luben.zstd.ZstdInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.zip.InflaterInputStream;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;

/// The sections of an ELF file by name, compressed ones expanded when asked for.
///
/// Both forms of compression are read: SHF_COMPRESSED (ELF gABI; zlib, zstd) and the older
/// `.zdebug_*` of GNU.
public final class ElfSections {
  private static final int CHDR_BYTES = 24;
  private static final int ELFCOMPRESS_ZLIB = 1;
  private static final int ELFCOMPRESS_ZSTD = 2;

  /// Debug information of the largest kernels is below a gigabyte.
  private static final long MAX_EXPANDED = 4L << 30;

  /// No compressor reaches this on more than a page of zeros.
  private static final long MAX_RATIO = 5000;

  private final ElfFile file;
  private final Map<String, ElfSection> byName = new LinkedHashMap<>();

  /// Of two sections of one name the first counts.
  public ElfSections(ElfFile file) throws IOException {
    this.file = file;
    for (ElfSection section : file.sections()) {
      byName.putIfAbsent(section.name(), section);
    }
  }

  public ElfFile file() {
    return file;
  }

  public Iterable<ElfSection> all() {
    return byName.values();
  }

  public Optional<ElfSection> section(String name) {
    return Optional.ofNullable(byName.get(name));
  }

  /// The bytes of a section, expanded; empty if there is no such section or it has no bytes in this
  /// file.
  ///
  /// @throws MalformedFileException if the section leaves the file or does not expand
  public Optional<ByteView> bytes(String name) throws IOException {
    ElfSection plain = byName.get(name);
    if (plain != null && plain.type() != ElfSection.SHT_NOBITS && plain.size() > 0) {
      ByteView raw = file.bytes(plain);
      return Optional.of(
          (plain.flags() & ElfSection.SHF_COMPRESSED) != 0 ? expandCompressed(name, raw) : raw);
    }
    if (name.startsWith(".debug_")) {
      ElfSection old = byName.get(".zdebug_" + name.substring(".debug_".length()));
      if (old != null && old.type() != ElfSection.SHT_NOBITS) {
        return Optional.of(expandOld(name, file.bytes(old)));
      }
    }
    return Optional.empty();
  }

  private ByteView expandCompressed(String name, ByteView raw) throws IOException {
    int header = file.is64() ? CHDR_BYTES : 12;
    if (raw.size() < header) {
      throw raw.malformed("Chdr", 0, header + " bytes", raw.size() + " bytes");
    }
    int type = raw.i32(0);
    long size = file.is64() ? raw.u64(8) : raw.u32(4);
    ByteView stream = raw.slice(name, header, raw.size() - header);
    return switch (type) {
      case ELFCOMPRESS_ZLIB ->
          expand(name, stream, size, new InflaterInputStream(new SegmentInput(stream.segment())));
      case ELFCOMPRESS_ZSTD ->
          expand(name, stream, size, new ZstdInputStream(new SegmentInput(stream.segment())));
      default ->
          throw new UnsupportedFormatException(
              "[%s] section %s is compressed in a way not read here: ch_type %d"
                  .formatted(file.name(), name, type));
    };
  }

  /// `ZLIB`, the size as a big-endian number, and a zlib stream.
  private ByteView expandOld(String name, ByteView raw) throws IOException {
    if (raw.size() < 12 || !raw.string(0, 4).equals("ZLIB")) {
      throw raw.malformed("magic", 0, "ZLIB and a size", "other bytes");
    }
    long size = raw.u64(4);
    size = raw.isBigEndian() ? size : Long.reverseBytes(size);
    ByteView stream = raw.slice(name, 12, raw.size() - 12);
    return expand(name, stream, size, new InflaterInputStream(new SegmentInput(stream.segment())));
  }

  @SuppressWarnings("MustBeClosedChecker") // released when no view of it is left
  private ByteView expand(String name, ByteView stream, long size, InputStream input)
      throws IOException {
    try (input) {
      if (size < 0 || size > MAX_EXPANDED || size / MAX_RATIO > stream.size()) {
        throw stream.malformed(
            "expanded size",
            0,
            "at most " + Math.min(MAX_EXPANDED, stream.size() * MAX_RATIO),
            Long.toUnsignedString(size));
      }
      MemorySegment whole = Arena.ofAuto().allocate(Math.max(1, size), 8).asSlice(0, size);
      byte[] buffer = new byte[1 << 16];
      long done = 0;
      while (done < size) {
        int count = input.read(buffer, 0, (int) Math.min(buffer.length, size - done));
        if (count <= 0) {
          throw stream.malformed("stream", 0, size + " bytes expanded", done + " bytes");
        }
        MemorySegment.copy(buffer, 0, whole, ValueLayout.JAVA_BYTE, done, count);
        done += count;
      }
      return new ByteView(file.name(), name, whole, 0, file.isBigEndian());
    } catch (MalformedFileException e) {
      throw e;
    } catch (IOException e) {
      throw stream.malformed("stream", 0, "compressed bytes", String.valueOf(e.getMessage()));
    }
  }

  /// Bytes of a map as a stream: native decompressors get copies, never the map.
  private static final class SegmentInput extends InputStream {
    private final MemorySegment segment;
    private long position;

    SegmentInput(MemorySegment segment) {
      this.segment = segment;
    }

    @Override
    public int read() {
      return position < segment.byteSize()
          ? segment.get(ValueLayout.JAVA_BYTE, position++) & 0xff
          : -1;
    }

    @Override
    public int read(byte[] into, int at, int byteCount) {
      int count = (int) Math.min(byteCount, segment.byteSize() - position);
      if (count <= 0) {
        return byteCount == 0 ? 0 : -1;
      }
      MemorySegment.copy(segment, ValueLayout.JAVA_BYTE, position, into, at, count);
      position += count;
      return count;
    }
  }
}
