package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;

/// Builds the SLAB allocator of an image: lists of full, partial and free slabs, index arrays at
/// the end of the slab, in an object of another cache or in a free object, and array caches.
final class ClassicSlabBuilder implements AllocatorBuilder {
  private static final long OFF_SLAB = 0x8000_0000L;
  private static final long OBJECT_FREELIST = 0x4000_0000L;

  /// Entries start behind the header of an array cache.
  private static final int ENTRIES_AT = 16;

  private static final int LIMIT = 24;

  private final ImageBuilder image;
  private final FakeKernel config;
  private final Layout layout;
  private final AddressSpace space;
  private final FrameTable frames;
  private final Random random;
  private final List<CacheImage> caches = new ArrayList<>();
  private final Map<String, CacheImage> byName = new HashMap<>();

  /// Where the index arrays are kept.
  private final Map<CacheImage, Long> flags = new HashMap<>();

  private final Map<SlabImage, Long> indexArrays = new HashMap<>();
  private final Map<CacheImage, SlabImage> ownSlabs = new HashMap<>();
  private final Map<SlabImage, Integer> ownTaken = new HashMap<>();

  ClassicSlabBuilder(ImageBuilder image) {
    this.image = image;
    this.config = image.config();
    this.layout = config.layout();
    this.space = image.space();
    this.frames = image.frames();
    this.random = image.random();
  }

  @Override
  public List<CacheImage> caches() {
    return caches;
  }

  @Override
  public void plan() {
    add(
        FakeCache.named("kmem_cache", layout.offset("kmem_cache", "node") + 8 * config.nodes())
            .align(64));
    add(FakeCache.named("kmem_cache_node", layout.size("kmem_cache_node")).align(64));
    List<FakeCache> wanted =
        config.caches().isEmpty()
            ? List.of(
                FakeCache.named("kmalloc-32", 32),
                FakeCache.named("kmalloc-512", 512),
                FakeCache.named("dentry", 192),
                FakeCache.named("filp", 232).rcu(2),
                FakeCache.named("task_struct", 6080),
                FakeCache.named("anon_vma", 88).constructor())
            : config.caches();
    wanted.forEach(this::add);
    for (int size : new int[] {128, 256}) {
      if (!byName.containsKey("kmalloc-" + size)) {
        add(FakeCache.named("kmalloc-" + size, size));
      }
    }
    for (CacheImage cache : caches) {
      cache.cpuSlab = image.perCpu(ENTRIES_AT + 8 * LIMIT, 8);
      cache.address = take(byName.get("kmem_cache"));
      for (int node = 0; node < config.nodes(); node++) {
        cache.nodes.add(take(byName.get("kmem_cache_node")));
      }
    }
    for (CacheImage cache : List.copyOf(caches)) {
      planSlabs(cache);
    }
    for (CacheImage cache : List.copyOf(caches)) {
      planArrays(cache);
    }
    for (CacheImage cache : caches) {
      for (SlabImage slab : List.copyOf(cache.slabs)) {
        if (flags.get(cache) == OFF_SLAB) {
          indexArrays.put(slab, take(byName.get("kmalloc-128")));
        }
      }
    }
    ownSlabs.values().forEach(this::freeRest);
  }

  private void add(FakeCache spec) {
    CacheImage cache = new CacheImage(spec, spec.name(), null);
    cache.size = (Math.max(32, spec.objectSize()) + spec.align() - 1) / spec.align() * spec.align();
    cache.order = spec.order();
    if (cache.order < 0) {
      cache.order = 0;
      while (cache.order < 3 && (4096 << cache.order) / cache.size < 4) {
        cache.order++;
      }
    }
    // As set_objfreelist_slab_cache, set_off_slab_cache and set_on_slab_cache choose.
    int whole = (4096 << cache.order) / cache.size;
    boolean constructed = spec.hasConstructor() || spec.has(CacheFlag.TYPESAFE_BY_RCU);
    if (!constructed && whole <= cache.size) {
      flags.put(cache, OBJECT_FREELIST);
      cache.objects = whole;
    } else if (cache.size >= 2048) {
      flags.put(cache, OFF_SLAB);
      cache.objects = whole;
    } else {
      flags.put(cache, 0L);
      cache.objects = (4096 << cache.order) / (cache.size + 1);
      while ((4096 << cache.order) - cache.objects * cache.size < (cache.objects + 7 & ~7)) {
        cache.objects--;
      }
    }
    caches.add(cache);
    byName.put(cache.name, cache);
  }

