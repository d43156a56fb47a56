package org.vmcheck.slab;

import java.util.List;
import java.util.Optional;

/// One `kmem_cache`, read once.
///
/// @param allocator whose cache it is: members that only SLUB has are 0 in SLAB's
/// @param name as in memory, unescaped
/// @param size bytes from one object to the next
/// @param objectSize bytes a user gets
/// @param offset of the free pointer from the object's address
/// @param inuse end of payload and right red zone: where metadata begins
/// @param redLeftPad bytes before each object; 0 unless the cache has red zones
/// @param order of a slab, in pages as a power of two
/// @param objects in a slab of that order
/// @param minOrder fallback order; `minObjects` in a slab of that order
/// @param pageShift bits of an address within a page of the kernel
/// @param maxOrder the highest order that a slab can have: kernels with a member `max` let the
///   order be changed at run time, and older slabs keep theirs
/// @param random secret of the free-pointer encoding; 0 where there is none
/// @param cpuSlab per-CPU pointer to `kmem_cache_cpu`; 0 where there is none
/// @param cpuSheaves per-CPU pointer to `slub_percpu_sheaves`; 0 where there is none
/// @param sheafCapacity objects that a sheaf can hold; 0 for a cache without sheaves
public record SlabCache(
    Allocator allocator,
    long address,
    String name,
    int size,
    int objectSize,
    int offset,
    int inuse,
    int align,
    int redLeftPad,
    long flags,
    int order,
    int objects,
    int minOrder,
    int minObjects,
    int pageShift,
    int maxOrder,
    int refcount,
    boolean hasConstructor,
    long random,
    long cpuSlab,
    long cpuSheaves,
    int sheafCapacity,
    List<Node> nodes) {
  public SlabCache {
    nodes = List.copyOf(nodes);
  }

  /// A dump has one state of each cache: the address tells them apart, at the price of one word.
  @Override
  public boolean equals(Object other) {
    return other instanceof SlabCache cache && address == cache.address;
  }

  @Override
  public int hashCode() {
    return Long.hashCode(address);
  }

  /// The allocators that have caches.
  public enum Allocator {
    SLUB,
    /// The old one, gone in 6.8.
    SLAB
  }

  /// One `kmem_cache_node`.
  ///
  /// @param nrPartial `nr_partial`, NOT_COUNTED where there is none
  /// @param slabs `nr_slabs`, NOT_COUNTED where the kernel does not count (no SLUB_DEBUG)
  /// @param totalObjects `total_objects`, NOT_COUNTED where the kernel does not count
  /// @param partialHead address of the list_head of partial slabs
  /// @param fullHead address of the list_head of full slabs, which only debug caches use; 0 where
  ///   there is none
  /// @param listLock the lock's first word: not 0 while a CPU holds it
  /// @param barn address of the `node_barn`; 0 where there is none
  public record Node(
      int id,
      long address,
      long nrPartial,
      long slabs,
      long totalObjects,
      long partialHead,
      long fullHead,
      long listLock,
      long barn) {
    /// Stands for a counter that the kernel does not have. A negative counter is a wrong one.
    static final long NOT_COUNTED = Long.MIN_VALUE;

    /// Whether a CPU was stopped between taking and giving back the lock of the lists: then one
    /// step of an update may be done and the next not.
    public boolean isLocked() {
      return listLock != 0;
    }
  }

  /// The same cache with another secret.
  public SlabCache withRandom(long newRandom) {
    return with(size, offset, newRandom);
  }

  /// The same cache with its free pointer elsewhere.
  public SlabCache withOffset(int newOffset) {
    return with(size, newOffset, random);
  }

  /// The same cache with another stride.
  public SlabCache withSize(int newSize) {
    return with(newSize, offset, random);
  }

  private SlabCache with(int newSize, int newOffset, long newRandom) {
    return new SlabCache(
        allocator,
        address,
        name,
        newSize,
        objectSize,
        newOffset,
        inuse,
        align,
        redLeftPad,
        flags,
        order,
        objects,
        minOrder,
        minObjects,
        pageShift,
        maxOrder,
        refcount,
        hasConstructor,
        newRandom,
        cpuSlab,
        cpuSheaves,
        sheafCapacity,
        nodes);
  }

  /// Whether its objects are the `kmem_cache_node`s. At boot it counts and lists its first slab of
  /// a node there even if the page is another node's (Linux `mm/slub.c`,
  /// `early_kmem_cache_node_alloc`).
  boolean isOfNodes() {
    return name.equals("kmem_cache_node");
  }

  /// Whether the numbers are ones that the allocator can have computed; a cache that fails this
  /// cannot be walked.
  public boolean isSane() {
    return wrongNumber().isEmpty();
  }

  /// The first number that cannot be right; empty if all can.
  ///
  /// SLUB lays an object out (`calculate_sizes` in Linux mm/slub.c) as left red zone, payload and
  /// right red zone up to `inuse`, then, for some caches, the free pointer and debugging data; all
  /// of that fits in `size`. Aliases of a merged cache raise `object_size` before `inuse`, so their
  /// order is no rule. Neither is the alignment: a driver may ask for any number.
  Optional<Insanity> wrongNumber() {
    if (size < 8 || size > 1 << 23 || (size & 7) != 0) {
      return wrong("size", "is " + size);
    }
    if (objectSize < 1 || objectSize > size) {
      return wrong("object_size", "is " + objectSize + " with size " + size);
    }
    if (allocator == Allocator.SLAB) {
      return order < 0 || order > 11 || objects < 1 || (long) objects * size > slabBytes(order)
          ? wrong("num", "is %d with size %d and gfporder %d".formatted(objects, size, order))
          : Optional.empty();
    }
    if (redLeftPad < 0 || redLeftPad > size - 8) {
      return wrong("red_left_pad", "is " + redLeftPad + " with size " + size);
    }
    if (objectSize > size - redLeftPad) {
      return wrong("object_size", "is " + objectSize + behindPad());
    }
    if (offset < 0 || offset > size - redLeftPad - 8) {
      return wrong("offset", "is " + offset + behindPad());
    }
    if (inuse < 0 || inuse > size - redLeftPad) {
      return wrong("inuse", "is " + inuse + behindPad());
    }
    if (order > 11 || objects != objectsIn(order)) {
      return wrong("oo", "is order %d with %d objects of size %d".formatted(order, objects, size));
    }
    if (minOrder > 11 || minObjects != objectsIn(minOrder)) {
      return wrong(
          "min", "is order %d with %d objects of size %d".formatted(minOrder, minObjects, size));
    }
    return Optional.empty();
  }

  /// A number of a cache that cannot be right.
  ///
  /// @param member of `kmem_cache`
  /// @param says what it is beside which others
  record Insanity(String member, String says) {
    /// As `member is value`.
    String words() {
      return member + " " + says;
    }
  }

  private static Optional<Insanity> wrong(String member, String says) {
    return Optional.of(new Insanity(member, says));
  }

  /// The first number that cannot be right, as `member is value`; empty if all can.
  public String insanity() {
    return wrongNumber().map(Insanity::words).orElse("");
  }

  private String behindPad() {
    return " with size " + size + (redLeftPad > 0 ? " and red_left_pad " + redLeftPad : "");
  }

  /// Objects in a slab of an order; SLUB stores the count in 15 bits, SLAB once for the cache.
  public int objectsIn(int slabOrder) {
    if (allocator == Allocator.SLAB) {
      return objects;
    }
    // No order above 11 counts as sane; up to there the quotient is one of ints.
    int shift = pageShift + slabOrder;
    return shift <= 30
        ? Math.min((1 << shift) / size, 32767)
        : (int) Math.min(slabBytes(slabOrder) / size, 32767);
  }

  /// Bytes of a slab of an order.
  public long slabBytes(int slabOrder) {
    return 1L << (pageShift + slabOrder);
  }
}
