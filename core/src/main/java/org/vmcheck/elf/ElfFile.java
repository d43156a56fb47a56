package org.vmcheck.elf;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;

/// An ELF file of either class and byte order: headers, notes and sections. It knows nothing of
/// kernels.
public final class ElfFile {
  public static final int ET_REL = 1;
  public static final int ET_EXEC = 2;
  public static final int ET_DYN = 3;
  public static final int ET_CORE = 4;
  public static final int EM_386 = 3;
  public static final int EM_X86_64 = 62;
  public static final int EM_AARCH64 = 183;

  /// `e_phnum` that says: the count stands in `sh_info` of section 0.
  private static final int PN_XNUM = 0xffff;

  /// A header table beyond this many entries is refused: each takes 72 bytes of memory.
  /// makedumpfile writes one segment for each run of 256 excluded pages.
  private static final int MAX_ENTRIES = 1 << 20;

  private static final int MAX_NOTES = 65536;

  private final ByteSource source;
  private final boolean is64;
  private final boolean bigEndian;
  private final int type;
  private final int machine;
  private final long flags;
  private final List<ElfSegment> segments;
  private final ByteView header;

  private ElfFile(
      ByteSource source,
      ByteView header,
      boolean is64,
      boolean bigEndian,
      List<ElfSegment> segments) {
    this.source = source;
    this.header = header;
    this.is64 = is64;
    this.bigEndian = bigEndian;
    this.segments = segments;
    this.type = header.u16(16);
    this.machine = header.u16(18);
    this.flags = header.u32(is64 ? 48 : 36);
  }

  /// Whether the file begins with the ELF magic.
  public static boolean probe(ByteSource source) throws IOException {
    return FileMagic.ELF.startsWith(source.view("magic", 0, Math.min(4, source.size()), false));
  }

  /// Reads the header and the program headers.
  public static ElfFile open(ByteSource source) throws IOException {
    if (!probe(source)) {
      throw new UnsupportedFormatException("[" + source.name() + "] not an ELF file");
    }
    ByteView ident = source.view("e_ident", 0, Math.min(16, source.size()), false);
    if (ident.size() < 16) {
      throw ident.malformed("length", 0, "at least 16 bytes", ident.size() + " (file truncated?)");
    }
    int elfClass = ident.u8(4);
    int data = ident.u8(5);
    if (elfClass != 1 && elfClass != 2) {
      throw ident.malformed("EI_CLASS", 4, "1 (32-bit) or 2 (64-bit)", Integer.toString(elfClass));
    }
    if (data != 1 && data != 2) {
      throw ident.malformed(
          "EI_DATA", 5, "1 (little endian) or 2 (big endian)", Integer.toString(data));
    }
    boolean is64 = elfClass == 2;
    boolean bigEndian = data == 2;
    int headerSize = is64 ? 64 : 52;
    if (source.size() < headerSize) {
      throw ident.malformed(
          "length", 0, "at least " + headerSize + " bytes", source.size() + " (file truncated?)");
    }
    ByteView header = source.view("Ehdr", 0, headerSize, bigEndian);
    return new ElfFile(
        source, header, is64, bigEndian, readSegments(source, header, is64, bigEndian));
  }

