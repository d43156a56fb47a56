package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.List;

/// One slab of an image.
public final class SlabImage {
  /// Where the allocator keeps it.
  public enum Place {
    CPU_SLAB,
    CPU_PARTIAL,
    NODE_PARTIAL,
    FULL,
    RCU_PENDING
  }

  final CacheImage cache;
  final long pfn;
  final long base;
  final long address;
  final int order;
  final int objects;
  final int node;
  Place place;
  final int cpu;

  /// Indices on the slab's own freelist, and on that of the CPU, in the order of the chain.
  final List<Integer> own = new ArrayList<>();

  final List<Integer> onCpu = new ArrayList<>();

  SlabImage(
      CacheImage cache,
      long pfn,
      long base,
      long address,
      int order,
      int objects,
      int node,
      Place place,
      int cpu) {
    this.cache = cache;
    this.pfn = pfn;
    this.base = base;
    this.address = address;
    this.order = order;
    this.objects = objects;
    this.node = node;
    this.place = place;
    this.cpu = cpu;
  }

  public CacheImage cache() {
    return cache;
  }

  /// Its first page frame.
  public long pfn() {
    return pfn;
  }

  /// Address of its first byte.
  public long base() {
    return base;
  }

  /// Address of its descriptor.
  public long address() {
    return address;
  }

  public int order() {
    return order;
  }

  public int objects() {
    return objects;
  }

  public int node() {
    return node;
  }

  public Place place() {
    return place;
  }

  /// The CPU that keeps it; -1 if none does.
  public int cpu() {
    return cpu;
  }

  /// Indices on the slab's own freelist, in its order.
  public List<Integer> freelist() {
    return List.copyOf(own);
  }

  /// Indices on the CPU's freelist, in its order.
  public List<Integer> cpuFreelist() {
    return List.copyOf(onCpu);
  }

  /// Address of an object.
  public long object(int index) {
    return base + (long) index * cache.size + cache.pad;
  }

  /// Address of the free pointer of an object.
  public long slot(int index) {
    return object(index) + cache.offset;
  }

  public boolean isFree(int index) {
    return own.contains(index) || onCpu.contains(index);
  }
}
