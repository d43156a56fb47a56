package org.vmcheck.page;

import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.memory.AddressMap;

/// What a page descriptor must hold by the use of the page.
///
/// Source: Linux `mm/page_alloc.c` (free_pages_prepare, page_expected_state, `__init_single_page`),
/// `include/linux/page-flags.h`.
final class DescriptorRules {
  private static final long LIST_PREV = 0xdead_0000_0000_0122L;
  private static final long OLD_LIST_PREV = 0xdead_0000_0000_0200L;
  private static final long TAIL_MAPPING = 0xdead_0000_0000_0400L;

  /// Places that may break a rule before it counts as none of this kernel.
  private static final int FEW = 4;

  private static final int SEVERAL = 16;

  /// `index` and `private` may hold small numbers that nobody cleared.
  private static final int SMALL = 12;

  /// More references than any page but the zero page has.
  private static final int MANY = 1 << 24;

  private final MemMap memMap;
  private final PageShape shape;
  private final FlagFields fields;
  private final RareFaults faults;
  private final boolean isStill;
  private final boolean isOneNode;
  private final int addressBits;
  private final int indexAt;
  private final int memcgAt;
  private final long imageStart;
  private final long imageEnd;
  private final long harmless;
  private final long inImage;
  private final long unevictable;
  private final long locked;
  private final long privateFlag;

  /// Flags that reserved pages may have: of descriptors that lie in the memory which they describe
  /// (`PG_vmemmap_self_hosted`), and of how x86 caches a page (`set_page_memtype`).
  private final long ofReserved;

  private final int freeType;

  /// What the bits between flags and fields hold of pages that were never a user's.
  private final long between;

  DescriptorRules(
      Kernel kernel, MemMap memMap, FlagFields fields, RareFaults faults, boolean isOneNode) {
    this.memMap = memMap;
    this.shape = memMap.shape();
    this.fields = fields;
    this.faults = faults;
    this.isStill = kernel.isStopped();
    this.isOneNode = isOneNode;
    this.addressBits = addressBits(kernel);
    this.indexAt = offset(kernel, "index", "__folio_index");
    this.memcgAt = offset(kernel, "memcg_data", "mem_cgroup");
    this.imageStart = frame(kernel, "_text");
    this.imageEnd = frame(kernel, "_end");
    this.harmless = flag(kernel, "PG_hwpoison") | flag(kernel, "PG_reported");
    this.privateFlag = flag(kernel, "PG_private");
    this.ofReserved =
        privateFlag
            | flag(kernel, "PG_owner_priv_1")
            | flag(kernel, "PG_arch_1")
            | flag(kernel, "PG_uncached");
    this.inImage =
        privateFlag
            | flag(kernel, "PG_referenced")
            | flag(kernel, "PG_active")
            | flag(kernel, "PG_dirty")
            | flag(kernel, "PG_uptodate")
            | flag(kernel, "PG_workingset");
    this.locked = flag(kernel, "PG_locked");
    this.unevictable = flag(kernel, "PG_unevictable");
    this.freeType =
        switch (shape.buddy()) {
          case PageShape.Mark.ClearedBit(int _, int bit) -> ~bit;
          case PageShape.Mark.TypeByte(int value) -> value << 24;
          case PageShape.Mark.MapCount(int value) -> value;
          case PageShape.Mark.FlagBit _, PageShape.Mark.None _ -> -1;
        };
    this.between = fields.isKnown() ? fields.between() : 0;
  }

  /// All kernel addresses are alike above these bits; 0 if it is not known where they are.
  private static int addressBits(Kernel kernel) {
    AddressMap map = kernel.memory().map();
    int ones = Math.min(17, Long.numberOfLeadingZeros(~map.directMap().start()));
    return map.knowsDirectMap() && ones >= 7 ? Long.SIZE - ones : 0;
  }

  private static int offset(Kernel kernel, String... names) {
    return kernel
        .struct("page", "flags")
        .flatMap((StructLayout page) -> page.firstMember(names))
        .map(Member::offset)
        .orElse(-1);
  }

  private static long frame(Kernel kernel, String symbol) {
    OptionalLong at = kernel.symbol(symbol);
    long physical = at.isPresent() ? kernel.memory().physicalAddress(at.getAsLong()) : -1;
    return physical < 0 ? -1 : kernel.memory().pfn(physical);
  }