  private static List<ElfSegment> readSegments(
      ByteSource source, ByteView header, boolean is64, boolean bigEndian) throws IOException {
    int entrySize = is64 ? 56 : 32;
    long tableOffset = is64 ? header.u64(32) : header.u32(28);
    long count = header.u16(is64 ? 56 : 44);
    if (count == 0) {
      return List.of();
    }
    int claimedSize = header.u16(is64 ? 54 : 42);
    if (claimedSize != entrySize) {
      throw header.malformed(
          "e_phentsize",
          is64 ? 54 : 42,
          Integer.toString(entrySize),
          Integer.toString(claimedSize));
    }
    if (count == PN_XNUM) {
      count = extendedCount(source, header, is64, bigEndian);
    }
    if (count > MAX_ENTRIES) {
      throw header.malformed(
          "e_phnum", is64 ? 56 : 44, "at most " + MAX_ENTRIES + " program headers", "" + count);
    }
    if (tableOffset < 0 || tableOffset > source.size() - count * entrySize) {
      throw header.malformed(
          "e_phoff",
          is64 ? 32 : 28,
          count + " program headers of " + entrySize + " bytes within " + source.size() + " bytes",
          "0x" + Long.toHexString(tableOffset) + " (file truncated?)");
    }
    ByteView table = source.view("Phdr table", tableOffset, count * entrySize, bigEndian);
    List<ElfSegment> segments = new ArrayList<>((int) count);
    for (int i = 0; i < count; i++) {
      long at = (long) i * entrySize;
      segments.add(
          is64
              ? new ElfSegment(
                  table.i32(at),
                  table.i32(at + 4),
                  table.u64(at + 8),
                  table.u64(at + 16),
                  table.u64(at + 24),
                  table.u64(at + 32),
                  table.u64(at + 40))
              : new ElfSegment(
                  table.i32(at),
                  table.i32(at + 24),
                  table.u32(at + 4),
                  table.u32(at + 8),
                  table.u32(at + 12),
                  table.u32(at + 16),
                  table.u32(at + 20)));
    }
    return List.copyOf(segments);
  }

  private static long extendedCount(
      ByteSource source, ByteView header, boolean is64, boolean bigEndian) throws IOException {
    long sectionTable = is64 ? header.u64(40) : header.u32(32);
    int sectionSize = is64 ? 64 : 40;
    int claimed = header.u16(is64 ? 58 : 46);
    if (claimed != sectionSize) {
      throw header.malformed(
          "e_shentsize",
          is64 ? 58 : 46,
          sectionSize + " (the count of program headers stands in section 0)",
          Integer.toString(claimed));
    }
    if (sectionTable <= 0 || sectionTable > source.size() - sectionSize) {
      throw header.malformed(
          "e_shoff",
          is64 ? 40 : 32,
          "section header 0 within the file (e_phnum is 0xffff)",
          "0x" + Long.toHexString(sectionTable));
    }
    return source.view("section 0", sectionTable, sectionSize, bigEndian).u32(is64 ? 44 : 28);
  }

  public String name() {
    return source.name();
  }

  public ByteSource source() {
    return source;
  }

  public boolean is64() {
    return is64;
  }

  public boolean isBigEndian() {
    return bigEndian;
  }

  /// `e_type`.
  public int type() {
    return type;
  }

  /// `e_machine`.
  public int machine() {
    return machine;
  }

  /// `e_flags`; bit 0 of a makedumpfile core says that the dump is incomplete.
  public long flags() {
    return flags;
  }

  public List<ElfSegment> segments() {
    return segments;
  }

