package org.vmcheck.testing;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/// Writes kdump-compressed files of header versions 1 to 6, as makedumpfile lays them out, whole or
/// as the parts of a split set, and broken ones on demand.
public final class KdumpWriter {
  /// Where the fields of the 64-bit main header stand; tests that break a field name it by these.
  public static final int HEADER_VERSION = 8;

  public static final int STATUS = 424;
  public static final int BLOCK_SIZE = 428;
  public static final int SUB_HDR_SIZE = 432;
  public static final int BITMAP_BLOCKS = 436;
  public static final int MAX_MAPNR = 440;

  private static final int INCOMPLETE = 0x8;

  /// What stands in a frame: its bytes as stored, or a reason for none.
  @SuppressWarnings("ArrayRecordComponent") // one writer, thrown away after use
  private record Frame(Kind kind, byte[] stored, int flags) {}

  private enum Kind {
    STORED,
    SHARED_ZERO,
    EXCLUDED,
    NEVER_WRITTEN
  }

  private final int version;
  private final TreeMap<Long, Frame> frames = new TreeMap<>();
  private final List<Note> notes = new ArrayList<>();
  private boolean is64 = true;
  private boolean packed = true;
  private boolean bigEndian;
  private boolean oneBitmap;
  private String machine = "x86_64";
  private String release = "6.1.0-test";
  private int blockSize = 4096;
  private int dumpLevel = 31;
  private int extraStatus;
  private long maxMapnr = -1;
  private long physBase;
  private String vmcoreinfo = "";
  private String eraseinfo = "";

  @SuppressWarnings("ArrayRecordComponent") // one writer, thrown away after use
  private record Note(String name, int type, byte[] desc) {}

  private KdumpWriter(int version) {
    this.version = version;
  }

  public static KdumpWriter version(int version) {
    return new KdumpWriter(version);
  }

  /// 32-bit headers as i386 packs them.
  public KdumpWriter bits32Packed() {
    is64 = false;
    packed = true;
    machine = "i686";
    return this;
  }

  /// 32-bit headers with naturally aligned 64-bit fields: ARM, MIPS, PowerPC.
  public KdumpWriter bits32Natural() {
    is64 = false;
    packed = false;
    machine = "armv7l";
    return this;
  }

  public KdumpWriter bigEndian() {
    bigEndian = true;
    machine = is64 ? "s390x" : "ppc";
    return this;
  }

  public KdumpWriter machine(String name) {
    machine = name;
    return this;
  }

  public KdumpWriter release(String name) {
    release = name;
    return this;
  }

  public KdumpWriter blockSize(int bytes) {
    blockSize = bytes;
    return this;
  }

  public KdumpWriter dumpLevel(int level) {
    dumpLevel = level;
    return this;
  }

  /// Adds bits to the header's status.
  public KdumpWriter status(int bits) {
    extraStatus |= bits;
    return this;
  }

  public KdumpWriter physBase(long value) {
    physBase = value;
    return this;
  }

  public KdumpWriter maxMapnr(long frames) {
    maxMapnr = frames;
    return this;
  }

  /// One bitmap only, as the oldest writers had it: every frame must be stored.
  public KdumpWriter oneBitmap() {
    oneBitmap = true;
    return this;
  }

  /// Text of VMCOREINFO: a note from version 4 on, before that a range of the sub header.
  public KdumpWriter vmcoreinfo(String text) {
    vmcoreinfo = text;
    return this;
  }

  public KdumpWriter note(String name, int type, byte[] desc) {
    notes.add(new Note(name, type, desc));
    return this;
  }

  public KdumpWriter eraseinfo(String text) {
    eraseinfo = text;
    return this;
  }

  public KdumpWriter raw(long pfn, byte[] page) {
    return stored(pfn, page, 0);
  }

  public KdumpWriter zlib(long pfn, byte[] page) {
    return packed(pfn, page, Packer.ZLIB);
  }

  public KdumpWriter lzo(long pfn, byte[] page) {
    return packed(pfn, page, Packer.LZO);
  }

  public KdumpWriter snappy(long pfn, byte[] page) {
    return packed(pfn, page, Packer.SNAPPY);
  }

  public KdumpWriter zstd(long pfn, byte[] page) {
    return packed(pfn, page, Packer.ZSTD);
  }

