package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/// What an image is to have of one slab cache.
public final class FakeCache {
  private final String name;
  private final int objectSize;
  private final Set<CacheFlag> flags = EnumSet.noneOf(CacheFlag.class);
  private final List<Integer> lowFrames = new ArrayList<>();
  private int align = 8;
  private int order = -1;
  private int fullSlabs = 2;
  private int partialSlabs = 2;
  private int cpuPartialSlabs = 1;
  private int fallbackSlabs;
  private int rcuPending;
  private int sheafCapacity = -1;
  private int memcgChildren;
  private int refcount = 1;
  private boolean outside;
  private boolean constructor;
  private boolean cpuSlabs = true;

  private FakeCache(String name, int objectSize) {
    this.name = name;
    this.objectSize = objectSize;
  }

  public static FakeCache named(String name, int objectSize) {
    return new FakeCache(name, objectSize);
  }

  public FakeCache align(int bytes) {
    align = bytes;
    return this;
  }

  /// Pages of a slab as a power of two; otherwise chosen as the kernel does, for eight objects or
  /// more.
  public FakeCache order(int value) {
    order = value;
    return this;
  }

  /// Slabs whose objects are all handed out.
  public FakeCache full(int slabs) {
    fullSlabs = slabs;
    return this;
  }

  /// Slabs on the list of each node.
  public FakeCache partial(int slabs) {
    partialSlabs = slabs;
    return this;
  }

  /// Slabs on the partial list of each CPU.
  public FakeCache cpuPartial(int slabs) {
    cpuPartialSlabs = slabs;
    return this;
  }

  /// Partial slabs of the smallest order that holds an object, as made when memory is fragmented.
  public FakeCache fallbackSlabs(int slabs) {
    fallbackSlabs = slabs;
    return this;
  }

  /// No CPU has a slab of this cache.
  public FakeCache noCpuSlabs() {
    cpuSlabs = false;
    cpuPartialSlabs = 0;
    return this;
  }

  /// The free pointer lies behind the object, as for caches with a constructor.
  public FakeCache outside() {
    outside = true;
    return this;
  }

  public FakeCache constructor() {
    constructor = true;
    outside = true;
    return this;
  }

  /// TYPESAFE_BY_RCU, with slabs that wait for the end of a grace period: empty, on no list and no
  /// longer counted.
  public FakeCache rcu(int pendingSlabs) {
    flags.add(CacheFlag.TYPESAFE_BY_RCU);
    rcuPending = pendingSlabs;
    outside = true;
    return this;
  }

  public FakeCache flag(CacheFlag flag) {
    flags.add(flag);
    return this;
  }

  /// As `slub_debug=FZPU` makes it: red zones, poison and tracking; debug caches have no CPU slabs.
  public FakeCache debug() {
    flags.addAll(
        List.of(
            CacheFlag.CONSISTENCY_CHECKS,
            CacheFlag.RED_ZONE,
            CacheFlag.POISON,
            CacheFlag.OBJECT_POISON,
            CacheFlag.STORE_USER));
    outside = true;
    return noCpuSlabs();
  }

  public FakeCache redZones() {
    flags.add(CacheFlag.RED_ZONE);
    return noCpuSlabs();
  }

  /// Objects a sheaf holds; 0 for a cache without sheaves. Otherwise as the generation has it.
  public FakeCache sheaves(int capacity) {
    sheafCapacity = capacity;
    return this;
  }

  /// Caches of memory cgroups below it (to 5.8).
  public FakeCache memcgChildren(int count) {
    memcgChildren = count;
    return this;
  }

  /// Caches that were merged into it, itself counted.
  public FakeCache aliases(int count) {
    refcount = count;
    return this;
  }

  /// A CPU slab of CPU 0 whose first page is this frame below 1 MiB.
  public FakeCache lowCpuSlab(int pfn) {
    lowFrames.addFirst(pfn);
    return this;
  }

  /// Slabs on the list of node 0 whose first pages are these frames below 1 MiB.
  public FakeCache lowPartial(int... pfns) {
    for (int pfn : pfns) {
      lowFrames.add(-pfn);
    }
    return this;
  }

  String name() {
    return name;
  }

  int objectSize() {
    return objectSize;
  }

  Set<CacheFlag> flags() {
    return flags;
  }

  boolean has(CacheFlag flag) {
    return flags.contains(flag);
  }

  int align() {
    return align;
  }

  int order() {
    return order;
  }

  int fullSlabs() {
    return fullSlabs;
  }

  int partialSlabs() {
    return partialSlabs;
  }

  int cpuPartialSlabs() {
    return cpuPartialSlabs;
  }

  int fallbackSlabs() {
    return fallbackSlabs;
  }

  int rcuPending() {
    return rcuPending;
  }

  int sheafCapacity() {
    return sheafCapacity;
  }

  int memcgChildren() {
    return memcgChildren;
  }

  int refcount() {
    return refcount;
  }

  boolean isOutside() {
    return outside;
  }

  boolean hasConstructor() {
    return constructor;
  }

  boolean hasCpuSlabs() {
    return cpuSlabs;
  }

  /// Frames below 1 MiB: positive for the CPU slab, negative for partial slabs.
  List<Integer> lowFrames() {
    return lowFrames;
  }

  boolean isDebug() {
    return has(CacheFlag.RED_ZONE) || has(CacheFlag.POISON) || has(CacheFlag.STORE_USER);
  }
}