  private static long flag(Kernel kernel, String name) {
    long bit =
        kernel.types().isPresent()
            ? kernel.types().get().enumerator("pageflags", name).orElse(-1)
            : -1;
    return bit < 0 || bit > 63 ? 0 : 1L << bit;
  }

  /// Whether the members of `struct page` that are judged are known.
  boolean areKnown() {
    return shape.lruAt() >= 0
        && shape.mappingAt() >= 0
        && shape.privateAt() >= 0
        && shape.typeAt() >= 0
        && shape.refcountAt() == shape.typeAt() + 4
        && (shape.typeAt() & 7) == 0;
  }

  boolean isReserved(long flags) {
    return shape.reservedBit() >= 0 && (flags >>> shape.reservedBit() & 1) != 0;
  }

  /// Whether a page was set aside at boot, although its first link looks like the mark of a tail.
  boolean isOfBoot(long pfn, long flags, byte[] bytes, int at) {
    return isReserved(flags)
        && MemMap.word(bytes, at + shape.lruAt() + 8) == memMap.descriptor(pfn) + shape.lruAt();
  }

  /// Whether a page's `lru` is a node of an LRU list. Those that cannot be evicted have a count
  /// there in newer kernels.
  boolean isOnLru(long flags) {
    return shape.lruBit() >= 0 && (flags >>> shape.lruBit() & 1) != 0 && (flags & unevictable) == 0;
  }

  long mapping(byte[] bytes, int at) {
    return MemMap.word(bytes, at + shape.mappingAt());
  }

  boolean hasIndex() {
    return indexAt >= 0;
  }

  long index(byte[] bytes, int at) {
    return MemMap.word(bytes, at + indexAt);
  }

  void place(long pfn, long flags, long right) {
    add(SEVERAL, PageFault.Reason.PLACE, "a page", pfn, shape.flagsAt(), "flags", flags, right);
  }

  /// The first page of a block on the free list of an order.
  void block(FreeLists.Block in, byte[] bytes, int at) {
    String use = "a free block";
    PageFault.Reason why = PageFault.Reason.BLOCK;
    if (freeType != -1 && !memMap.isFreeBlock(bytes, at)) {
      long value = counts(bytes, at);
      long right = (value & -1L << 32) | (freeType & 0xffff_ffffL);
      add(SEVERAL, why, use, in.pfn(), shape.typeAt(), "page_type", value, right);
    }
    long told = MemMap.word(bytes, at + shape.privateAt());
    if (told != in.order()) {
      add(SEVERAL, why, use, in.pfn(), shape.privateAt(), "private", told, in.order());
    }
  }

  private long counts(byte[] bytes, int at) {
    return MemMap.word(bytes, at + shape.typeAt());
  }

  /// A page that says it is the first of a free block, and no list has it.
  void unlisted(long pfn, byte[] bytes, int at) {
    long value = counts(bytes, at);
    add(
        FEW,
        PageFault.Reason.UNLISTED,
        "a page",
        pfn,
        shape.typeAt(),
        "page_type",
        value,
        value | 0xffff_ffffL);
  }

  /// A page of a free block, or one that a CPU keeps.
  ///
  /// @return whether nothing was ever stored there, so that all of it is known
  boolean free(long pfn, FreeLists.Block in, long flags, byte[] bytes, int at) {
    boolean isNode = in.pfn() == pfn;
    String use = "a free page";
    PageFault.Reason why = PageFault.Reason.FREE;
    flags(why, use, pfn, flags, flags & fields.lowFlags() & ~harmless, -1);
    long counts = counts(bytes, at);
    long right = isNode && !in.isOfCpu() ? counts & 0xffff_ffffL : 0xffff_ffffL;
    if (counts != right) {
      String member = (counts & -1L << 32) != 0 ? "_refcount" : "_mapcount";
      add(SEVERAL, why, use, pfn, shape.typeAt(), member, counts, right);
    }
    zero(SEVERAL, why, use, pfn, shape.mappingAt(), "mapping", bytes, at);
    zero(SEVERAL, why, use, pfn, memcgAt, "memcg_data", bytes, at);
    if (isNode || !pair(use, pfn, bytes, at) || !hasIndex()) {
      return false;
    }
    // Both are as they were set up: zero.
    single(use, pfn, indexAt, "index", bytes, at);
    single(use, pfn, shape.privateAt(), "private", bytes, at);
    return true;
  }