  /// Packed, or as it is where packing does not make it smaller.
  public KdumpWriter packed(long pfn, byte[] page, Packer packer) {
    byte[] packed = packer.pack(page);
    return packed.length < page.length ? stored(pfn, packed, packer.flag()) : raw(pfn, page);
  }

  /// Bytes exactly as given, whatever the flags say of them.
  public KdumpWriter stored(long pfn, byte[] bytes, int flags) {
    frames.put(pfn, new Frame(Kind.STORED, bytes, flags));
    return this;
  }

  /// A page of zeros: all of them share one stored page.
  public KdumpWriter zero(long pfn) {
    frames.put(pfn, new Frame(Kind.SHARED_ZERO, new byte[0], 0));
    return this;
  }

  public KdumpWriter excluded(long pfn) {
    frames.put(pfn, new Frame(Kind.EXCLUDED, new byte[0], 0));
    return this;
  }

  public KdumpWriter excluded(long from, long to) {
    for (long pfn = from; pfn < to; pfn++) {
      excluded(pfn);
    }
    return this;
  }

  /// A page whose descriptor is all zeros; the header then says incomplete.
  public KdumpWriter neverWritten(long pfn) {
    frames.put(pfn, new Frame(Kind.NEVER_WRITTEN, new byte[0], 0));
    extraStatus |= INCOMPLETE;
    return this;
  }

  public Path write(Path directory) throws IOException {
    return write(directory, "vmcore");
  }

  public Path write(Path directory, String name) throws IOException {
    return Files.write(directory.resolve(name), bytes());
  }

  /// The parts of a split set, named `vmcore.1` and up: frames [0, borders[0]), and so on to the
  /// end.
  public List<Path> writeSplit(Path directory, long... borders) throws IOException {
    List<Path> files = new ArrayList<>();
    long from = 0;
    for (int i = 0; i <= borders.length; i++) {
      long to = i < borders.length ? borders[i] : mapnr();
      files.add(Files.write(directory.resolve("vmcore." + (i + 1)), bytes(true, from, to)));
      from = to;
    }
    return files;
  }

  public byte[] bytes() {
    return bytes(false, 0, mapnr());
  }

  private long mapnr() {
    return maxMapnr >= 0 ? maxMapnr : frames.isEmpty() ? 1 : frames.lastKey() + 1;
  }

  /// File offset of the descriptor of the n-th stored frame.
  public long descriptorOffset(int n) {
    return (1 + subBlocks(noteArea().toBytes().length) + bitmapBlocks()) * blockSize + 24L * n;
  }

  private long bitmapBlocks() {
    long bytes = (mapnr() + 7) / 8;
    return (oneBitmap ? 1 : 2) * ((bytes + blockSize - 1) / blockSize);
  }

  private long subBlocks(int noteBytes) {
    int fixed = is64 ? 104 : packed ? 80 : 96;
    int plainInfo = version == 3 ? vmcoreinfo.length() : 0;
    return (fixed + noteBytes + plainInfo + blockSize - 1L) / blockSize;
  }

  private Notes noteArea() {
    Notes area = new Notes(bigEndian);
    if (version >= 4) {
      for (Note note : notes) {
        area.add(note.name, note.type, note.desc);
      }
      if (!vmcoreinfo.isEmpty()) {
        area.add("VMCOREINFO", 0, latin1(vmcoreinfo));
      }
    }
    return area;
  }

