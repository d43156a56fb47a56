package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// The page frames of an image: which there are, who has them, and their descriptors.
final class FrameTable {
  /// Frames of a section: 128 MiB.
  static final long SECTION_FRAMES = 1 << 15;

  private final FakeKernel config;
  private final Layout layout;
  private final AddressSpace space;
  private final Random random;
  private final List<FakeKernel.Ram> ranges = new ArrayList<>();
  private final BitSet used = new BitSet();
  private final Map<Integer, Long> cursor = new HashMap<>();

  /// First frames of the descriptor arrays of sections, where there is no vmemmap.
  private final Map<Long, Long> sectionArrays = new HashMap<>();

  private final int descriptorSize;
  private final int flagsAt;
  private final int mapcountAt;
  private final int refcountAt;
  private final int nodeWidth;

  FrameTable(FakeKernel config, AddressSpace space, Random random) {
    this.config = config;
    this.layout = config.layout();
    this.space = space;
    this.random = random;
    this.descriptorSize = layout.size("page");
    this.flagsAt = layout.offset("page", "flags");
    this.mapcountAt = layout.offset("page", "_mapcount");
    this.refcountAt = layout.offset("page", "_refcount");
    this.nodeWidth = Integer.numberOfTrailingZeros(maxNodes());
    ranges.add(new FakeKernel.Ram(0, 0xa0, 0));
    long kfence = config.kfenceFrames() == 0 ? 0 : config.kfenceFrames() + 0x200;
    long frames = 0x1600 + 4L * config.possibleCpus() + kfence;
    long imageEnd = (Math.max(0, config.imagePhysical()) >>> 12) + 0x200;
    ranges.add(new FakeKernel.Ram(0x100, Math.max(frames, imageEnd + 0x800), 0));
    for (int node = 1; node < config.nodes(); node++) {
      ranges.add(new FakeKernel.Ram(node * SECTION_FRAMES, 0xc00, node));
    }
    ranges.addAll(config.moreRam());
  }

  List<FakeKernel.Ram> ranges() {
    return ranges;
  }

  long ramFrames() {
    return ranges.stream().mapToLong(FakeKernel.Ram::frames).sum();
  }

  void take(long pfn, long frames) {
    used.set((int) pfn, (int) (pfn + frames));
  }

  boolean isUsed(long pfn) {
    return used.get((int) pfn);
  }

  /// Takes 2^order frames, aligned, of a node; now and then with a gap before them.
  long allocate(int node, int order) {
    return allocateRun(node, 1L << order, 1L << order);
  }

  long allocateRun(int node, long frames, long alignment) {
    for (FakeKernel.Ram ram : ranges) {
      if (ram.node() != node || ram.startPfn() == 0) {
        continue;
      }
      long from = Math.max(cursor.getOrDefault(node, 0L), ram.startPfn());
      long pfn = (from + alignment - 1) / alignment * alignment;
      while (pfn + frames <= ram.startPfn() + ram.frames()) {
        int clash = used.nextSetBit((int) pfn);
        if (clash < 0 || clash >= pfn + frames) {
          take(pfn, frames);
          if (frames <= 16) {
            cursor.put(node, pfn + frames + (random.nextInt(8) == 0 ? 1 + random.nextInt(5) : 0));
          }
          return pfn;
        }
        pfn = (clash + alignment) / alignment * alignment;
      }
    }
    throw new IllegalStateException("node " + node + " has no " + frames + " frames left");
  }

  /// Takes frames below 1 MiB.
  void takeLow(long pfn, int order) {
    if (used.get((int) pfn) || (pfn & (1L << order) - 1) != 0) {
      throw new IllegalArgumentException("frame 0x%x is taken or not aligned".formatted(pfn));
    }
    take(pfn, 1L << order);
  }

  /// Sets up the array of descriptors, in the vmemmap or section by section.
  void makeDescriptors() {
    for (FakeKernel.Ram ram : ranges) {
      long start = ram.startPfn() & -512;
      long end = ram.startPfn() + ram.frames() + 511 & -512;
      if (layout.isClassicSparse()) {
        for (long s = start / SECTION_FRAMES; s <= (end - 1) / SECTION_FRAMES; s++) {
          sectionArrays.computeIfAbsent(
              s, _ -> allocateRun(ram.node(), SECTION_FRAMES * descriptorSize / 4096, 1));
        }
      } else {
        for (long page = (start * descriptorSize) >>> 12;
            page < (end * descriptorSize) >>> 12;
            page++) {
          if (!space.vmemmapFrames().containsKey(page)) {
            space.setVmemmapFrame(page, allocate(ram.node(), 0));
          }
        }
      }
    }
  }

  /// Address of the descriptor of a frame.
  long descriptor(long pfn) {
    if (!layout.isClassicSparse()) {
      return space.vmemmap() + pfn * descriptorSize;
    }
    long section = pfn / SECTION_FRAMES;
    return sectionArray(section) + pfn % SECTION_FRAMES * descriptorSize;
  }

  private long sectionArray(long section) {
    return space.direct(sectionArrays.get(section) << 12);
  }