  /// @param wrong flags that must not be set
  /// @param judged bits between flags and fields that are looked at
  private void flags(
      PageFault.Reason why, String use, long pfn, long flags, long wrong, long judged) {
    if (wrong != 0) {
      add(FEW, why, use, pfn, shape.flagsAt(), "flags", flags, flags & ~wrong);
    }
    between(use, pfn, flags, between & judged);
  }

  /// @param judged bits between the flags and the fields that must be as they were set up
  private void between(String use, long pfn, long flags, long judged) {
    long differs = (flags ^ fields.usual()) & judged;
    if (differs != 0) {
      add(
          FEW,
          PageFault.Reason.IMPOSSIBLE,
          use,
          pfn,
          shape.flagsAt(),
          "flags",
          flags,
          flags ^ differs);
    }
  }

  private void zero(
      int most,
      PageFault.Reason why,
      String use,
      long pfn,
      int member,
      String name,
      byte[] bytes,
      int at) {
    if (member >= 0) {
      long value = MemMap.word(bytes, at + member);
      if (value != 0) {
        add(most, why, use, pfn, member, name, value, 0);
      }
    }
  }

  /// One bit, and not of a small number.
  private void single(String use, long pfn, int member, String name, byte[] bytes, int at) {
    long value = MemMap.word(bytes, at + member);
    if (value >>> SMALL != 0 && Long.bitCount(value) == 1) {
      add(FEW, PageFault.Reason.UNUSED, use, pfn, member, name, value, 0);
    }
  }

  /// The links of a page that is on no list: both as they were set up, or both as `list_del` leaves
  /// them.
  ///
  /// @return whether both lead to themselves
  private boolean pair(String use, long pfn, byte[] bytes, int at) {
    long next = MemMap.word(bytes, at + shape.lruAt());
    long prev = MemMap.word(bytes, at + shape.lruAt() + 8);
    long self = memMap.descriptor(pfn) + shape.lruAt();
    if (next == self && prev == self) {
      return true;
    }
    if (prev == self || prev == LIST_PREV || prev == OLD_LIST_PREV) {
      long right = prev == self ? self : ListPoison.NEXT;
      if (Long.bitCount(next ^ right) == 1) {
        link(use, pfn, 0, "lru.next", next, right);
      } else if (prev != self && Long.bitCount(next) == 1 && next != 2) {
        link(use, pfn, 0, "lru.next", next, 0);
      }
    } else if (next == self || next == ListPoison.NEXT) {
      long right =
          next == self
              ? self
              : Long.bitCount(prev ^ OLD_LIST_PREV) == 1 ? OLD_LIST_PREV : LIST_PREV;
      if (Long.bitCount(prev ^ right) == 1) {
        link(use, pfn, 8, "lru.prev", prev, right);
      }
    } else if (next == 0 && Long.bitCount(prev ^ LIST_PREV) == 1) {
      link(use, pfn, 8, "lru.prev", prev, LIST_PREV);
    }
    return false;
  }

  private void link(String use, long pfn, int at, String name, long value, long right) {
    add(FEW, PageFault.Reason.PAIR, use, pfn, shape.lruAt() + at, name, value, right);
  }

  /// A page of a slab; the rest of its descriptor is the slab checks' matter.
  void slab(long pfn, long flags) {
    between("a slab", pfn, flags, between);
  }

  /// @param head frame of the compound page's head; -1 if not known
  void tail(long pfn, long flags, long head, boolean isInSlab, byte[] bytes, int at) {
    if (head < 0 || pfn < head + 4) {
      return; // The first tails hold what the compound page as a whole has.
    }
    String use = isInSlab ? "a tail page of a slab" : "a tail page";
    if (isInSlab) {
      between(use, pfn, flags, between);
    }
    long counts = counts(bytes, at);
    int type = (int) counts;
    int references = (int) (counts >>> 32);
    if (references != 0 && isStill) {
      impossible(use, pfn, shape.typeAt(), "_refcount", counts, counts & 0xffff_ffffL);
    } else if (type < -1 || (isInSlab && type != -1)) {
      impossible(use, pfn, shape.typeAt(), "_mapcount", counts, counts | 0xffff_ffffL);
    }
    pointer(use, pfn, memcgAt, "memcg_data", bytes, at);
    long mapping = mapping(bytes, at);
    if (!isInSlab && Long.bitCount(mapping ^ TAIL_MAPPING) == 1) {
      impossible(use, pfn, shape.mappingAt(), "mapping", mapping, TAIL_MAPPING);
    } else if (Long.bitCount(mapping) == 1) {
      impossible(use, pfn, shape.mappingAt(), "mapping", mapping, 0);
    }
    long prev = MemMap.word(bytes, at + shape.lruAt() + 8);
    if (Long.bitCount(prev ^ LIST_PREV) == 1) {
      impossible(use, pfn, shape.lruAt() + 8, "lru.prev", prev, LIST_PREV);
    }
  }

