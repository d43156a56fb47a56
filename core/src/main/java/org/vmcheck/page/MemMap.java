package org.vmcheck.page;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;

/// The kernel's page descriptors (`struct page`), one a page frame: one array at `vmemmap`, or,
/// with classic sparsemem, one array a section.
///
/// Safe for use by several threads at once.
public final class MemMap {
  // Views of arrays: where only the quick compiler runs, these are ten times as fast as views of
  // memory segments, so that a copy pays for the 64 descriptors of a page.
  private static final VarHandle WORD =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle HALF =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

  /// Bits of `slab.counters` that hold the number of objects (little endian).
  private static final int OBJECTS_OF_SLAB = 0x7fff_0000;

  private static final Kernel.Part<Optional<MemMap>> PART = new Kernel.Part<>(MemMap::read);

  private final VirtualMemory memory;
  private final PageShape shape;
  private final long vmemmap;

  /// Of the first section that there is: where memory begins above 0, other things lie below the
  /// descriptors.
  private final long firstPfn;

  private final long endPfn;

  /// Null with a vmemmap.
  private final MemSections sections;

  private MemMap(
      Kernel kernel, PageShape shape, long vmemmap, long firstPfn, MemSections sections) {
    this.memory = kernel.memory();
    this.shape = shape;
    this.vmemmap = vmemmap;
    this.firstPfn = firstPfn;
    this.sections = sections;
    this.endPfn = memory.physical().endPfn();
  }

  /// Of a kernel; empty if the dump does not tell where page descriptors are.
  public static Optional<MemMap> of(Kernel kernel) {
    return kernel.part(PART);
  }

  private static Optional<MemMap> read(Kernel kernel) {
    return PageShape.of(kernel).flatMap(shape -> of(kernel, shape));
  }

  /// Sections tell the memory model: where they all name one base outside the direct map, that is
  /// the vmemmap; arrays in the direct map are classic sparsemem.
  ///
  /// @return empty if neither they nor a variable say where descriptors are
  private static Optional<MemMap> of(Kernel kernel, PageShape shape) {
    VirtualMemory memory = kernel.memory();
    long vmemmap = memory.map().vmemmapStart();
    Optional<MemSections> sections =
        MemSections.read(kernel, shape.size(), memory.physical().endPfn());
    if (sections.isEmpty()) {
      return vmemmap == 0
          ? Optional.empty()
          : Optional.of(new MemMap(kernel, shape, vmemmap, 0, null));
    }
    OptionalLong base = sections.get().commonBase();
    boolean isArray =
        base.isPresent()
            && (base.getAsLong() == vmemmap
                || !memory.map().isDirectMap(sections.get().firstDescriptor()));
    return Optional.of(
        isArray
            ? new MemMap(kernel, shape, base.getAsLong(), sections.get().firstFrame(), null)
            : new MemMap(kernel, shape, 0, 0, sections.get()));
  }

  /// Whether each section has an array of its own.
  public boolean isClassicSparse() {
    return sections != null;
  }

  /// Whether it is known which flag marks reserved pages; without, these look like the kernel's or
  /// unreferenced ones.
  public boolean knowsReserved() {
    return shape.reservedBit() >= 0;
  }

  /// Whether it is known what marks slabs.
  public boolean knowsSlabs() {
    return !(shape.slab() instanceof PageShape.Mark.None);
  }

  /// Bytes of a descriptor.
  public int descriptorBytes() {
    return shape.size();
  }

  public PageShape shape() {
    return shape;
  }

  public long endPfn() {
    return endPfn;
  }

  /// The number of the section that a frame is in; 0 with a vmemmap.
  long section(long pfn) {
    return sections != null ? sections.number(pfn) : 0;
  }

  /// Address of the descriptor of a page frame; 0 if its section is not there.
  public long descriptor(long pfn) {
    return sections != null ? sections.descriptor(pfn) : vmemmap + pfn * shape.size();
  }