  private long take(CacheImage from) {
    SlabImage slab = ownSlabs.get(from);
    // The last object stays free where the index array may have to lie in it.
    int usable = slab == null ? 0 : slab.objects;
    if (slab == null || ownTaken.get(slab) == usable) {
      slab = slab(from, SlabImage.Place.FULL, 0);
      ownSlabs.put(from, slab);
      ownTaken.put(slab, 0);
      if (flags.get(from) == OFF_SLAB) {
        throw new IllegalStateException(from.name() + " cannot serve the allocator itself");
      }
    }
    return slab.object(ownTaken.merge(slab, 1, Integer::sum) - 1);
  }

  private void freeRest(SlabImage slab) {
    List<Integer> rest =
        new ArrayList<>(IntStream.range(ownTaken.get(slab), slab.objects).boxed().toList());
    if (!rest.isEmpty()) {
      Collections.shuffle(rest, random);
      slab.own.addAll(rest);
      slab.place = SlabImage.Place.NODE_PARTIAL;
    }
  }

  private SlabImage slab(CacheImage cache, SlabImage.Place place, int node) {
    long pfn = frames.allocate(node, cache.order);
    int room = (4096 << cache.order) - cache.objects * cache.size;
    if (flags.get(cache) == 0) {
      room -= cache.objects + 7 & ~7;
    }
    // Colour: the first object moves by cache lines, so that slabs do not fall on the same ones.
    long colour = room >= 64 ? 64L * random.nextInt(room / 64 + 1) : 0;
    SlabImage slab =
        new SlabImage(
            cache,
            pfn,
            space.direct(pfn << 12) + colour,
            frames.descriptor(pfn),
            cache.order,
            cache.objects,
            node,
            place,
            -1);
    cache.slabs.add(slab);
    return slab;
  }

  private void planSlabs(CacheImage cache) {
    if (ownSlabs.containsKey(cache)) {
      return;
    }
    for (int node = 0; node < config.nodes(); node++) {
      for (int i = 0; i < cache.spec.fullSlabs(); i++) {
        slab(cache, SlabImage.Place.FULL, node);
      }
      for (int i = 0; i < cache.spec.partialSlabs() && cache.objects > 1; i++) {
        SlabImage slab = slab(cache, SlabImage.Place.NODE_PARTIAL, node);
        slab.own.addAll(shuffled(slab).subList(0, 1 + random.nextInt(slab.objects - 1)));
      }
      if (random.nextBoolean()) {
        // On slabs_free.
        SlabImage slab = slab(cache, SlabImage.Place.NODE_PARTIAL, node);
        slab.own.addAll(shuffled(slab));
      }
    }
    for (int i = 0; i < cache.spec.rcuPending(); i++) {
      SlabImage slab = slab(cache, SlabImage.Place.RCU_PENDING, 0);
      slab.own.addAll(shuffled(slab));
    }
  }

  private List<Integer> shuffled(SlabImage slab) {
    List<Integer> indices = new ArrayList<>(IntStream.range(0, slab.objects).boxed().toList());
    Collections.shuffle(indices, random);
    return indices;
  }

