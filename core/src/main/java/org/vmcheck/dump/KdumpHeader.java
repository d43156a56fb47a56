package org.vmcheck.dump;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;

/// The main header and sub header of a kdump-compressed file (makedumpfile, `diskdump_mod.h`).
///
/// Every value is checked where it is read: sizes against the file, counts against the bytes left.
///
/// @param blockSize bytes a page and a header block: a power of two, 4 KiB to 256 KiB
/// @param subHeaderBlocks `sub_hdr_size`, at least 1
/// @param bitmapBlocks both bitmaps together
/// @param maxMapnr highest page frame + 1
/// @param split whether this file is a part of a split dump
/// @param startPfn first frame of the part
/// @param endPfn end (exclusive) of the part's frames
/// @param fingerprint the 464 or 452 bytes that all parts of one dump share, as a string; without
///   the time, which each part may have of its own
/// @param time the bytes of `timestamp`, as a string
record KdumpHeader(
    int version,
    boolean is64,
    boolean bigEndian,
    String release,
    String machine,
    int status,
    int blockSize,
    long subHeaderBlocks,
    long bitmapBlocks,
    long maxMapnr,
    long timeSeconds,
    long physBase,
    int dumpLevel,
    boolean split,
    long startPfn,
    long endPfn,
    Area vmcoreinfo,
    Area notes,
    Area eraseinfo,
    String fingerprint,
    String time,
    List<String> remarks) {
  static final int STATUS_INCOMPLETE = 0x8;

  /// Signature of the format's forerunner (kernels 2.4 and early 2.6), which has saved registers
  /// where the sub header is now, and other bits in `status`.
  static final String DISKDUMP = "DISKDUMP";

  private static final int DISKDUMP_INCOMPLETE = 0x1;
  private static final int DISKDUMP_COMPRESSED = 0x8;
  private static final int MAX_VERSION = 6;
  private static final int MIN_BLOCK = 4096;
  private static final int MAX_BLOCK = 256 << 10;
  private static final long MAX_NOTES = 256L << 20;

  /// Of 4 KiB, 256 TiB: four times what the largest machines have. The bitmaps of more would be
  /// read for minutes, even where a sparse file stores none of them.
  private static final long MAX_FRAMES = 1L << 36;

  /// A range of the file; `byteCount` 0 if there is none.
  record Area(long offset, long byteCount) {
    static final Area NONE = new Area(0, 0);

    boolean isEmpty() {
      return byteCount == 0;
    }
  }

  /// Where the fields stand for the two classes of the dumped machine.
  private record MainLayout(
      int bytes, int time, int status, int blockSize, int subHeader, int bitmap, int maxMapnr) {
    static final MainLayout OF_64 = new MainLayout(464, 408, 424, 428, 432, 436, 440);
    static final MainLayout OF_32 = new MainLayout(452, 404, 412, 416, 420, 424, 428);
  }

  static KdumpHeader read(ByteSource source) throws IOException {
    ByteView raw = source.view("disk_dump_header", 0, Math.min(source.size(), 464), false);
    if (raw.size() < 464) {
      throw raw.malformed("length", 0, "at least 464 bytes", raw.size() + " (file truncated?)");
    }
    String machine = raw.string(12 + 4 * 65, 65);
    Shape shape = shape(raw, machine);
    ByteView main = source.view("disk_dump_header", 0, 464, shape.bigEndian);
    MainLayout at = shape.is64 ? MainLayout.OF_64 : MainLayout.OF_32;
    List<String> remarks = new ArrayList<>();

    int version = main.i32(8);
    if (version < 0) {
      throw main.malformed("header_version", 8, "0 to " + MAX_VERSION, "" + version);
    }
    if (version > MAX_VERSION) {
      remarks.add("header_version " + version + " is newer than the known 6 and read as 6");
    }
    int blockSize = main.i32(at.blockSize);
    if (!isBlockSize(blockSize)) {
      throw main.malformed(
          "block_size", at.blockSize, "a power of two from 4096 to 262144", "" + blockSize);
    }
    if (main.u32(at.maxMapnr) == 0 && main.u32(at.bitmap) == 0) {
      throw new MalformedFileException(
          "[%s] a dump of kernel %s without pages: max_mapnr and bitmap_blocks are 0, it was never"
                  .formatted(source.name(), main.string(12 + 2 * 65, 65))
              + " written");
    }
    long subBlocks = main.i32(at.subHeader);
    if (subBlocks < 1 || subBlocks > source.size() / blockSize - 1) {
      throw main.malformed(
          "sub_hdr_size",
          at.subHeader,
          "1 to " + (source.size() / blockSize - 1) + " blocks of " + blockSize + " bytes",
          subBlocks + " (file truncated?)");
    }
    long bitmapBlocks = main.u32(at.bitmap);
    long bitmapOffset = (1 + subBlocks) * blockSize;
    if (bitmapBlocks == 0 || bitmapBlocks > (source.size() - bitmapOffset) / blockSize) {
      throw main.malformed(
          "bitmap_blocks",
          at.bitmap,
          "1 to " + (source.size() - bitmapOffset) / blockSize + " blocks within the file",
          bitmapBlocks + " (file truncated?)");
    }
    boolean diskdump = main.string(0, 8).equals(DISKDUMP);
    SubHeader sub =
        diskdump
            ? SubHeader.NONE
            : SubHeader.read(
                source.view("kdump_sub_header", blockSize, blockSize, shape.bigEndian),
                shape.is64,
                Math.min(version, MAX_VERSION),
                source.size(),
                (1 + subBlocks) * blockSize);
    long maxMapnr = main.u32(at.maxMapnr);
    if (version >= 6 && !diskdump) {
      if (sub.maxMapnr64 <= 0xffff_fffeL && sub.maxMapnr64 != maxMapnr) {
        remarks.add(
            "max_mapnr %d and max_mapnr_64 %d differ; the latter counts"
                .formatted(maxMapnr, sub.maxMapnr64));
      }
      maxMapnr = sub.maxMapnr64;
    }
    if (maxMapnr <= 0) {
      throw main.malformed("max_mapnr", at.maxMapnr, "1 or more", Long.toString(maxMapnr));
    }
    long bits = bitmapBlocks * blockSize * 8;
    if (maxMapnr > bits) {
      remarks.add(
          "max_mapnr %d is more than the bitmap's %d bits; the bitmap counts"
              .formatted(maxMapnr, bits));
      maxMapnr = bits;
    }
    if (maxMapnr > MAX_FRAMES) {
      throw main.malformed(
          "max_mapnr",
          at.maxMapnr,
          "at most " + MAX_FRAMES + " page frames",
          Long.toString(maxMapnr));
    }
    if (sub.split && (sub.startPfn < 0 || sub.endPfn < sub.startPfn)) {
      throw MalformedFileException.field(
          source.name(),
          "kdump_sub_header.start_pfn and end_pfn",
          blockSize,
          "an ascending range of frames",
          "0x%x to 0x%x".formatted(sub.startPfn, sub.endPfn));
    }
    return new KdumpHeader(
        version,
        shape.is64,
        shape.bigEndian,
        main.string(12 + 2 * 65, 65),
        machine,
        diskdump ? diskdumpStatus(main.i32(at.status)) : main.i32(at.status),
        blockSize,
        subBlocks,
        bitmapBlocks,
        maxMapnr,
        shape.is64 ? main.u64(at.time) : main.i32(at.time),
        sub.physBase,
        sub.dumpLevel,
        sub.split,
        sub.startPfn,
        sub.endPfn,
        sub.vmcoreinfo,
        area(sub.notes, source.size(), MAX_NOTES, "note", remarks),
        area(sub.eraseinfo, source.size(), 16 << 20, "eraseinfo", remarks),
        latin(main.bytes(0, at.time)) + latin(main.bytes(at.status, at.bytes - at.status)),
        latin(main.bytes(at.time, at.status - at.time)),
        remarks);
  }

  private static String latin(byte[] bytes) {
    return new String(bytes, java.nio.charset.StandardCharsets.ISO_8859_1);
  }

  /// The bits of diskdump's status in their present places.
  private static int diskdumpStatus(int status) {
    int zlib = 0x1;
    return ((status & DISKDUMP_INCOMPLETE) != 0 ? STATUS_INCOMPLETE : 0)
        | ((status & DISKDUMP_COMPRESSED) != 0 ? zlib : 0);
  }

  boolean isDiskdump() {
    return fingerprint.startsWith(DISKDUMP);
  }

  private static Area area(
      Area claimed, long fileSize, long limit, String what, List<String> remarks) {
    if (claimed.isEmpty()) {
      return Area.NONE;
    }
    if (claimed.offset < 0
        || claimed.byteCount < 0
        || claimed.byteCount > limit
        || claimed.offset > fileSize - claimed.byteCount) {
      remarks.add(
          "offset_%s 0x%x with size_%s %d leaves the file and is ignored"
              .formatted(what, claimed.offset, what, claimed.byteCount));
      return Area.NONE;
    }
    return claimed;
  }

  private static boolean isBlockSize(int value) {
    return value >= MIN_BLOCK && value <= MAX_BLOCK && Integer.bitCount(value) == 1;
  }

  private record Shape(boolean is64, boolean bigEndian) {}

  /// Class and byte order: by the machine's name, confirmed by a plausible block size; else
  /// whichever of the four fits.
  private static Shape shape(ByteView raw, String machine) throws MalformedFileException {
    List<Shape> order =
        switch (machine) {
          case "x86_64", "aarch64", "ppc64le", "riscv64", "loongarch64", "ia64", "mips64" ->
              List.of(new Shape(true, false));
          case "s390x", "sparc64" -> List.of(new Shape(true, true));
          case "ppc64" -> List.of(new Shape(true, true), new Shape(true, false));
          case "s390", "ppc" -> List.of(new Shape(false, true));
          default ->
              machine.matches("i[3-6]86|arm.*|mips")
                  ? List.of(new Shape(false, false), new Shape(false, true))
                  : List.of(
                      new Shape(true, false),
                      new Shape(true, true),
                      new Shape(false, false),
                      new Shape(false, true));
        };
    for (Shape shape : order) {
      MainLayout at = shape.is64 ? MainLayout.OF_64 : MainLayout.OF_32;
      int value = raw.i32(at.blockSize);
      if (isBlockSize(shape.bigEndian ? Integer.reverseBytes(value) : value)) {
        return shape;
      }
    }
    throw raw.malformed(
        "block_size",
        MainLayout.OF_64.blockSize,
        "a power of two from 4096 to 262144",
        Integer.toString(raw.i32(MainLayout.OF_64.blockSize)));
  }

  /// `kdump_sub_header` as far as its version has it.
  private record SubHeader(
      long physBase,
      int dumpLevel,
      boolean split,
      long startPfn,
      long endPfn,
      Area vmcoreinfo,
      Area notes,
      Area eraseinfo,
      long maxMapnr64) {

    static final SubHeader NONE =
        new SubHeader(0, -1, false, 0, 0, Area.NONE, Area.NONE, Area.NONE, 0);

    static SubHeader read(ByteView sub, boolean is64, int version, long fileSize, long headersEnd) {
      // 64-bit: natural alignment. 32-bit: packed on i386, natural on ARM, MIPS and PowerPC.
      int[] at = is64 ? OF_64 : packed(sub, version, headersEnd) ? OF_32_PACKED : OF_32_NATURAL;
      int word = is64 ? 8 : 4;
      boolean wide = version >= 6;
      Area vmcoreinfo =
          version >= 3 ? new Area(sub.u64(at[5]), sub.unsigned(at[6], word)) : Area.NONE;
      if (vmcoreinfo.offset < 0
          || vmcoreinfo.byteCount < 0
          || vmcoreinfo.byteCount > Vmcoreinfo.MAX_BYTES
          || vmcoreinfo.offset > fileSize - vmcoreinfo.byteCount) {
        vmcoreinfo = Area.NONE;
      }
      return new SubHeader(
          is64 ? sub.u64(at[0]) : sub.i32(at[0]),
          version >= 1 ? sub.i32(at[1]) : -1,
          version >= 2 && sub.i32(at[2]) != 0,
          version >= 2 ? wide ? sub.u64(at[11]) : sub.unsigned(at[3], word) : 0,
          version >= 2 ? wide ? sub.u64(at[12]) : sub.unsigned(at[4], word) : 0,
          vmcoreinfo,
          version >= 4 ? new Area(sub.u64(at[7]), sub.unsigned(at[8], word)) : Area.NONE,
          version >= 5 ? new Area(sub.u64(at[9]), sub.unsigned(at[10], word)) : Area.NONE,
          wide ? sub.u64(at[13]) : 0);
    }

    /// phys_base, dump_level, split, start_pfn, end_pfn, offset and size of vmcoreinfo, note and
    /// eraseinfo, start_pfn_64, end_pfn_64, max_mapnr_64.
    private static final int[] OF_64 = {0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96};

    private static final int[] OF_32_PACKED = {0, 4, 8, 12, 16, 20, 28, 32, 40, 44, 52, 56, 64, 72};
    private static final int[] OF_32_NATURAL = {
      0, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88
    };

    /// libkdumpfile's rule: packed if the VMCOREINFO range read that way is empty or lies within
    /// the headers.
    private static boolean packed(ByteView sub, int version, long headersEnd) {
      if (version < 3) {
        return true;
      }
      long offset = sub.u64(OF_32_PACKED[5]);
      long size = sub.u32(OF_32_PACKED[6]);
      return (offset == 0 && size == 0)
          || (offset > sub.size() && offset < headersEnd && size <= headersEnd - offset);
    }
  }

  long bitmapOffset() {
    return (1 + subHeaderBlocks) * blockSize;
  }

  long descriptorTableOffset() {
    return (1 + subHeaderBlocks + bitmapBlocks) * blockSize;
  }

  boolean isIncomplete() {
    return (status & STATUS_INCOMPLETE) != 0;
  }
}
