package org.vmcheck.testing;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Writes ELF cores of either class and byte order: segments in the order given, with memory tails
/// that are not in the file, overlaps, and more program headers than `e_phnum` can count.
public final class ElfWriter {
  private static final int EM_386 = 3;
  private static final int EM_X86_64 = 62;
  private static final int EM_S390 = 22;
  private static final int EM_PPC = 20;

  @SuppressWarnings("ArrayRecordComponent") // one writer, thrown away after use
  private record Load(long paddr, long vaddr, byte[] data, long memorySize) {}

  @SuppressWarnings("ArrayRecordComponent") // one writer, thrown away after use
  private record Note(String name, int type, byte[] desc) {}

  private final boolean is64;
  private final List<Load> loads = new ArrayList<>();
  private final List<Note> notes = new ArrayList<>();
  private boolean bigEndian;
  private int machine;
  private int type = 4;
  private int flags;
  private int align = 4096;
  private boolean extendedCount;

  private ElfWriter(boolean is64) {
    this.is64 = is64;
    this.machine = is64 ? EM_X86_64 : EM_386;
  }

  public static ElfWriter of64() {
    return new ElfWriter(true);
  }

  public static ElfWriter of32() {
    return new ElfWriter(false);
  }

  public ElfWriter bigEndian() {
    bigEndian = true;
    machine = is64 ? EM_S390 : EM_PPC;
    return this;
  }

  public ElfWriter machine(int value) {
    machine = value;
    return this;
  }

  public ElfWriter type(int value) {
    type = value;
    return this;
  }

  /// makedumpfile's mark in `e_flags`: the writer ran out of space.
  public ElfWriter incomplete() {
    flags |= 1;
    return this;
  }

  /// Alignment of segment data in the file; QEMU's is none.
  public ElfWriter align(int bytes) {
    align = bytes;
    return this;
  }

  /// A file as Xen's `xl dump-core` writes it: no program headers, the pages in sections.
  public static byte[] xenDumpCore(byte[] page) {
    String names = "\0.shstrtab\0.note.Xen\0.xen_pages\0";
    ByteWriter out = new ByteWriter(false);
    out.put(0, new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1});
    out.u16(16, 4).u16(18, EM_X86_64).u32(20, 1).u64(40, 64).u16(52, 64);
    out.u16(58, 64).u16(60, 4).u16(62, 1).extendTo(64 + 4 * 64);
    section(out, 1, 1, 3, 512, names.length());
    section(out, 2, names.indexOf(".note"), 7, 1024, 0);
    section(out, 3, names.indexOf(".xen"), 1, 4096, page.length);
    out.put(512, names.getBytes(StandardCharsets.ISO_8859_1)).put(4096, page);
    return out.toBytes();
  }

  private static void section(
      ByteWriter out, int index, int name, int type, long offset, long byteCount) {
    long at = 64 + 64L * index;
    out.u32(at, name).u32(at + 4, type).u64(at + 24, offset).u64(at + 32, byteCount);
  }

  /// The count of program headers in section header 0, whatever it is.
  public ElfWriter extendedCount() {
    extendedCount = true;
    return this;
  }

  public ElfWriter load(long paddr, byte[] data) {
    return load(paddr, paddr, data, data.length);
  }

  /// @param memorySize `p_memsz`; what it has over the data is a tail that is not in the file
  public ElfWriter load(long paddr, long vaddr, byte[] data, long memorySize) {
    loads.add(new Load(paddr, vaddr, data, memorySize));
    return this;
  }

  /// Memory that was left out.
  public ElfWriter excluded(long paddr, long byteCount) {
    return load(paddr, paddr, new byte[0], byteCount);
  }

  public ElfWriter note(String name, int noteType, byte[] desc) {
    notes.add(new Note(name, noteType, desc));
    return this;
  }

  public ElfWriter vmcoreinfo(String text) {
    return note("VMCOREINFO", 0, text.getBytes(StandardCharsets.ISO_8859_1));
  }

  public Path write(Path directory) throws IOException {
    return write(directory, "vmcore");
  }

  public Path write(Path directory, String name) throws IOException {
    return Files.write(directory.resolve(name), bytes());
  }

  public byte[] bytes() {
    ByteWriter out = new ByteWriter(bigEndian);
    Notes area = new Notes(bigEndian);
    for (Note note : notes) {
      area.add(note.name, note.type, note.desc);
    }
    byte[] noteBytes = area.toBytes();
    int count = loads.size() + (noteBytes.length > 0 ? 1 : 0);
    int headerSize = is64 ? 64 : 52;
    int entrySize = is64 ? 56 : 32;
    int sectionSize = is64 ? 64 : 40;
    boolean extended = extendedCount || count >= 0xffff;
    long sectionAt = headerSize + (long) count * entrySize;
    long at = sectionAt + (extended ? sectionSize : 0);

    out.put(0, new byte[] {0x7f, 'E', 'L', 'F', (byte) (is64 ? 2 : 1), (byte) (bigEndian ? 2 : 1)});
    out.number(6, 1, 1).u16(16, type).u16(18, machine).u32(20, 1);
    word(out, is64 ? 32 : 28, headerSize);
    word(out, is64 ? 40 : 32, extended ? sectionAt : 0);
    int tail = is64 ? 48 : 36;
    out.u32(tail, flags).u16(tail + 4, headerSize).u16(tail + 6, entrySize);
    out.u16(tail + 8, extended ? 0xffff : count);
    out.u16(tail + 10, sectionSize).u16(tail + 12, extended ? 1 : 0).extendTo(headerSize);
    if (extended) {
      out.extendTo(sectionAt + sectionSize);
      word(out, sectionAt + (is64 ? 32 : 20), 1);
      out.u32(sectionAt + (is64 ? 44 : 28), count);
    }

    long entry = headerSize;
    if (noteBytes.length > 0) {
      program(out, entry, 4, at, 0, 0, noteBytes.length, noteBytes.length);
      out.put(at, noteBytes);
      at += noteBytes.length;
      entry += entrySize;
    }
    for (Load load : loads) {
      if (load.data.length > 0) {
        at = (at + align - 1) / align * align;
      }
      program(
          out,
          entry,
          1,
          load.data.length == 0 ? 0 : at,
          load.vaddr,
          load.paddr,
          load.data.length,
          load.memorySize);
      out.put(load.data.length == 0 ? 0 : at, load.data);
      at += load.data.length;
      entry += entrySize;
    }
    return out.toBytes();
  }

  private void program(
      ByteWriter out,
      long at,
      int segmentType,
      long offset,
      long vaddr,
      long paddr,
      long fileSize,
      long memorySize) {
    out.u32(at, segmentType);
    if (is64) {
      out.u32(at + 4, 7).u64(at + 8, offset).u64(at + 16, vaddr).u64(at + 24, paddr);
      out.u64(at + 32, fileSize).u64(at + 40, memorySize).u64(at + 48, 0);
    } else {
      out.u32(at + 4, offset).u32(at + 8, vaddr).u32(at + 12, paddr);
      out.u32(at + 16, fileSize).u32(at + 20, memorySize).u32(at + 24, 7).u32(at + 28, 0);
    }
  }

  private void word(ByteWriter out, long at, long value) {
    out.number(at, value, is64 ? 8 : 4);
  }
}