  private void planArrays(CacheImage cache) {
    if (ownSlabs.containsKey(cache)) {
      return;
    }
    List<Long> held = new ArrayList<>();
    for (SlabImage slab : cache.slabs) {
      if (slab.place == SlabImage.Place.FULL) {
        IntStream.range(0, slab.objects).forEach(i -> held.add(slab.object(i)));
      }
    }
    Collections.shuffle(held, random);
    int next = 0;
    for (int cpu = 0; cpu < config.cpus(); cpu++) {
      int size = Math.min(random.nextInt(6), held.size() - next);
      // Its address is known only when the per-CPU areas are made.
      cache.sheaves.add(
          new SheafImage(
              SheafImage.Place.CPU_ARRAY, cpu, 0, held.subList(next, next + size), ENTRIES_AT));
      next += size;
    }
    for (int node = 0; node < config.nodes(); node++) {
      int size = Math.min(random.nextInt(5), held.size() - next);
      cache.sheaves.add(
          new SheafImage(
              SheafImage.Place.SHARED_ARRAY,
              node,
              take(byName.get("kmalloc-256")),
              held.subList(next, next + size),
              ENTRIES_AT));
      next += size;
    }
    if (config.nodes() > 1) {
      long alien = take(byName.get("kmalloc-256"));
      int size = Math.min(2, held.size() - next);
      cache.sheaves.add(
          new SheafImage(
              SheafImage.Place.ALIEN_ARRAY,
              0,
              alien + layout.offset("alien_cache", "ac"),
              held.subList(next, next + size),
              ENTRIES_AT));
    }
  }

  // ---- what is written

  @Override
  public void write() {
    Contents contents = new Contents(random, space.directMap());
    for (CacheImage cache : caches) {
      byte[] object = new byte[cache.spec.objectSize()];
      for (SlabImage slab : cache.slabs) {
        if (!ownTaken.containsKey(slab)) {
          for (int i = 0; i < slab.objects; i++) {
            contents.fill(config.contents(), object);
            space.put(slab.object(i), object);
          }
        }
      }
    }
    for (CacheImage cache : caches) {
      cache.slabs.forEach(this::writeSlab);
    }
    int link = layout.offset("kmem_cache", "list");
    image.link(
        image.variable("slab_caches", 16),
        caches.stream().map(cache -> cache.address + link).toList());
    for (CacheImage cache : caches) {
      writeCache(cache);
      writeArrays(cache);
      writeNodes(cache);
    }
  }

  private void writeSlab(SlabImage slab) {
    CacheImage cache = slab.cache;
    long flag = frames.flag("PG_slab") | (slab.order > 0 ? frames.flag("PG_head") : 0);
    frames.describe(slab.pfn, flag, -1, 1);
    frames.compound(slab.pfn, slab.order);
    String struct = layout.slabStruct();
    image.putStruct(struct, slab.address, "slab_cache", cache.address);
    image.putStruct(struct, slab.address, "s_mem", slab.base);
    int active = slab.objects - slab.own.size();
    image.putStruct(struct, slab.address, "active", active);
    long start = space.direct(slab.pfn << 12);
    long where = flags.get(cache);
    long array =
        where == OFF_SLAB
            ? indexArrays.get(slab)
            : where == OBJECT_FREELIST
                ? slab.own.isEmpty() ? 0 : slab.object(slab.own.getLast())
                : start + (4096L << slab.order) - (cache.objects + 7 & ~7);
    image.putStruct(struct, slab.address, "freelist", array);
    for (int i = 0; i < slab.own.size(); i++) {
      space.put(array + active + i, slab.own.get(i), 1);
    }
    if (slab.place == SlabImage.Place.RCU_PENDING) {
      space.u64(slab.address + listAt(), 0);
      space.u64(slab.address + listAt() + 8, image.address("rcu_free_slab"));
    }
  }

  private int listAt() {
    return layout.offset(layout.slabStruct(), "slab_list");
  }