  private byte[] bytes(boolean split, long startPfn, long endPfn) {
    ByteWriter out = new ByteWriter(bigEndian);
    int fixed = is64 ? 104 : packed ? 80 : 96;
    byte[] noteArea = noteArea().toBytes();
    long subBlocks = subBlocks(noteArea.length);
    long bitmapOffset = (1 + subBlocks) * blockSize;
    long descriptors = bitmapOffset + bitmapBlocks() * blockSize;

    long dumpable = frames.values().stream().filter(frame -> frame.kind != Kind.EXCLUDED).count();
    long descriptor = descriptors;
    long data = descriptors + 24 * dumpable;
    out.extendTo(data);
    int status = extraStatus;
    for (Frame frame : frames.values()) {
      status |= frame.flags & 0x27;
    }
    long sharedZero = 0;
    for (var entry : frames.entrySet()) {
      long pfn = entry.getKey();
      Frame frame = entry.getValue();
      if (frame.kind == Kind.EXCLUDED) {
        setBit(out, bitmapOffset, pfn);
        continue;
      }
      setBit(out, bitmapOffset, pfn);
      if (!oneBitmap) {
        setBit(out, bitmapOffset + bitmapBlocks() / 2 * blockSize, pfn);
      }
      if (pfn < startPfn || pfn >= endPfn) {
        continue;
      }
      switch (frame.kind) {
        case STORED -> {
          out.u64(descriptor, data);
          out.u32(descriptor + 8, frame.stored.length).u32(descriptor + 12, frame.flags);
          out.put(data, frame.stored);
          data += frame.stored.length;
        }
        case SHARED_ZERO -> {
          if (sharedZero == 0) {
            sharedZero = data;
            out.put(data, new byte[blockSize]);
            data += blockSize;
          }
          out.u64(descriptor, sharedZero).u32(descriptor + 8, blockSize);
        }
        case NEVER_WRITTEN, EXCLUDED -> {}
      }
      descriptor += 24;
    }
    mainHeader(out, status, subBlocks);
    subHeader(out, split, startPfn, endPfn, noteArea, fixed, data);
    if (version >= 5 && !eraseinfo.isEmpty()) {
      out.text(data, eraseinfo);
    }
    return out.toBytes();
  }

  private void mainHeader(ByteWriter out, int status, long subBlocks) {
    out.text(0, "KDUMP   ").u32(HEADER_VERSION, version);
    String[] names = {"Linux", "crashed", release, "#1 SMP test", machine, "(none)"};
    for (int i = 0; i < names.length; i++) {
      out.text(12 + 65L * i, names[i]);
    }
    int shift = is64 ? 0 : -12;
    if (is64) {
      out.u64(408, 1_700_000_000L);
    } else {
      out.u32(404, 1_700_000_000L);
    }
    out.u32(STATUS + shift, status).u32(BLOCK_SIZE + shift, blockSize);
    out.u32(SUB_HDR_SIZE + shift, subBlocks).u32(BITMAP_BLOCKS + shift, bitmapBlocks());
    out.u32(MAX_MAPNR + shift, Math.min(mapnr(), 0xffff_ffffL)).u32(460 + shift, 1);
  }

  private void subHeader(
      ByteWriter out,
      boolean split,
      long startPfn,
      long endPfn,
      byte[] noteArea,
      int fixed,
      long eraseAt) {
    int[] at =
        is64
            ? new int[] {0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96}
            : packed
                ? new int[] {0, 4, 8, 12, 16, 20, 28, 32, 40, 44, 52, 56, 64, 72}
                : new int[] {0, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88};
    int word = is64 ? 8 : 4;
    long sub = blockSize;
    out.number(sub + at[0], physBase, word);
    if (version >= 1) {
      out.u32(sub + at[1], dumpLevel);
    }
    if (version >= 2) {
      out.u32(sub + at[2], split ? 1 : 0);
      out.number(sub + at[3], split ? startPfn : 0, word);
      out.number(sub + at[4], split ? endPfn : 0, word);
    }
    long notesAt = sub + fixed;
    if (version >= 3 && !vmcoreinfo.isEmpty()) {
      long textAt =
          version == 3 ? notesAt : notesAt + noteArea.length - (vmcoreinfo.length() + 3 & ~3);
      out.u64(sub + at[5], textAt).number(sub + at[6], vmcoreinfo.length(), word);
      if (version == 3) {
        out.text(textAt, vmcoreinfo);
      }
    }
    if (version >= 4 && noteArea.length > 0) {
      out.u64(sub + at[7], notesAt).number(sub + at[8], noteArea.length, word);
      out.put(notesAt, noteArea);
    }
    if (version >= 5 && !eraseinfo.isEmpty()) {
      out.u64(sub + at[9], eraseAt).number(sub + at[10], eraseinfo.length(), word);
    }
    if (version >= 6) {
      out.u64(sub + at[11], split ? startPfn : 0).u64(sub + at[12], split ? endPfn : 0);
      out.u64(sub + at[13], mapnr());
    }
  }

  private static void setBit(ByteWriter out, long bitmap, long pfn) {
    out.orByte(bitmap + pfn / 8, 1 << (pfn % 8));
  }

  private static byte[] latin1(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }
}
