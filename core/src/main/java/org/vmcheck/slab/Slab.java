package org.vmcheck.slab;

import org.vmcheck.page.MemMap;

/// One slab, as its descriptor tells.
///
/// @param address of the descriptor
/// @param pfn of its first page
/// @param base virtual address of its first byte, in the direct map
/// @param order pages as a power of two, as far as the counts allow to tell
/// @param objects slots, as its descriptor says
/// @param inuse objects handed out, as its descriptor says; those on a CPU's freelist included
/// @param freelist first free object, 0 if none
/// @param next first word of its list_head
/// @param prev second word
public record Slab(
    SlabCache cache,
    long address,
    long pfn,
    long base,
    int order,
    int objects,
    int inuse,
    boolean frozen,
    long freelist,
    long next,
    long prev,
    long flags) {

  /// Reads the descriptor whose bytes start at `at`.
  static Slab of(
      SlabLayout layout, SlabCache cache, long address, long pfn, long base, byte[] bytes, int at) {
    // Bits 0-15 inuse, 16-30 objects, 31 frozen; what stands above belongs to others.
    int counters = (int) MemMap.word(bytes, at + layout.countersAt());
    int objects = counters >>> 16 & 0x7fff;
    return new Slab(
        cache,
        address,
        pfn,
        base,
        orderFor(cache, objects),
        objects,
        counters & 0xffff,
        counters < 0,
        MemMap.word(bytes, at + layout.freelistAt()),
        MemMap.word(bytes, at + layout.listAt()),
        MemMap.word(bytes, at + layout.listAt() + 8),
        MemMap.word(bytes, at));
  }

  /// The order of a slab with that many objects: the preferred one where it fits, else the one that
  /// gives the count (the fallback; an older kernel's order can be changed at run time).
  private static int orderFor(SlabCache cache, int objects) {
    if (objects == cache.objects()) {
      return cache.order();
    }
    for (int order = 0; order <= cache.maxOrder(); order++) {
      if (cache.objectsIn(order) == objects) {
        return order;
      }
    }
    return cache.order();
  }

  /// The same slab seen as one of a cache with other numbers.
  public Slab withCache(SlabCache other) {
    return new Slab(
        other, address, pfn, base, order, objects, inuse, frozen, freelist, next, prev, flags);
  }

  /// The same slab, where its pages tell another order than the number of its objects.
  Slab withOrder(int other) {
    return new Slab(
        cache, address, pfn, base, other, objects, inuse, frozen, freelist, next, prev, flags);
  }

  public long byteCount() {
    return cache.slabBytes(order);
  }

  /// How many pages of the slab lie before the one that holds an address of it.
  public long pageOf(long vaddr) {
    return (vaddr - base) >>> cache.pageShift();
  }

  /// Its pages.
  public long pageCount() {
    return 1L << order;
  }

  /// Number of slots that fit: what a walk may touch, whatever the descriptor's count says.
  public int walkableObjects() {
    return cache.objectsIn(order);
  }

  /// Address of an object as its users see it, behind the left red zone.
  public long object(int index) {
    return base + (long) index * cache.size() + cache.redLeftPad();
  }

  /// Address of the free pointer of an object.
  public long slot(int index) {
    return object(index) + cache.offset();
  }

  /// Index of the object at an address, or -1 if no object starts there.
  public int index(long object) {
    long distance = object - base - cache.redLeftPad();
    if (distance < 0 || distance >= byteCount()) {
      return -1;
    }
    int index = (int) distance / cache.size();
    return index < walkableObjects() && (long) index * cache.size() == distance ? index : -1;
  }

  /// Index of the object whose bytes, red zone and metadata included, hold an address; -1 if none
  /// do.
  public int indexHolding(long address) {
    long distance = address - base;
    if (distance < 0 || distance >= byteCount()) {
      return -1;
    }
    int index = (int) distance / cache.size();
    return index < walkableObjects() ? index : -1;
  }
}