  private void writeCache(CacheImage cache) {
    FakeCache spec = cache.spec;
    String struct = "kmem_cache";
    long value = flags.get(cache);
    for (CacheFlag flag : spec.flags()) {
      value |= flag.value(layout);
    }
    image.putStruct(struct, cache.address, "cpu_cache", cache.cpuSlab);
    image.putStruct(struct, cache.address, "batchcount", LIMIT / 2);
    image.putStruct(struct, cache.address, "limit", LIMIT);
    image.putStruct(struct, cache.address, "size", cache.size);
    image.putStruct(struct, cache.address, "flags", value);
    image.putStruct(struct, cache.address, "num", cache.objects);
    image.putStruct(struct, cache.address, "gfporder", cache.order);
    image.putStruct(struct, cache.address, "colour_off", 64);
    image.putStruct(struct, cache.address, "freelist_size", cache.objects + 7 & ~7);
    image.putStruct(struct, cache.address, "name", image.string(cache.name));
    image.putStruct(struct, cache.address, "refcount", spec.refcount());
    image.putStruct(struct, cache.address, "object_size", spec.objectSize());
    image.putStruct(struct, cache.address, "align", spec.align());
    for (int node = 0; node < config.nodes(); node++) {
      space.u64(cache.address + layout.offset(struct, "node") + 8L * node, cache.nodes.get(node));
    }
  }

  private void writeArrays(CacheImage cache) {
    for (int cpu = 0; cpu < config.possibleCpus(); cpu++) {
      long at = image.perCpu(cache.cpuSlab, cpu);
      image.putStruct("array_cache", at, "limit", LIMIT);
      image.putStruct("array_cache", at, "batchcount", LIMIT / 2);
    }
    cache.sheaves.replaceAll(
        array ->
            array.place() == SheafImage.Place.CPU_ARRAY
                ? new SheafImage(
                    array.place(),
                    array.cpu(),
                    image.perCpu(cache.cpuSlab, array.cpu()),
                    array.objects(),
                    ENTRIES_AT)
                : array);
    for (SheafImage array : cache.sheaves) {
      image.putStruct("array_cache", array.address(), "avail", array.objects().size());
      image.putStruct("array_cache", array.address(), "limit", LIMIT);
      for (int i = 0; i < array.objects().size(); i++) {
        space.u64(array.entry(i), array.objects().get(i));
      }
    }
  }

  private void writeNodes(CacheImage cache) {
    String struct = "kmem_cache_node";
    for (int id = 0; id < config.nodes(); id++) {
      int nodeId = id;
      long node = cache.nodes.get(id);
      List<SlabImage> here =
          cache.slabs.stream()
              .filter(slab -> slab.node == nodeId && slab.place != SlabImage.Place.RCU_PENDING)
              .toList();
      List<Long> full = new ArrayList<>();
      List<Long> partial = new ArrayList<>();
      List<Long> free = new ArrayList<>();
      long freeObjects = 0;
      for (SlabImage slab : here) {
        freeObjects += slab.own.size();
        List<Long> list =
            slab.own.isEmpty() ? full : slab.own.size() == slab.objects ? free : partial;
        list.add(slab.address + listAt());
      }
      image.link(node + layout.offset(struct, "slabs_full"), full);
      image.link(node + layout.offset(struct, "slabs_partial"), partial);
      image.link(node + layout.offset(struct, "slabs_free"), free);
      image.putStruct(struct, node, "total_slabs", here.size());
      image.putStruct(struct, node, "free_slabs", free.size());
      image.putStruct(struct, node, "free_objects", freeObjects);
      for (SheafImage array : cache.sheaves) {
        if (array.place() == SheafImage.Place.SHARED_ARRAY && array.cpu() == id) {
          image.putStruct(struct, node, "shared", array.address());
        }
        if (array.place() == SheafImage.Place.ALIEN_ARRAY && array.cpu() == id) {
          // alien_cache pointers by node; that of the node itself is null.
          long pointers = image.allocate(8 * config.nodes(), 8);
          space.u64(pointers + 8, array.address() - layout.offset("alien_cache", "ac"));
          image.putStruct(struct, node, "alien", pointers);
        }
      }
    }
  }
}