  /// The page frame of a descriptor's address, or -1 if it is none.
  public long pfn(long descriptor) {
    if (sections != null) {
      long found = sections.pfn(descriptor);
      return found < endPfn ? found : -1;
    }
    long distance = descriptor - vmemmap;
    if (distance < 0 || distance % shape.size() != 0) {
      return -1;
    }
    long pfn = distance / shape.size();
    return pfn >= firstPfn && pfn < endPfn ? pfn : -1;
  }

  /// Receives descriptors while the array is streamed.
  public interface Visitor {
    /// @param bytes hold the descriptor, until this returns
    /// @param at its offset in them
    void page(long pfn, byte[] bytes, int at);

    /// Frames whose descriptors cannot be read although the kernel had them.
    void unreadable(long firstPfn, long count);
  }

  /// Streams the descriptors of a range of frames in order. Ranges that the kernel never mapped
  /// (holes) are passed over in silence.
  ///
  /// @param page of the caller, who may stream one range after the other
  public void stream(long firstPfn, long endOfRange, Visitor visitor, PageBuffer page) {
    stream(firstPfn, endOfRange, visitor, page, false);
  }

  /// The same, but shows only descriptors that carry the mark of a slab: most frames do not.
  public void streamMarkedAsSlab(long firstPfn, long endOfRange, Visitor visitor, PageBuffer page) {
    stream(firstPfn, endOfRange, visitor, page, true);
  }

  /// What a walk over descriptors reads them with.
  public PageBuffer newBuffer() {
    return PageBuffer.of(memory.physical());
  }

  private void stream(
      long fromPfn, long endOfRange, Visitor visitor, PageBuffer page, boolean onlySlabs) {
    int pageSize = memory.pageSize();
    byte[] bytes = page.bytes();
    long pfn = Math.max(fromPfn, firstPfn);
    while (pfn < endOfRange) {
      long endOfRun = endOfRange;
      if (sections != null) {
        pfn = sections.nextFrame(pfn);
        if (pfn < 0 || pfn >= endOfRange) {
          return;
        }
        endOfRun = Math.min(endOfRange, sections.endOfSection(pfn));
      }
      long vaddr = descriptor(pfn);
      int inPage = (int) (vaddr & (pageSize - 1));
      if (!memory.copyPage(vaddr, page)) {
        long next = pfn + descriptorsInGap(vaddr, pageSize);
        long gapEnd = Math.min(endOfRun, Math.max(pfn + 1, next));
        if (!(memory.translate(vaddr) instanceof Translated.NotMapped)) {
          visitor.unreadable(pfn, gapEnd - pfn);
        }
        pfn = gapEnd;
        continue;
      }
      int at = inPage;
      for (; at + shape.size() <= pageSize && pfn < endOfRun; at += shape.size()) {
        if (!onlySlabs || isMarkedAsSlab(bytes, at)) {
          visitor.page(pfn, bytes, at);
        }
        pfn++;
      }
      if (at < pageSize && pfn < endOfRun) {
        // A descriptor that lies across two pages (sizes that are no power of two).
        switch (memory.read(descriptor(pfn), shape.size())) {
          case MemoryRead.Bytes(var view) -> {
            byte[] straddling = view.bytes();
            if (!onlySlabs || isMarkedAsSlab(straddling, 0)) {
              visitor.page(pfn, straddling, 0);
            }
          }
          case MemoryRead.Missing _ -> visitor.unreadable(pfn, 1);
          // Where the next page was never mapped, a hole begins.
          case MemoryRead.NotMapped _ -> {}
        }
        pfn++;
      }
    }
  }

  /// Descriptors from an address on that start in the hole, or the missing page, that is there.
  private long descriptorsInGap(long vaddr, int pageSize) {
    long span =
        memory.translate(vaddr) instanceof Translated.NotMapped(long unmapped, String _)
            ? unmapped
            : pageSize;
    long end = (vaddr & -span) + span;
    return (end - vaddr + shape.size() - 1) / shape.size();
  }

  public static long word(byte[] bytes, int at) {
    return (long) WORD.get(bytes, at);
  }

