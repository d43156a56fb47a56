package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.List;

/// A slab cache as it was built into an image: the truth that readers are measured against.
public final class CacheImage {
  final FakeCache spec;
  final String name;
  final CacheImage root;
  final List<SlabImage> slabs = new ArrayList<>();
  final List<SheafImage> sheaves = new ArrayList<>();
  final List<Long> nodes = new ArrayList<>();
  final List<Long> barns = new ArrayList<>();
  int size;
  int offset;
  int inuse;

  /// What the member holds, and what is before each object: nothing where debugging is off.
  int redLeftPad;

  int pad;
  int order;
  int objects;
  int sheafCapacity;
  long random;
  long address;
  long cpuSlab;
  long cpuSheaves;

  CacheImage(FakeCache spec, String name, CacheImage root) {
    this.spec = spec;
    this.name = name;
    this.root = root;
  }

  public String name() {
    return name;
  }

  /// Address of the `kmem_cache`.
  public long address() {
    return address;
  }

  /// Bytes from one object to the next.
  public int size() {
    return size;
  }

  /// Of the free pointer from the object's address.
  public int offset() {
    return offset;
  }

  /// Bytes before each object.
  public int pad() {
    return pad;
  }

  public int order() {
    return order;
  }

  public long random() {
    return random;
  }

  /// Address of the `kmem_cache_node` of a node.
  public long node(int id) {
    return nodes.get(id);
  }

  /// Address of the `node_barn` of a node.
  public long barn(int id) {
    return barns.get(id);
  }

  public List<SlabImage> slabs() {
    return slabs;
  }

  public List<SlabImage> slabs(SlabImage.Place place) {
    return slabs.stream().filter(slab -> slab.place == place).toList();
  }

  public List<SheafImage> sheaves() {
    return sheaves;
  }

  /// Objects that users hold; what waits for a grace period counts as held.
  public long allocated() {
    long held = 0;
    for (SlabImage slab : slabs) {
      held += slab.objects - slab.own.size() - slab.onCpu.size();
    }
    for (SheafImage sheaf : sheaves) {
      held -= sheaf.place() == SheafImage.Place.RCU_FREE ? 0 : sheaf.objects().size();
    }
    return held;
  }

  /// Slots of all its slabs.
  public long total() {
    return slabs.stream()
        .filter(slab -> slab.place != SlabImage.Place.RCU_PENDING)
        .mapToLong(slab -> slab.objects)
        .sum();
  }
}
