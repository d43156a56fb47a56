package org.vmcheck.testing;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Consumer;

/// The memory of a guest that its host dumped while the capture kernel ran: the crashed kernel
/// where it was, the capture kernel in the memory that was reserved for it, and the ELF header that
/// leads from one to the other.
public final class TwoKernels {
  /// Where the capture kernel's memory begins.
  public static final long RESERVED = 1L << 30;

  private static final long RESERVED_BYTES = 64L << 20;
  private static final long HEADER = RESERVED + RESERVED_BYTES - 0x10000;
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  private final FakeImage crashed;
  private final FakeImage capture;
  private final TreeMap<Long, byte[]> pages = new TreeMap<>();
  private final String captureInfo;
  private final List<Long> roots = new ArrayList<>();
  private String fileInfo = "";

  public TwoKernels(Layout layout, Consumer<FakeImage> damage) {
    crashed =
        FakeKernel.of(layout).seed(21).crashKernel(RESERVED, RESERVED + RESERVED_BYTES - 1).build();
    damage.accept(crashed);
    capture =
        FakeKernel.of(layout)
            .seed(22)
            .cpus(1)
            .commandLine("elfcorehdr=%dK nr_cpus=1".formatted(HEADER >> 10))
            .build();
    crashed.memory().pages().forEach((pfn, page) -> pages.put(pfn, page.clone()));
    capture
        .memory()
        .pages()
        .forEach((pfn, page) -> pages.put(pfn + (RESERVED >>> 12), page.clone()));
    moveTables(rootOf(capture) + RESERVED, 4);
    add(capture.physical(capture.symbol("phys_base")) + RESERVED, RESERVED);
    add(capture.physical(capture.symbol("page_offset_base")) + RESERVED, -RESERVED);
    long physBase = capture.physical(AddressSpace.IMAGE_BASE);
    captureInfo =
        capture
            .vmcoreinfo()
            .replace("NUMBER(phys_base)=" + physBase, "NUMBER(phys_base)=" + (physBase + RESERVED));
    putNote(noteOf(RESERVED), captureInfo);
    putHeader();
  }

  public FakeImage crashed() {
    return crashed;
  }

  public long captureRoot() {
    return rootOf(capture) + RESERVED;
  }

  public long crashedRoot() {
    return rootOf(crashed);
  }

  /// Physical address of the crashed kernel's note.
  public long crashedNote() {
    return noteOf(0);
  }

  public long captureNote() {
    return noteOf(RESERVED);
  }

  /// The file carries the note of the crashed kernel.
  public TwoKernels withCrashedNote() {
    fileInfo = crashed.vmcoreinfo();
    return this;
  }

  /// The file carries the note of the capture kernel, as its driver for QEMU's device gives it.
  public TwoKernels withCaptureNote() {
    fileInfo = captureInfo;
    return this;
  }

  /// One more CPU, with the page table that it uses.
  public TwoKernels cpu(long root) {
    roots.add(root);
    return this;
  }

  /// Takes pages away, or what is in them.
  public TwoKernels clear(long paddr, int byteCount) {
    byte[] page = pages.get(paddr >>> 12);
    Arrays.fill(page, (int) (paddr & 4095), (int) (paddr & 4095) + byteCount, (byte) 0);
    return this;
  }

  public TwoKernels clearHeader() {
    return clear(HEADER, 64);
  }

  /// Writes other text over a kernel's note.
  public TwoKernels putNote(long at, String text) {
    byte[] page = pages.computeIfAbsent(at >>> 12, _ -> new byte[4096]);
    ByteBuffer note = ByteBuffer.wrap(page).order(ByteOrder.LITTLE_ENDIAN);
    byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
    Arrays.fill(page, (byte) 0);
    note.putInt(0, 11).putInt(4, bytes.length);
    note.put(12, "VMCOREINFO".getBytes(StandardCharsets.ISO_8859_1)).put(24, bytes);
    return this;
  }

  /// As `dump-guest-memory` writes it: an ELF core with two notes a CPU.
  public Path write(Path directory) throws IOException {
    ElfWriter writer = ElfWriter.of64();
    for (long root : roots) {
      ByteBuffer status = ByteBuffer.allocate(336).order(ByteOrder.LITTLE_ENDIAN);
      status.putLong(112 + 8 * 16, root);
      writer.note("CORE", 1, status.array());
    }
    for (long root : roots) {
      ByteBuffer state = ByteBuffer.allocate(440).order(ByteOrder.LITTLE_ENDIAN);
      writer.note("QEMU", 0, state.putInt(0, 1).putInt(4, 440).putLong(416, root).array());
    }
    if (!fileInfo.isEmpty()) {
      writer.vmcoreinfo(fileInfo);
    }
    for (long from : new long[] {0, RESERVED >>> 12}) {
      long to = pages.lowerKey(from == 0 ? RESERVED >>> 12 : Long.MAX_VALUE) + 1;
      byte[] bytes = new byte[Math.toIntExact((to - from) << 12)];
      pages
          .subMap(from, to)
          .forEach((pfn, page) -> System.arraycopy(page, 0, bytes, (int) (pfn - from) << 12, 4096));
      writer.load(from << 12, bytes);
    }
    return writer.write(directory);
  }

  private static long rootOf(FakeImage image) {
    return image.physical(image.symbol("init_top_pgt"));
  }

  private ByteBuffer at(long paddr) {
    return ByteBuffer.wrap(pages.get(paddr >>> 12)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private void add(long paddr, long value) {
    int at = (int) (paddr & 4095);
    at(paddr).putLong(at, at(paddr).getLong(at) + value);
  }

  private void moveTables(long table, int level) {
    ByteBuffer entries = at(table);
    for (int i = 0; i < 512; i++) {
      long entry = entries.getLong(8 * i);
      if ((entry & 1) != 0) {
        entries.putLong(8 * i, entry + RESERVED);
        if (level > 1 && (entry & 0x80) == 0) {
          moveTables((entry & FRAME) + RESERVED, level - 1);
        }
      }
    }
  }

  private long noteOf(long from) {
    byte[] name = "VMCOREINFO\0".getBytes(StandardCharsets.ISO_8859_1);
    for (var page : pages.tailMap(from >>> 12).entrySet()) {
      if (Arrays.equals(page.getValue(), 12, 23, name, 0, 11)) {
        return page.getKey() << 12;
      }
    }
    throw new IllegalStateException("no note");
  }

  private void putHeader() {
    ByteBuffer header = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
    header.putInt(0, 0x464c457f).put(4, (byte) 2).put(5, (byte) 1);
    header.putLong(32, 64).putShort(54, (short) 56).putShort(56, (short) 2);
    // A CPU that wrote nothing, then VMCOREINFO.
    header.putInt(64, 4).putLong(72, RESERVED);
    header.putInt(120, 4).putLong(128, crashedNote()).putLong(152, 4096);
    pages.put(HEADER >>> 12, header.array());
  }
}