  private void impossible(String use, long pfn, int member, String name, long value, long right) {
    add(FEW, PageFault.Reason.IMPOSSIBLE, use, pfn, member, name, value, right);
  }

  /// A member that is null or leads to kernel memory, its low bits marks: one bit less or more of
  /// either. What else some drivers keep there is their own.
  private void pointer(String use, long pfn, int member, String name, byte[] bytes, int at) {
    if (member < 0 || addressBits == 0) {
      return;
    }
    long value = MemMap.word(bytes, at + member);
    if (value >>> 3 == 0 || value >> addressBits == -1) {
      return;
    }
    long above = -1L << addressBits & ~value;
    if (Long.bitCount(value) == 1) {
      impossible(use, pfn, member, name, value, 0);
    } else if (Long.bitCount(above) == 1) {
      impossible(use, pfn, member, name, value, value | above);
    }
  }

  /// A page that is set aside. Those of boot are on no list and never were; others, which drivers
  /// mark, are passed over.
  ///
  /// @return whether it is of boot, so that all of it is known
  boolean reserved(long pfn, long flags, byte[] bytes, int at) {
    String use = "a reserved page";
    PageFault.Reason why = PageFault.Reason.RESERVED;
    long next = MemMap.word(bytes, at + shape.lruAt());
    long prev = MemMap.word(bytes, at + shape.lruAt() + 8);
    long self = memMap.descriptor(pfn) + shape.lruAt();
    if (next != self && prev != self) {
      return false;
    }
    if (next != self || prev != self) {
      boolean isNext = next != self;
      long value = isNext ? next : prev;
      if (Long.bitCount(value ^ self) == 1) {
        link(use, pfn, isNext ? 0 : 8, isNext ? "lru.next" : "lru.prev", value, self);
      }
      return true;
    }
    zero(FEW, why, use, pfn, shape.mappingAt(), "mapping", bytes, at);
    zero(FEW, why, use, pfn, memcgAt, "memcg_data", bytes, at);
    long counts = counts(bytes, at);
    int type = (int) counts;
    int references = (int) (counts >>> 32);
    boolean isInImage = pfn >= imageStart && pfn < imageEnd;
    boolean isPlain = type == -1 && references == 1;
    long allowed = isInImage ? inImage | ofReserved : isPlain ? ofReserved : -1;
    long wrong = flags & fields.lowFlags() & ~(allowed | 1L << shape.reservedBit());
    // The zero page and the vdso are mapped as pages of users are, and their use is counted.
    flags(why, use, pfn, flags, wrong, isPlain && !isInImage ? -1 : fields.usual());
    reservedCounts(use, pfn, counts, (flags & privateFlag) != 0 || isInImage);
    if (isPlain && (flags & privateFlag) == 0) {
      if (indexAt >= 0) {
        zero(FEW, why, use, pfn, indexAt, "index", bytes, at);
      }
      zero(FEW, why, use, pfn, shape.privateAt(), "private", bytes, at);
    }
    return true;
  }

  /// @param mayBeHeld whether there is reason for more than one reference
  private void reservedCounts(String use, long pfn, long counts, boolean mayBeHeld) {
    int type = (int) counts;
    int references = (int) (counts >>> 32);
    PageFault.Reason why = PageFault.Reason.RESERVED;
    long plain = 1L << 32 | 0xffff_ffffL;
    if (type < -1 && !mayBeType(type)) {
      add(FEW, why, use, pfn, shape.typeAt(), "_mapcount", counts, counts | 0xffff_ffffL);
    } else if (type == Integer.MAX_VALUE) {
      add(FEW, why, use, pfn, shape.typeAt(), "_mapcount", counts, counts | 0xffff_ffffL);
    } else if (type == -1
        && (references <= 0 || (references >= 16 && !mayBeHeld) || references >= MANY)) {
      boolean isOne = Integer.bitCount(references ^ 1) == 1;
      faults.add(
          FEW,
          new PageFault(
              why,
              use,
              pfn,
              memMap.descriptor(pfn) + shape.typeAt(),
              "_refcount",
              counts,
              isOne ? plain : 0,
              isOne));
    }
  }

