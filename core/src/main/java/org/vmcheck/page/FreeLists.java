package org.vmcheck.page;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Ring;

/// The lists of free pages: those of each zone, order and migrate type (`zone.free_area`), and
/// those of each CPU (`per_cpu_pages`), walked in both directions.
final class FreeLists {
  /// The most blocks of a list that are followed.
  private static final int MAX_BLOCKS = 1 << 18;

  private static final int WORD = 8;
  private static final int LIST_HEAD = 16;

  /// `PAGE_ALLOC_COSTLY_ORDER`: CPUs keep blocks up to this order, and huge ones.
  private static final int COSTLY_ORDER = 3;

  /// A block of free pages, or a page that a CPU keeps.
  ///
  /// @param pfn its first frame
  /// @param order two to this power are its pages
  /// @param list that has it
  /// @param isOfCpu whether that is one of a CPU
  record Block(long pfn, int order, String list, boolean isOfCpu) {
    long end() {
      return pfn + (1L << order);
    }
  }

  private final Kernel kernel;
  private final MemMap memMap;
  private final boolean isStill;
  private final List<Block> blocks = new ArrayList<>();
  private final List<PageFault> faults = new ArrayList<>();
  private final List<String> transients = new ArrayList<>();
  private final SortedMap<String, Long> lookedAt = new TreeMap<>();
  private final SortedMap<String, Long> notRead = new TreeMap<>();
  private final List<Zones.Zone> whole = new ArrayList<>();
  private long words;