  static int half(byte[] bytes, int at) {
    return (int) HALF.get(bytes, at);
  }

  long flags(byte[] bytes, int at) {
    return word(bytes, at + shape.flagsAt());
  }

  int type(byte[] bytes, int at) {
    return shape.typeAt() < 0 ? -1 : half(bytes, at + shape.typeAt());
  }

  public boolean isTail(byte[] bytes, int at) {
    return (word(bytes, at + shape.compoundAt()) & 1) != 0;
  }

  /// Whether this is the first descriptor of a slab. The kernel marks only heads; a tail's word
  /// that leads to no descriptor before this one is no tail's, but a damaged link that lies over
  /// it.
  public boolean isSlabHead(long pfn, byte[] bytes, int at) {
    if (!shape.slab().matches(flags(bytes, at), type(bytes, at))) {
      return false;
    }
    if (!isTail(bytes, at)) {
      return true;
    }
    long head = headOf(pfn, word(bytes, at + shape.compoundAt()));
    return head < 0 || head >= pfn;
  }

  /// A word of a compound page's descriptors that does not agree with the page's order.
  ///
  /// @param address of the word
  /// @param member by the kernel's names
  public record BadWord(long pfn, long address, long raw, String member, String why) {}

  /// Looks at the descriptors of a slab of several pages: the head's flag, the tails' way back, the
  /// order. All of them are set before the slab is marked and stay until the mark is gone
  /// (`prep_compound_page`), so that no lock and no instant excuses a difference.
  ///
  /// @param bytes memory that holds the head's descriptor
  /// @param at its offset
  /// @return null if all agree, or cannot be read
  public BadWord checkCompound(long pfn, int order, byte[] bytes, int at) {
    long head = descriptor(pfn);
    if (shape.headMask() != 0 && (flags(bytes, at) & shape.headMask()) == 0) {
      return new BadWord(
          pfn,
          head + shape.flagsAt(),
          flags(bytes, at),
          "flags",
          "PG_head is not set on the first of %d pages".formatted(1 << order));
    }
    byte[] all = bytes;
    int start = at;
    int byteCount = shape.size() << order;
    if (at + byteCount > bytes.length) {
      if (!(memory.read(head, byteCount) instanceof MemoryRead.Bytes(var view))) {
        return null;
      }
      all = view.bytes();
      start = 0;
    }
    for (int i = 1; i < 1 << order; i++) {
      long word = word(all, start + i * shape.size() + shape.compoundAt());
      if (word != (head | 1) && ((word & 1) == 0 || headOf(pfn + i, word) != pfn)) {
        return new BadWord(
            pfn + i,
            head + (long) i * shape.size() + shape.compoundAt(),
            word,
            "compound_head",
            "it does not lead to page frame 0x%x, the first of %d pages"
                .formatted(pfn, 1 << order));
      }
    }
    if (shape.orderAt() >= 0) {
      int told = all[start + shape.orderAt()] & 0xff;
      if (told != order) {
        return new BadWord(
            pfn + 1,
            head + shape.orderAt(),
            word(all, start + shape.orderAt()),
            "the order",
            "it is %d, and the slab's objects fill order %d".formatted(told, order));
      }
    }
    return null;
  }

  /// Whether the descriptors of a compound page of an order are there and all say so.
  ///
  /// @param bytes memory that holds its first descriptor
  /// @param at its offset
  public boolean isWholeCompound(long pfn, int order, byte[] bytes, int at) {
    if (shape.orderAt() < 0 || shape.headMask() == 0) {
      return false;
    }
    int byteCount = shape.size() << order;
    boolean isThere =
        at + byteCount <= bytes.length
            || memory.read(descriptor(pfn), byteCount) instanceof MemoryRead.Bytes;
    return isThere && checkCompound(pfn, order, bytes, at) == null;
  }

  public boolean isMarkedAsSlab(byte[] bytes, int at) {
    return shape.slab().matches(flags(bytes, at), type(bytes, at));
  }