  /// Reads the section headers with their names; empty if the file has none.
  public List<ElfSection> sections() throws IOException {
    int entrySize = is64 ? 64 : 40;
    long tableOffset = is64 ? header.u64(40) : header.u32(32);
    long count = header.u16(is64 ? 60 : 48);
    if (tableOffset == 0) {
      return List.of();
    }
    int claimed = header.u16(is64 ? 58 : 46);
    if (claimed != entrySize) {
      throw header.malformed(
          "e_shentsize", is64 ? 58 : 46, Integer.toString(entrySize), Integer.toString(claimed));
    }
    long nameIndex = header.u16(is64 ? 62 : 50);
    if (tableOffset < 0 || tableOffset > source.size() - Math.max(1, count) * entrySize) {
      throw header.malformed(
          "e_shoff",
          is64 ? 40 : 32,
          count + " section headers within " + source.size() + " bytes",
          "0x" + Long.toHexString(tableOffset) + " (file truncated?)");
    }
    if (count == 0) {
      ByteView first = source.view("section 0", tableOffset, entrySize, bigEndian);
      count = is64 ? first.u64(32) : first.u32(20);
      nameIndex = nameIndex == 0xffff ? first.u32(is64 ? 40 : 24) : nameIndex;
      if (count < 0 || count > MAX_ENTRIES || tableOffset > source.size() - count * entrySize) {
        throw first.malformed("sh_size", is64 ? 32 : 20, "a count of sections", "" + count);
      }
    }
    ByteView table = source.view("Shdr table", tableOffset, count * entrySize, bigEndian);
    ByteView names = null;
    if (nameIndex < count) {
      ElfSection strings = section(table, nameIndex * entrySize, "");
      if (strings.type() == ElfSection.SHT_STRTAB) {
        names = source.view(".shstrtab", strings.offset(), strings.size(), bigEndian);
      }
    }
    List<ElfSection> sections = new ArrayList<>((int) count);
    for (int i = 0; i < count; i++) {
      long at = (long) i * entrySize;
      long nameOffset = table.u32(at);
      String name = names != null && nameOffset < names.size() ? names.string(nameOffset, 256) : "";
      sections.add(section(table, at, name));
    }
    return sections;
  }

  private ElfSection section(ByteView table, long at, String name) {
    return is64
        ? new ElfSection(
            name,
            table.i32(at + 4),
            table.u64(at + 8),
            table.u64(at + 16),
            table.u64(at + 24),
            table.u64(at + 32),
            table.i32(at + 40),
            table.i32(at + 44),
            table.u64(at + 56))
        : new ElfSection(
            name,
            table.i32(at + 4),
            table.u32(at + 8),
            table.u32(at + 12),
            table.u32(at + 16),
            table.u32(at + 20),
            table.i32(at + 24),
            table.i32(at + 28),
            table.u32(at + 36));
  }

  public Optional<ElfSection> section(String name) throws IOException {
    return sections().stream().filter(section -> section.name().equals(name)).findFirst();
  }

  /// The notes of every PT_NOTE segment in file order. A note that overruns its segment ends that
  /// segment's list; the earlier ones are kept.
  public List<ElfNote> notes() throws IOException {
    List<ElfNote> notes = new ArrayList<>();
    for (ElfSegment segment : segments) {
      if (segment.type() == ElfSegment.PT_NOTE && notes.size() < MAX_NOTES) {
        long there = source.available(segment.offset(), segment.fileSize());
        if (there > 0) {
          parseNotes(source.view("PT_NOTE", segment.offset(), there, bigEndian), notes);
        }
      }
    }
    return notes;
  }

  /// Parses note records up to the end of the area or an all-zero record.
  public static void parseNotes(ByteView area, List<ElfNote> into) {
    long at = 0;
    while (at + 12 <= area.size() && into.size() < MAX_NOTES) {
      long nameSize = area.u32(at);
      long descSize = area.u32(at + 4);
      int type = area.i32(at + 8);
      if (nameSize == 0 && descSize == 0 && type == 0) {
        return;
      }
      long descAt = at + 12 + ((nameSize + 3) & ~3L);
      if (descAt > area.size() || descSize > area.size() - descAt) {
        return;
      }
      String name = area.string(at + 12, (int) Math.min(nameSize, 256));
      into.add(new ElfNote(name, type, area.slice("note " + name, descAt, descSize)));
      at = descAt + ((descSize + 3) & ~3L);
    }
  }

  /// The bytes of a section as they lie in the file.
  ///
  /// @throws MalformedFileException if it leaves the file
  public ByteView bytes(ElfSection section) throws IOException {
    if (section.type() == ElfSection.SHT_NOBITS) {
      throw new MalformedFileException(
          "[" + source.name() + "] section " + section.name() + " has no bytes in the file");
    }
    return source.view(section.name(), section.offset(), section.size(), bigEndian);
  }
}