  private FreeLists(Kernel kernel, MemMap memMap, boolean isStill) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.isStill = isStill;
  }

  static FreeLists read(Kernel kernel, MemMap memMap, Zones zones, boolean isStill) {
    FreeLists lists = new FreeLists(kernel, memMap, isStill);
    Optional<StructLayout> zone = kernel.struct("zone", "free_area");
    Optional<StructLayout> area = kernel.struct("free_area", "free_list", "nr_free");
    if (memMap.shape().lruAt() >= 0 && zone.isPresent() && area.isPresent()) {
      for (Zones.Zone one : zones.all()) {
        lists.areas(one, zone.get().member("free_area").orElseThrow(), area.get());
        lists.cpus(one, zone.get());
      }
    }
    lists.blocks.sort(Comparator.comparingLong(Block::pfn));
    return lists;
  }

  /// In the order of frames.
  List<Block> blocks() {
    return blocks;
  }

  List<PageFault> faults() {
    return faults;
  }

  List<String> transients() {
    return transients;
  }

  SortedMap<String, Long> lookedAt() {
    return lookedAt;
  }

  SortedMap<String, Long> notRead() {
    return notRead;
  }

  long bytes() {
    return words * WORD;
  }

  /// Whether all blocks of a zone were met and no CPU was changing its lists.
  boolean isWhole(Zones.Zone zone) {
    return whole.contains(zone);
  }

  private void areas(Zones.Zone zone, Member areas, StructLayout area) {
    Member lists = area.member("free_list").orElseThrow();
    int countAt = area.member("nr_free").orElseThrow().offset();
    boolean all = true;
    for (int order = 0; order < Math.min(areas.elementCount(), 32); order++) {
      long at = zone.address() + areas.offset() + order * area.size();
      long met = 0;
      for (int type = 0; type < Math.min(lists.elementCount(), 16) && met >= 0; type++) {
        String name = "zone %s order %d type %d".formatted(zone.name(), order, type);
        int before = blocks.size();
        boolean isMet =
            ring(name, at + lists.offset() + (long) type * LIST_HEAD, order, false, zone);
        met = isMet ? met + blocks.size() - before : -1;
      }
      all &= met >= 0;
      OptionalLong told = kernel.word(at + countAt);
      words++;
      if (met >= 0 && told.isPresent() && told.getAsLong() != met) {
        count("zone %s order %d".formatted(zone.name(), order), "nr_free", at + countAt, met, zone);
      }
    }
    if (all && !zone.isLocked() && isStill) {
      whole.add(zone);
    }
  }

  private void count(String place, String member, long address, long met, Zones.Zone zone) {
    long value = kernel.word(address).orElse(0);
    if (zone.isLocked() || !isStill) {
      transients.add("%s of %s is %d, of %d on its lists".formatted(member, place, value, met));
    } else {
      faults.add(
          new PageFault(PageFault.Reason.COUNT, place, -1, address, member, value, met, true));
    }
  }

  /// @return whether all of its blocks were met
  private boolean ring(String name, long head, int order, boolean isOfCpu, Zones.Zone zone) {
    Ring ring = Ring.of(kernel, head, MAX_BLOCKS, isStill && !zone.isLocked());
    for (long node : ring.nodes()) {
      long pfn = memMap.pfn(node - memMap.shape().lruAt());
      if (pfn >= 0) {
        blocks.add(new Block(pfn, order, name, isOfCpu));
      }
    }
    words += 2L * (ring.nodes().size() + 1);
    switch (ring.state()) {
      case Ring.State.Whole _ -> {
        lookedAt.merge(isOfCpu ? "lists of CPUs" : "free lists", 1L, Long::sum);
        return true;
      }
      case Ring.State.Unread _ -> notRead.merge("free lists", 1L, Long::sum);
      case Ring.State.TooLong _ -> notRead.merge("free lists of more blocks", 1L, Long::sum);
      case Ring.State.HalfLinked(long address) ->
          transients.add("the list of %s was being changed at 0x%x".formatted(name, address));
      case Ring.State.Wrong wrong -> {
        lookedAt.merge(isOfCpu ? "lists of CPUs" : "free lists", 1L, Long::sum);
        if ((isStill && !zone.isLocked()) || wrong.isFlip()) {
          faults.add(
              new PageFault(
                  PageFault.Reason.LINK,
                  "list " + name,
                  memMap.pfn((wrong.address() & -WORD) - memMap.shape().lruAt()),
                  wrong.address(),
                  "lru." + wrong.member(),
                  wrong.value(),
                  wrong.expected(),
                  wrong.expected() != 0));
          return wrong.expected() != 0;
        }
        transients.add(
            "the list of %s is of more than one moment at 0x%x".formatted(name, wrong.address()));
      }
    }
    return false;
  }

  private void cpus(Zones.Zone zone, StructLayout type) {
    Optional<Member> pointer = type.firstMember("per_cpu_pageset", "pageset");
    Optional<StructLayout> pages = kernel.struct("per_cpu_pages", "count", "lists");
    if (pointer.isEmpty() || pages.isEmpty()) {
      return;
    }
    int inSet =
        pointer.get().name().equals("pageset")
            ? kernel
                .struct("per_cpu_pageset", "pcp")
                .flatMap(set -> set.member("pcp"))
                .map(Member::offset)
                .orElse(-1)
            : 0;
    OptionalLong of = kernel.word(zone.address() + pointer.get().offset());
    for (int i = 0; i < kernel.perCpu().cpus().size() && inSet >= 0 && of.isPresent(); i++) {
      cpu(
          zone,
          kernel.perCpu().cpus().get(i),
          kernel.perCpu().address(of.getAsLong(), i) + inSet,
          pages.get());
    }
  }

  private void cpu(Zones.Zone zone, int cpu, long at, StructLayout pages) {
    Member lists = pages.member("lists").orElseThrow();
    Member counter = pages.member("count").orElseThrow();
    int types =
        kernel.types().isPresent()
            ? (int) kernel.types().get().enumerator("migratetype", "MIGRATE_PCPTYPES").orElse(3)
            : 3;
    Optional<Member> lock = pages.member("lock");
    boolean isLocked = zone.isLocked() || Zones.isHeld(kernel, pages, at);
    long met = 0;
    int huge = types * (COSTLY_ORDER + 1);
    String name = "CPU %d of zone %s".formatted(cpu, zone.name());
    for (int i = 0; i < Math.min(lists.elementCount(), 64); i++) {
      int order = i < huge ? i / types : hugeOrder();
      int before = blocks.size();
      if (!ring(name, at + lists.offset() + (long) i * LIST_HEAD, order, true, zone)) {
        return;
      }
      met += (long) (blocks.size() - before) << order;
    }
    int told = (int) word(at, counter.offset());
    words++;
    // Before the lists had a lock, a CPU that was stopped among them left no trace.
    int slack =
        lock.isPresent()
            ? 0
            : 1 + pages.member("batch").map(b -> (int) word(at, b.offset())).orElse(63);
    if (Math.abs(told - met) > slack && !isLocked) {
      long address = at + counter.offset() & -WORD;
      long value = kernel.word(address).orElse(0);
      int shift = 8 * (counter.offset() & 7);
      long right = (value & ~(0xffff_ffffL << shift)) | met << shift;
      if (isStill) {
        faults.add(
            new PageFault(
                PageFault.Reason.COUNT,
                name,
                -1,
                address,
                "count",
                value,
                right,
                slack == 0 || Long.bitCount(value ^ right) == 1));
      }
    }
  }

  /// A 32-bit member, zero-extended.
  private long word(long at, int offset) {
    return kernel.word(at + (offset & -WORD)).orElse(0) >>> (8 * (offset & 7)) & 0xffff_ffffL;
  }

  /// `HPAGE_PMD_ORDER`.
  private int hugeOrder() {
    return Integer.numberOfTrailingZeros(kernel.memory().pageSize() / WORD);
  }
}