  public boolean isFreeBlock(byte[] bytes, int at) {
    return shape.buddy().matches(flags(bytes, at), type(bytes, at));
  }

  /// Whether a descriptor is all zeros, which the kernel makes none: it counts map counts from -1
  /// and keeps what uses a page in the same word.
  public boolean isWiped(byte[] bytes, int at) {
    long all = 0;
    for (int i = 0; i + 8 <= shape.size(); i += 8) {
      all |= word(bytes, at + i);
    }
    return all == 0;
  }

  public String slabMarkName() {
    return shape.slab() instanceof PageShape.Mark.FlagBit ? "flags" : "page_type";
  }

  /// Offset in a descriptor of the word that marks slabs.
  public int slabMarkAt() {
    return shape.slab() instanceof PageShape.Mark.FlagBit ? shape.flagsAt() : shape.typeAt();
  }

  /// The frame of the head of the compound page that a frame belongs to; the frame itself if it is
  /// no tail, -1 if the descriptor cannot be read.
  public long head(long pfn) {
    byte[] bytes = descriptorBytes(pfn);
    if (bytes == null) {
      return -1;
    }
    long word = word(bytes, shape.compoundAt());
    if ((word & 1) == 0) {
      return pfn;
    }
    return headOf(pfn, word);
  }

  /// The frame of the head that a tail's word leads to, -1 if to none. 7.1 may store a mask instead
  /// of the head's address: ones down to the size of the compound.
  long headOf(long pfn, long word) {
    long mask = word & ~1L;
    long headAddress =
        Long.bitCount(-mask) == 1 && -mask > 0 && -mask <= 1L << 40
            ? descriptor(pfn) & mask
            : word - 1;
    return pfn(headAddress);
  }

  /// Whether the hardware gave the page up (PG_hwpoison).
  public boolean isHwPoison(long pfn) {
    byte[] bytes = descriptorBytes(pfn);
    return bytes != null && isHwPoison(bytes, 0);
  }

  /// The descriptor's bytes, or null.
  private byte[] descriptorBytes(long pfn) {
    if (pfn < firstPfn || pfn >= endPfn) {
      return null;
    }
    return memory.read(descriptor(pfn), shape.size()) instanceof MemoryRead.Bytes(var view)
        ? view.bytes()
        : null;
  }

  /// Whether the address lies in a page of the direct map that is marked as a slab.
  public boolean isSlab(long vaddr) {
    return memory.map().isDirectMap(vaddr)
        && state(memory.directMapPfn(vaddr)).kind() == PageState.Kind.SLAB;
  }

  /// Whether a frame's descriptor was ever written: one that was has a `_mapcount` of -1 or more
  /// and flags that are not all ones. True where it cannot be read.
  public boolean isSetUp(long pfn) {
    byte[] bytes = descriptorBytes(pfn);
    if (bytes == null) {
      return true;
    }
    boolean isZero = true;
    for (byte b : bytes) {
      isZero &= b == 0;
    }
    return !isZero && flags(bytes, 0) != -1;
  }

  /// What the kernel's descriptor says of a page.
  public PageState state(long pfn) {
    byte[] bytes = descriptorBytes(pfn);
    if (bytes == null) {
      return new PageState(PageState.Kind.UNKNOWN, pfn, 0);
    }
    long head = head(pfn);
    if (head < 0 && shape.slab().matches(flags(bytes, 0), type(bytes, 0))) {
      // From 6.2 on slab_cache lies over the word that marks tails; tails carry no slab mark.
      head = pfn;
    }
    if (head != pfn) {
      byte[] headBytes = descriptorBytes(head);
      if (headBytes == null) {
        return new PageState(PageState.Kind.UNKNOWN, head, 0);
      }
      return new PageState(kind(headBytes, 0), head, slabCache(headBytes));
    }
    return new PageState(kind(bytes, 0), pfn, slabCache(bytes));
  }

  /// @param bytes hold the descriptor
  /// @param at its offset in them
  PageState.Kind kind(byte[] bytes, int at) {
    return isHwPoison(bytes, at) ? PageState.Kind.HWPOISON : use(bytes, at);
  }