  /// Sections that have memory.
  List<Long> sections() {
    return ranges.stream()
        .flatMap(
            ram ->
                java.util.stream.LongStream.rangeClosed(
                        ram.startPfn() / SECTION_FRAMES,
                        (ram.startPfn() + ram.frames() - 1) / SECTION_FRAMES)
                    .boxed())
        .distinct()
        .sorted()
        .toList();
  }

  /// `section_mem_map` of a section: where its array would start if it began at frame 0, and flags
  /// present, has_memmap, online, early.
  long sectionMemMap(long section) {
    long base =
        layout.isClassicSparse()
            ? sectionArray(section) - section * SECTION_FRAMES * descriptorSize
            : space.vmemmap();
    return base | 0xf;
  }

  /// The packed fields of `page.flags`: section, node and zone from the top down.
  long place(long pfn) {
    int node = 0;
    for (FakeKernel.Ram ram : ranges) {
      if (pfn >= ram.startPfn() && pfn < ram.startPfn() + ram.frames()) {
        node = ram.node();
      }
    }
    long zone = pfn < 0x1000 ? 0 : pfn < 0x10_0000 ? 1 : 2;
    int sectionWidth = layout.isClassicSparse() ? 19 : 0;
    int nodeShift = 64 - sectionWidth - nodeWidth;
    long section = sectionWidth == 0 ? 0 : (pfn / SECTION_FRAMES) << (64 - sectionWidth);
    return section | ((long) node << nodeShift) | (zone << (nodeShift - 3));
  }

  /// MAX_NUMNODES, from the array at the end of `kmem_cache`.
  int maxNodes() {
    String type =
        layout.has("kmem_cache", "per_node")
            ? layout.member("kmem_cache", "per_node").type()
            : layout.member("kmem_cache", "node").type();
    return Integer.parseInt(type.substring(type.indexOf('[') + 1, type.indexOf(']')));
  }

  long flag(String name) {
    return layout.pageFlag(name).isPresent() ? 1L << layout.pageFlag(name).getAsInt() : 0;
  }

  void put(long pfn, String member, long value) {
    LayoutTable.Member found = layout.member("page", member);
    int size = layout.sizeOf(found.type());
    space.put(descriptor(pfn) + found.offset(), value, size);
  }

  /// The 32-bit type word of a free block, of a slab, or of neither.
  int buddyType() {
    return switch (layout.slabMark()) {
      case FLAG -> layout.has("page", "slab_list") || layout.has("slab") ? ~0x80 : -128;
      case CLEARED_BIT_F -> ~0x80;
      case CLEARED_BIT_8 -> ~0x4000_0000;
      case TYPE_BYTE -> 0xf000_0000;
    };
  }

  int slabType() {
    return switch (layout.slabMark()) {
      case FLAG -> -1;
      case CLEARED_BIT_F -> ~0x1000;
      case CLEARED_BIT_8 -> ~0x0200_0000;
      case TYPE_BYTE -> 0xf500_0000;
    };
  }

  /// Describes every frame: those that nobody has as free blocks, the others as the kernel's.
  void describeAll() {
    for (FakeKernel.Ram ram : ranges) {
      long end = ram.startPfn() + ram.frames();
      for (long pfn = ram.startPfn(); pfn < end; ) {
        if (used.get((int) pfn)) {
          describe(pfn, 0, -1, 1);
          pfn++;
          continue;
        }
        int order = 0;
        while (order < 10
            && (pfn & (2L << order) - 1) == 0
            && pfn + (2L << order) <= end
            && isFree(pfn + (1L << order), 1L << order)) {
          order++;
        }
        for (int i = 0; i < 1 << order; i++) {
          describe(pfn + i, 0, i == 0 ? buddyType() : -1, 0);
        }
        put(pfn, "private", order);
        pfn += 1L << order;
      }
    }
    if (!layout.isClassicSparse() || config.nodes() >= 1) {
      for (long pfn = 0xa0; pfn < 0x100; pfn++) {
        describe(pfn, flag("PG_reserved"), -1, 1);
      }
    }
  }

  private boolean isFree(long pfn, long frames) {
    int next = used.nextSetBit((int) pfn);
    return next < 0 || next >= pfn + frames;
  }

  void describe(long pfn, long flags, int type, int references) {
    long descriptor = descriptor(pfn);
    space.u64(descriptor + flagsAt, place(pfn) | flags);
    space.u32(descriptor + mapcountAt, type);
    space.u32(descriptor + refcountAt, references);
  }

  /// Makes frames a compound page: the head's flag, the tails' way back, the order.
  void compound(long head, int order) {
    if (order == 0) {
      return;
    }
    String tailWord = layout.has("page", "compound_head") ? "compound_head" : "compound_info";
    for (long tail = head + 1; tail < head + (1L << order); tail++) {
      describe(tail, 0, -1, 0);
      long word = layout.isCompoundMask() ? -((long) descriptorSize << order) : descriptor(head);
      put(tail, tailWord, word | 1);
    }
    switch (layout.orderAt()) {
      case COMPOUND_ORDER -> put(head + 1, "compound_order", order);
      case FLAGS_1 -> put(head + 1, "flags", place(head + 1) | order);
    }
  }
}