  /// Whether a value below -1 can be the type of a page rather than a map count.
  private boolean mayBeType(int type) {
    return switch (shape.buddy()) {
      case PageShape.Mark.ClearedBit(int base, int _) ->
          base == 0xf0000000
              ? (type & base) == base && (~type & ~0x1f80) == 0
              : type >>> 24 != 0xff; // Some types keep a number in the low bits.
      case PageShape.Mark.TypeByte _ -> type >>> 28 == 0xf && type >>> 24 != 0xff;
      case PageShape.Mark.MapCount _ -> Integer.bitCount(-type) == 1;
      case PageShape.Mark.FlagBit _, PageShape.Mark.None _ -> true;
    };
  }

  /// Any other page: what no use of it leaves behind.
  void used(long pfn, long flags, byte[] bytes, int at) {
    String use = "a page in use";
    long counts = counts(bytes, at);
    int type = (int) counts;
    int references = (int) (counts >>> 32);
    long mapping = mapping(bytes, at);
    // Others, as zsmalloc, keep numbers of their own where user pages have their map count.
    boolean isMapped = type >= 0 && mapping != 0 && (mapping & 3) != 2;
    if (type < -1 && !mayBeType(type)) {
      boolean isOne = Integer.bitCount(~type) == 1;
      faults.add(
          FEW,
          new PageFault(
              PageFault.Reason.IMPOSSIBLE,
              use,
              pfn,
              memMap.descriptor(pfn) + shape.typeAt(),
              "_mapcount",
              counts,
              isOne ? counts | 0xffff_ffffL : 0,
              isOne));
    } else if (references < 0
        || (references >= MANY && type < 1 << 16)
        || (isMapped && references > 0 && references <= type)) {
      faults.add(
          FEW,
          new PageFault(
              PageFault.Reason.IMPOSSIBLE,
              use,
              pfn,
              memMap.descriptor(pfn) + shape.typeAt(),
              references > 0 && references < MANY ? "_mapcount" : "_refcount",
              counts,
              0,
              false));
    }
    pointer(use, pfn, memcgAt, "memcg_data", bytes, at);
    if (shape.table().matches(flags, type)) {
      between(use, pfn, flags, between);
    } else {
      if (type >= -1) {
        pointer(use, pfn, shape.mappingAt(), "mapping", bytes, at);
      }
      // With several nodes the last CPU that used a page lies there (NUMA balancing).
      long set = between & fields.usual();
      if (isOneNode && Long.bitCount((flags ^ fields.usual()) & set) == 1) {
        between(use, pfn, flags, set);
      }
    }
    if (!isOnLru(flags)) {
      pair(use, pfn, bytes, at);
    }
  }

  /// A page that the tree of an address space has.
  void cached(CachedPages.Entry entry, byte[] bytes) {
    long mapping = mapping(bytes, 0);
    long index = index(bytes, 0);
    if (memMap.isTail(bytes, 0) || memMap.isMarkedAsSlab(bytes, 0)) {
      return;
    }
    String use = "a page of a file";
    if (mapping != entry.space() && index == entry.index()) {
      if (Long.bitCount(mapping ^ entry.space()) == 1) {
        add(
            FEW,
            PageFault.Reason.CACHE,
            use,
            entry.pfn(),
            shape.mappingAt(),
            "mapping",
            mapping,
            entry.space());
      }
    } else if (mapping == entry.space()
        && index != entry.index()
        && (memMap.flags(bytes, 0) & (shape.headMask() | locked)) == 0) {
      add(FEW, PageFault.Reason.CACHE, use, entry.pfn(), indexAt, "index", index, entry.index());
    }
  }

  private void add(
      int most,
      PageFault.Reason reason,
      String use,
      long pfn,
      int member,
      String name,
      long value,
      long right) {
    faults.add(
        most,
        new PageFault(reason, use, pfn, memMap.descriptor(pfn) + member, name, value, right, true));
  }
}