  /// Whether the hardware gave up the page of a descriptor (PG_hwpoison), tail or not.
  public boolean isHwPoison(byte[] bytes, int at) {
    long flags = flags(bytes, at);
    // A descriptor that was never set up may be all ones (PAGE_POISON_PATTERN).
    return shape.hwPoisonBit() >= 0 && flags != -1 && (flags >>> shape.hwPoisonBit() & 1) != 0;
  }

  /// What a page is used for, whether the hardware gave it up or not: memory_failure leaves a slab
  /// to its cache.
  PageState.Kind use(byte[] bytes, int at) {
    long flags = flags(bytes, at);
    int type = type(bytes, at);
    if (shape.slab().matches(flags, type)) {
      return PageState.Kind.SLAB;
    }
    if (shape.reservedBit() >= 0 && (flags >>> shape.reservedBit() & 1) != 0) {
      return PageState.Kind.RESERVED;
    }
    if (shape.buddy().matches(flags, type)) {
      return PageState.Kind.BUDDY;
    }
    if (shape.table().matches(flags, type)) {
      return PageState.Kind.PAGE_TABLE;
    }
    long mapping = shape.mappingAt() < 0 ? 0 : word(bytes, at + shape.mappingAt());
    if (shape.lruBit() >= 0 && (flags >>> shape.lruBit() & 1) != 0) {
      return (mapping & 1) != 0 ? PageState.Kind.ANONYMOUS : PageState.Kind.PAGE_CACHE;
    }
    return references(bytes, at) == 0 ? PageState.Kind.FREE : PageState.Kind.KERNEL;
  }

  /// Whether a page frame looks as the page allocator hands it out for a slab: no use of it told by
  /// flags, map count or `private`, and taken off a list of free pages (Linux `mm/page_alloc.c`,
  /// `post_alloc_hook`, `check_new_pages`, `list_del` in `rmqueue`); a slab under construction may
  /// have its number of objects already, with none in use.
  ///
  /// @param countersAt offset of `slab.counters`, which lie over some of these
  /// @param references how many slabs of this kernel have: none where `alloc_frozen_pages` makes
  ///   them, else one
  public boolean isJustAllocated(long pfn, int countersAt, int references) {
    byte[] bytes = descriptorBytes(pfn);
    if (bytes == null) {
      return false;
    }
    long flags = flags(bytes, 0);
    long used = 0;
    for (int bit : new int[] {shape.reservedBit(), shape.lruBit(), shape.hwPoisonBit()}) {
      used |= bit < 0 ? 0 : 1L << bit;
    }
    // Up to 4.17 the counters lie over the map count.
    boolean isUnmapped =
        shape.typeAt() < 0
            || shape.typeAt() == countersAt
            || !(shape.slab() instanceof PageShape.Mark.FlagBit)
            || type(bytes, 0) == -1;
    int counters = half(bytes, countersAt);
    boolean isUncounted =
        (counters & ~OBJECTS_OF_SLAB) == 0 || (counters == -1 && shape.typeAt() == countersAt);
    return (flags & used) == 0
        && isUnmapped
        && isUncounted
        && references(bytes, 0) == references
        && (shape.lruAt() < 0
            || ListPoison.isInAllocated(
                word(bytes, shape.lruAt()), word(bytes, shape.lruAt() + 8)));
  }

  /// How many references a page frame has; 1 where that is not known.
  public int references(long pfn) {
    byte[] bytes = descriptorBytes(pfn);
    return bytes == null ? 1 : references(bytes, 0);
  }

  private int references(byte[] bytes, int at) {
    return shape.refcountAt() < 0 ? 1 : half(bytes, at + shape.refcountAt());
  }

  private long slabCache(byte[] bytes) {
    if (!shape.slab().matches(flags(bytes, 0), type(bytes, 0))) {
      return 0;
    }
    int at = shape.slabCacheAt();
    return at < 0 ? 0 : word(bytes, at);
  }
}
