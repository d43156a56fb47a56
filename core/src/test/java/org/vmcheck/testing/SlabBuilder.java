package org.vmcheck.testing;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;

/// Builds the slab allocator of an image: first everything gets its place, then it is written.
final class SlabBuilder implements AllocatorBuilder {
  private static final long LIST_POISON1 = 0xdead_0000_0000_0100L;
  private static final long LIST_POISON2 = 0xdead_0000_0000_0122L;
  private static final int REDZONE_INACTIVE = 0xbb;
  private static final int REDZONE_ACTIVE = 0xcc;
  private static final int PADDING = 0x5a;

  private final ImageBuilder image;
  private final FakeKernel config;
  private final Layout layout;
  private final AddressSpace space;
  private final FrameTable frames;
  private final Random random;
  private final List<CacheImage> caches = new ArrayList<>();
  private final Map<String, CacheImage> byName = new HashMap<>();

  /// Slabs that the allocator's own objects are taken from, and how many objects are.
  private final Map<CacheImage, SlabImage> ownSlabs = new HashMap<>();

  private final Map<SlabImage, Integer> ownTaken = new HashMap<>();
  private final Set<Long> ownObjects = new HashSet<>();
  private long emptySheaf;

  SlabBuilder(ImageBuilder image) {
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

  private boolean hasCpuSlabs() {
    return layout.has("kmem_cache", "cpu_slab");
  }

  private boolean hasSheaves() {
    return layout.has("kmem_cache", "cpu_sheaves");
  }

  // ---- the plan

  @Override
  public void plan() {
    add(FakeCache.named("kmem_cache_node", layout.size("kmem_cache_node")).align(64));
    add(FakeCache.named("kmem_cache", cacheBytes()).align(64));
    List<FakeCache> wanted = config.caches().isEmpty() ? usual() : config.caches();
    wanted.forEach(this::add);
    for (int size : new int[] {64, 128, 256, 512, 1024}) {
      if (hasSheaves() && !byName.containsKey("kmalloc-" + size)) {
        add(FakeCache.named("kmalloc-" + size, size).align(size).full(1).partial(1));
      }
    }
    for (CacheImage cache : caches) {
      cache.cpuSlab = hasCpuSlabs() ? image.perCpu(layout.size("kmem_cache_cpu"), 16) : 0;
      cache.cpuSheaves =
          hasSheaves() && (cache.sheafCapacity > 0 || !hasCpuSlabs())
              ? image.perCpu(layout.size("slub_percpu_sheaves"), 8)
              : 0;
      cache.address = take(byName.get("kmem_cache"));
      for (int node = 0; node < config.nodes(); node++) {
        cache.nodes.add(take(byName.get("kmem_cache_node")));
      }
    }
    for (CacheImage cache : List.copyOf(caches)) {
      planSlabs(cache);
    }
    if (hasSheaves()) {
      emptySheaf = image.variable("bootstrap_sheaf", 64);
      for (CacheImage cache : caches) {
        planSheaves(cache);
      }
    }
    ownSlabs.forEach((_, slab) -> freeRest(slab));
  }

  /// Bytes of a `kmem_cache` as it is allocated: the array at its end has only the nodes that
  /// exist.
  private int cacheBytes() {
    boolean pairs = layout.has("kmem_cache", "per_node");
    return layout.offset("kmem_cache", pairs ? "per_node" : "node")
        + (pairs ? 16 : 8) * config.nodes();
  }

  private static List<FakeCache> usual() {
    return List.of(
        FakeCache.named("kmalloc-8", 8),
        FakeCache.named("kmalloc-64", 64).align(64),
        FakeCache.named("kmalloc-96", 96).aliases(3),
        FakeCache.named("kmalloc-512", 512).align(512),
        FakeCache.named("kmalloc-4k", 4096).align(4096),
        FakeCache.named("dentry", 192),
        FakeCache.named("filp", 232).align(64).rcu(2),
        FakeCache.named("anon_vma", 88).constructor(),
        FakeCache.named("task_struct", 6080).align(64),
        FakeCache.named("debugged", 104).debug());
  }

  private void add(FakeCache spec) {
    CacheImage root = new CacheImage(spec, spec.name(), null);
    addCache(root);
    if (layout.has("kmem_cache", "memcg_params")) {
      for (int i = 0; i < spec.memcgChildren(); i++) {
        addCache(
            new CacheImage(spec, "%s(%d:fake-%d.service)".formatted(spec.name(), 40 + i, i), root));
      }
    }
  }

  private void addCache(CacheImage cache) {
    FakeCache spec = cache.spec;
    boolean boot = spec.name().startsWith("kmem_cache");
    int size = spec.objectSize() + 7 & ~7;
    if (spec.has(CacheFlag.RED_ZONE) && size == spec.objectSize()) {
      size += 8;
    }
    cache.inuse = size;
    if (spec.isOutside()) {
      cache.offset = size;
      size += 8;
    } else {
      cache.offset = layout.isFreePointerInMiddle() ? spec.objectSize() / 2 & ~7 : 0;
    }
    if (spec.has(CacheFlag.STORE_USER)) {
      size += 2 * layout.size("track");
    }
    if (spec.has(CacheFlag.RED_ZONE)) {
      cache.redLeftPad = Math.max(8, spec.align());
      cache.pad = config.isDebugging() ? cache.redLeftPad : 0;
      size += 8 + cache.redLeftPad;
    }
    cache.size = (size + spec.align() - 1) / spec.align() * spec.align();
    cache.order = spec.order();
    if (cache.order < 0) {
      cache.order = 0;
      while (cache.order < 3 && (4096 << cache.order) / cache.size < 8) {
        cache.order++;
      }
    }
    cache.objects = Math.min(32767, (4096 << cache.order) / cache.size);
    cache.random = layout.has("kmem_cache", "random") ? random.nextLong() : 0;
    if (hasSheaves() && !boot && !spec.isDebug()) {
      int usual = hasCpuSlabs() ? 0 : cache.size >= 2048 ? 4 : cache.size >= 256 ? 12 : 28;
      cache.sheafCapacity = spec.sheafCapacity() >= 0 ? spec.sheafCapacity() : usual;
    }
    caches.add(cache);
    byName.put(cache.name, cache);
  }

  /// Takes an object for the allocator's own use.
  private long take(CacheImage from) {
    SlabImage slab = ownSlabs.get(from);
    if (slab == null || ownTaken.get(slab) == slab.objects) {
      slab = slab(from, SlabImage.Place.FULL, 0, -1, -1);
      ownSlabs.put(from, slab);
      ownTaken.put(slab, 0);
    }
    int index = ownTaken.merge(slab, 1, Integer::sum) - 1;
    long object = slab.object(index);
    ownObjects.add(object);
    return object;
  }

  /// The objects that were not taken are free.
  private void freeRest(SlabImage slab) {
    List<Integer> rest =
        new ArrayList<>(IntStream.range(ownTaken.get(slab), slab.objects).boxed().toList());
    if (!rest.isEmpty()) {
      Collections.shuffle(rest, random);
      slab.own.addAll(rest);
      slab.place = SlabImage.Place.NODE_PARTIAL;
    }
  }

  private SlabImage slab(CacheImage cache, SlabImage.Place place, int node, int cpu, long lowPfn) {
    return slab(cache, place, node, cpu, lowPfn, cache.order);
  }

  /// The smallest order that holds an object.
  private static int minOrder(CacheImage cache) {
    int order = 0;
    while ((4096 << order) < cache.size) {
      order++;
    }
    return order;
  }

  private SlabImage slab(
      CacheImage cache, SlabImage.Place place, int node, int cpu, long lowPfn, int order) {
    long pfn = lowPfn;
    if (pfn < 0) {
      pfn = frames.allocate(node, order);
    } else {
      frames.takeLow(pfn, order);
    }
    SlabImage slab =
        new SlabImage(
            cache,
            pfn,
            space.direct(pfn << 12),
            frames.descriptor(pfn),
            order,
            Math.min(32767, (4096 << order) / cache.size),
            node,
            place,
            cpu);
    cache.slabs.add(slab);
    return slab;
  }

  private void planSlabs(CacheImage cache) {
    FakeCache spec = cache.spec;
    boolean lowCpu = false;
    for (int low : spec.lowFrames()) {
      if (low > 0 && hasCpuSlabs()) {
        lowCpu = true;
        cpuSlab(slab(cache, SlabImage.Place.CPU_SLAB, 0, 0, low));
      } else {
        some(slab(cache, SlabImage.Place.NODE_PARTIAL, 0, -1, Math.abs(low)));
      }
    }
    if (ownSlabs.containsKey(cache)) {
      return;
    }
    for (int i = 0; i < spec.fullSlabs(); i++) {
      slab(cache, SlabImage.Place.FULL, random.nextInt(config.nodes()), -1, -1);
    }
    for (int node = 0; node < config.nodes(); node++) {
      for (int i = 0; i < spec.partialSlabs(); i++) {
        some(slab(cache, SlabImage.Place.NODE_PARTIAL, node, -1, -1));
      }
    }
    for (int i = 0; i < spec.fallbackSlabs(); i++) {
      some(slab(cache, SlabImage.Place.NODE_PARTIAL, 0, -1, -1, minOrder(cache)));
    }
    for (int i = 0; i < spec.rcuPending(); i++) {
      SlabImage slab = slab(cache, SlabImage.Place.RCU_PENDING, 0, -1, -1);
      slab.own.addAll(shuffled(slab.objects));
    }
    if (!hasCpuSlabs() || !spec.hasCpuSlabs()) {
      return;
    }
    for (int cpu = 0; cpu < config.cpus(); cpu++) {
      // With many CPUs most have no slab of a given cache.
      if (config.cpus() > 8 && random.nextInt(config.cpus()) >= 8) {
        continue;
      }
      int node = cpu % config.nodes();
      if ((cpu > 0 || !lowCpu) && random.nextInt(8) != 0) {
        cpuSlab(slab(cache, SlabImage.Place.CPU_SLAB, node, cpu, -1));
      }
      if (layout.has("kmem_cache_cpu", "partial")) {
        for (int i = 0; i < spec.cpuPartialSlabs(); i++) {
          some(slab(cache, SlabImage.Place.CPU_PARTIAL, node, cpu, -1));
        }
      }
    }
  }

  private List<Integer> shuffled(int count) {
    List<Integer> indices = new ArrayList<>(IntStream.range(0, count).boxed().toList());
    Collections.shuffle(indices, random);
    return indices;
  }

  /// At least one object is free, and where there are several, one at least is not.
  private void some(SlabImage slab) {
    List<Integer> order = shuffled(slab.objects);
    slab.own.addAll(order.subList(0, 1 + random.nextInt(Math.max(1, slab.objects - 1))));
  }

  private void cpuSlab(SlabImage slab) {
    List<Integer> order = shuffled(slab.objects);
    int onCpu = slab.objects < 3 ? 1 : 2 + random.nextInt(slab.objects - 2);
    slab.onCpu.addAll(order.subList(0, onCpu));
    int remote = random.nextInt(Math.min(4, slab.objects - onCpu + 1));
    slab.own.addAll(order.subList(onCpu, onCpu + remote));
  }

  // ---- sheaves

  private void planSheaves(CacheImage cache) {
    if (config.nodes() > 0 && cache.cpuSheaves != 0 && cache.sheafCapacity > 0) {
      for (int node = 0; node < config.nodes(); node++) {
        cache.barns.add(take(kmalloc(layout.size("node_barn"))));
      }
    }
    if (cache.sheafCapacity == 0) {
      return;
    }
    int capacity = cache.sheafCapacity;
    // Each sheaf: its place, its keeper, how many objects.
    record Wanted(SheafImage.Place place, int cpu, int size) {}
    List<Wanted> wanted = new ArrayList<>();
    int most = config.cpus() > 8 ? 1 : capacity;
    for (int cpu = 0; cpu < config.possibleCpus(); cpu++) {
      boolean offline = cpu >= config.cpus();
      wanted.add(new Wanted(SheafImage.Place.MAIN, cpu, offline ? 0 : random.nextInt(most + 1)));
      switch (random.nextInt(3)) {
        case 0 -> wanted.add(new Wanted(SheafImage.Place.SPARE, cpu, 0));
        case 1 -> wanted.add(new Wanted(SheafImage.Place.SPARE, cpu, offline ? 0 : most));
        default -> {}
      }
      if (!offline && random.nextBoolean()) {
        wanted.add(
            new Wanted(
                SheafImage.Place.RCU_FREE, cpu, random.nextInt(Math.min(most + 1, capacity))));
      }
    }
    for (int node = 0; node < config.nodes(); node++) {
      for (int i = random.nextInt(3); i > 0; i--) {
        wanted.add(new Wanted(SheafImage.Place.BARN_FULL, node, capacity));
      }
      for (int i = random.nextInt(3); i > 0; i--) {
        wanted.add(new Wanted(SheafImage.Place.BARN_EMPTY, node, 0));
      }
    }
    int objects = wanted.stream().mapToInt(Wanted::size).sum();
    for (int i = 0; i * cache.objects < objects; i++) {
      slab(cache, SlabImage.Place.FULL, i % config.nodes(), -1, -1);
    }
    List<Long> held = new ArrayList<>();
    for (SlabImage slab : cache.slabs) {
      if (slab.place == SlabImage.Place.FULL && !ownTaken.containsKey(slab)) {
        IntStream.range(0, slab.objects).forEach(i -> held.add(slab.object(i)));
      }
    }
    Collections.shuffle(held, random);
    int next = 0;
    CacheImage source = kmalloc(32 + 8 * capacity);
    for (Wanted sheaf : wanted) {
      cache.sheaves.add(
          new SheafImage(
              sheaf.place, sheaf.cpu, take(source), held.subList(next, next + sheaf.size), 32));
      next += sheaf.size;
    }
  }

  private CacheImage kmalloc(int byteCount) {
    int size = Math.max(64, Integer.highestOneBit(byteCount - 1) * 2);
    return byName.get("kmalloc-" + size);
  }

  // ---- what is written

  @Override
  public void write() {
    if (config.contents() != FakeKernel.Contents.ZEROS) {
      fillObjects();
    }
    for (CacheImage cache : caches) {
      for (SlabImage slab : cache.slabs) {
        writeSlab(slab);
      }
    }
    long head = image.variable("slab_caches", 16);
    int link = layout.offset("kmem_cache", "list");
    image.link(head, caches.stream().map(cache -> cache.address + link).toList());
    image.pointer("kmem_cache", byName.get("kmem_cache").address);
    image.pointer("kmem_cache_node", byName.get("kmem_cache_node").address);
    for (CacheImage cache : caches) {
      writeCache(cache);
      writeNodes(cache);
      writeCpus(cache);
      writeSheaves(cache);
    }
    if (layout.has("kmem_cache", "memcg_params")) {
      writeMemcg();
    }
  }

  private void fillObjects() {
    Contents contents = new Contents(random, space.directMap());
    for (CacheImage cache : caches) {
      if (cache.spec.name().startsWith("kmem_cache")) {
        continue;
      }
      byte[] object = new byte[cache.spec.objectSize()];
      // Objects are cleared before they come into a sheaf, but for those that are not free yet.
      Set<Long> inSheaves = new HashSet<>();
      for (SheafImage sheaf : cache.sheaves) {
        if (sheaf.place() != SheafImage.Place.RCU_FREE) {
          inSheaves.addAll(sheaf.objects());
        }
      }
      for (SlabImage slab : cache.slabs) {
        for (int i = 0; i < slab.objects; i++) {
          boolean isFree = slab.isFree(i) || inSheaves.contains(slab.object(i));
          boolean isCleared = isFree && config.isInitOnFree() && !cache.spec.has(CacheFlag.POISON);
          if (!isCleared) {
            contents.fill(config.contents(), object);
            space.put(slab.object(i), object);
          }
        }
      }
    }
  }

  private void writeSlab(SlabImage slab) {
    CacheImage cache = slab.cache;
    chain(slab, slab.own);
    chain(slab, slab.onCpu);
    if (cache.spec.isDebug() && config.isDebugging()) {
      for (int i = 0; i < slab.objects; i++) {
        debugObject(slab, i);
      }
      int tail = (4096 << slab.order) - slab.objects * cache.size;
      if (cache.spec.has(CacheFlag.POISON)) {
        space.put(slab.base + (long) slab.objects * cache.size, image.filled(tail, PADDING));
      }
    }
    boolean partial = slab.place == SlabImage.Place.NODE_PARTIAL;
    long flags =
        (layout.slabMark() == Layout.SlabMark.FLAG ? frames.flag("PG_slab") : 0)
            | (slab.order > 0 ? frames.flag("PG_head") : 0)
            | (partial && layout.frozen() == Layout.Frozen.ONLY_CPU_SLAB
                ? frames.flag("PG_workingset")
                : 0);
    frames.describe(slab.pfn, flags, frames.slabType(), layout.isSlabRefcountZero() ? 0 : 1);
    frames.compound(slab.pfn, slab.order);
    String struct = layout.slabStruct();
    image.putStruct(struct, slab.address, "slab_cache", cache.address);
    image.putStruct(
        struct,
        slab.address,
        "freelist",
        slab.own.isEmpty() ? 0 : slab.object(slab.own.getFirst()));
    boolean frozen =
        slab.place == SlabImage.Place.CPU_SLAB
            || (slab.place == SlabImage.Place.CPU_PARTIAL
                && layout.frozen() == Layout.Frozen.ON_CPU_PARTIAL);
    long inuse = (long) slab.objects - slab.own.size();
    space.u32(
        slab.address + layout.offset(struct, "counters"),
        inuse | (long) slab.objects << 16 | (frozen ? 1L << 31 : 0));
    if (layout.has(struct, "stride")) {
      image.putStruct(struct, slab.address, "stride", 8);
    }
    long list = slab.address + listAt();
    space.u64(list, LIST_POISON1);
    space.u64(list + 8, LIST_POISON2);
    if (slab.place == SlabImage.Place.RCU_PENDING) {
      // An rcu_head: the next in some callback list, and the function.
      space.u64(list, 0);
      space.u64(list + 8, image.address("rcu_free_slab"));
    }
  }

  private int listAt() {
    String struct = layout.slabStruct();
    return layout.offset(struct, layout.has(struct, "slab_list") ? "slab_list" : "lru");
  }

  private void chain(SlabImage slab, List<Integer> indices) {
    for (int i = 0; i < indices.size(); i++) {
      long next = i + 1 < indices.size() ? slab.object(indices.get(i + 1)) : 0;
      long slot = slab.slot(indices.get(i));
      space.u64(slot, ImageBuilder.encode(layout, slab.cache.random, slot, next));
    }
  }

  private void debugObject(SlabImage slab, int index) {
    CacheImage cache = slab.cache;
    FakeCache spec = cache.spec;
    boolean free = slab.isFree(index);
    long object = slab.object(index);
    int objectSize = spec.objectSize();
    if (free && spec.has(CacheFlag.OBJECT_POISON)) {
      space.put(object, image.filled(objectSize - 1, 0x6b));
      space.put(object + objectSize - 1, (byte) 0xa5);
    }
    int zone = free ? REDZONE_INACTIVE : REDZONE_ACTIVE;
    if (spec.has(CacheFlag.RED_ZONE)) {
      space.put(object - cache.pad, image.filled(cache.pad, zone));
      space.put(object + objectSize, image.filled(cache.inuse - objectSize, zone));
    }
    long end = object + cache.inuse + (cache.offset >= cache.inuse ? 8 : 0);
    if (spec.has(CacheFlag.STORE_USER)) {
      int track = layout.size("track");
      track(end, true);
      if (free) {
        track(end + track, false);
      }
      end += 2L * track;
    }
    if (spec.has(CacheFlag.POISON)) {
      int rest = (int) (object - cache.pad + cache.size - end);
      space.put(end, image.filled(rest, PADDING));
    }
  }

  private void track(long at, boolean allocation) {
    image.putStruct(
        "track",
        at,
        "addr",
        image.address(allocation ? "kmem_cache_alloc" : "kmem_cache_free") + 0x21);
    image.putStruct("track", at, "cpu", random.nextInt(config.cpus()));
    image.putStruct("track", at, "pid", 1 + random.nextInt(2000));
    image.putStruct("track", at, "when", 0x1_0000_0000L + (allocation ? 1000 : 2000));
  }

  /// `reciprocal_value()` of the kernel: m, then the shifts sh1 and sh2, a byte each.
  private static long reciprocal(int divisor) {
    int log = 32 - Integer.numberOfLeadingZeros(divisor - 1);
    BigInteger m =
        BigInteger.ONE
            .shiftLeft(32)
            .multiply(BigInteger.ONE.shiftLeft(log).subtract(BigInteger.valueOf(divisor)))
            .divide(BigInteger.valueOf(divisor))
            .add(BigInteger.ONE);
    return (m.longValue() & 0xffff_ffffL)
        | (long) Math.min(log, 1) << 32
        | (long) Math.max(log - 1, 0) << 40;
  }

  private void writeCache(CacheImage cache) {
    FakeCache spec = cache.spec;
    String struct = "kmem_cache";
    long flags = CacheFlag.CMPXCHG_DOUBLE.value(layout);
    for (CacheFlag flag : spec.flags()) {
      flags |= flag.value(layout);
    }
    if (spec.name().contains("kmalloc") && layout.has("slab")) {
      flags |= CacheFlag.KMALLOC.value(layout);
    }
    int minOrder = minOrder(cache);
    image.putIfThere(struct, cache.address, "cpu_slab", cache.cpuSlab);
    image.putIfThere(struct, cache.address, "cpu_sheaves", cache.cpuSheaves);
    image.putStruct(struct, cache.address, "flags", flags);
    image.putStruct(struct, cache.address, "min_partial", 5);
    image.putStruct(struct, cache.address, "size", cache.size);
    image.putStruct(struct, cache.address, "object_size", spec.objectSize());
    if (layout.has(struct, "reciprocal_size")) {
      space.u64(cache.address + layout.offset(struct, "reciprocal_size"), reciprocal(cache.size));
    }
    image.putStruct(struct, cache.address, "offset", cache.offset);
    image.putIfThere(struct, cache.address, "cpu_partial", 30);
    image.putIfThere(struct, cache.address, "cpu_partial_slabs", 4);
    image.putIfThere(struct, cache.address, "sheaf_capacity", cache.sheafCapacity);
    long oo = (long) cache.order << 16 | cache.objects;
    image.putStruct(struct, cache.address, "oo", oo);
    image.putIfThere(struct, cache.address, "max", oo);
    image.putStruct(
        struct, cache.address, "min", (long) minOrder << 16 | (4096 << minOrder) / cache.size);
    image.putStruct(struct, cache.address, "refcount", spec.refcount());
    image.putStruct(
        struct, cache.address, "ctor", spec.hasConstructor() ? image.address("vfs_read") : 0);
    image.putStruct(struct, cache.address, "inuse", cache.inuse);
    image.putStruct(struct, cache.address, "align", spec.align());
    image.putStruct(struct, cache.address, "red_left_pad", cache.redLeftPad);
    image.putStruct(struct, cache.address, "name", image.string(cache.name));
    image.putIfThere(struct, cache.address, "random", cache.random);
    image.putIfThere(struct, cache.address, "usersize", spec.objectSize());
    for (int node = 0; node < config.nodes(); node++) {
      if (layout.has(struct, "per_node")) {
        long pair = cache.address + layout.offset(struct, "per_node") + 16L * node;
        image.putStruct(
            "kmem_cache_per_node_ptrs",
            pair,
            "barn",
            cache.barns.isEmpty() ? 0 : cache.barns.get(node));
        image.putStruct("kmem_cache_per_node_ptrs", pair, "node", cache.nodes.get(node));
      } else {
        space.u64(cache.address + layout.offset(struct, "node") + 8L * node, cache.nodes.get(node));
      }
    }
  }

  private void writeNodes(CacheImage cache) {
    String struct = "kmem_cache_node";
    for (int id = 0; id < config.nodes(); id++) {
      int nodeId = id;
      long node = cache.nodes.get(id);
      List<SlabImage> here = cache.slabs.stream().filter(slab -> slab.node == nodeId).toList();
      List<Long> partial =
          here.stream()
              .filter(slab -> slab.place == SlabImage.Place.NODE_PARTIAL)
              .map(slab -> slab.address + listAt())
              .toList();
      List<SlabImage> counted =
          here.stream().filter(slab -> slab.place != SlabImage.Place.RCU_PENDING).toList();
      image.putStruct(struct, node, "nr_partial", partial.size());
      image.link(node + layout.offset(struct, "partial"), partial);
      image.putIfThere(struct, node, "nr_slabs.counter", counted.size());
      image.putIfThere(
          struct,
          node,
          "total_objects.counter",
          counted.stream().mapToLong(slab -> slab.objects).sum());
      if (layout.has(struct, "full")) {
        image.link(
            node + layout.offset(struct, "full"),
            cache.spec.has(CacheFlag.STORE_USER) && config.isDebugging()
                ? here.stream()
                    .filter(slab -> slab.place == SlabImage.Place.FULL)
                    .map(slab -> slab.address + listAt())
                    .toList()
                : List.of());
      }
      image.putIfThere(struct, node, "barn", cache.barns.isEmpty() ? 0 : cache.barns.get(id));
    }
  }

  private void writeCpus(CacheImage cache) {
    if (!hasCpuSlabs()) {
      return;
    }
    String struct = "kmem_cache_cpu";
    String slabMember = layout.has(struct, "slab") ? "slab" : "page";
    for (int cpu = 0; cpu < config.possibleCpus(); cpu++) {
      long at = image.perCpu(cache.cpuSlab, cpu);
      image.putStruct(struct, at, "tid", cpu + 512L * random.nextInt(1 << 20));
      List<SlabImage> chain = new ArrayList<>();
      for (SlabImage slab : cache.slabs) {
        if (slab.cpu != cpu) {
          continue;
        }
        if (slab.place == SlabImage.Place.CPU_SLAB) {
          image.putStruct(struct, at, slabMember, slab.address);
          image.putStruct(
              struct,
              at,
              "freelist",
              slab.onCpu.isEmpty() ? 0 : slab.object(slab.onCpu.getFirst()));
        } else if (slab.place == SlabImage.Place.CPU_PARTIAL) {
          chain.add(slab);
        }
      }
      String descriptor = layout.slabStruct();
      String count = layout.has(descriptor, "slabs") ? "slabs" : "pages";
      for (int i = 0; i < chain.size(); i++) {
        long slab = chain.get(i).address;
        image.putStruct(
            descriptor, slab, "next", i + 1 < chain.size() ? chain.get(i + 1).address : 0);
        image.putStruct(descriptor, slab, count, chain.size() - i);
        image.putIfThere(descriptor, slab, "pobjects", 0);
      }
      image.putIfThere(struct, at, "partial", chain.isEmpty() ? 0 : chain.getFirst().address);
    }
  }

  private void writeSheaves(CacheImage cache) {
    if (cache.cpuSheaves == 0) {
      return;
    }
    for (int cpu = 0; cpu < config.possibleCpus(); cpu++) {
      long at = image.perCpu(cache.cpuSheaves, cpu);
      image.putStruct("slub_percpu_sheaves", at, "main", emptySheaf);
      for (SheafImage sheaf : cache.sheaves) {
        if (sheaf.cpu() == cpu) {
          switch (sheaf.place()) {
            case MAIN -> image.putStruct("slub_percpu_sheaves", at, "main", sheaf.address());
            case SPARE -> image.putStruct("slub_percpu_sheaves", at, "spare", sheaf.address());
            case RCU_FREE ->
                image.putStruct("slub_percpu_sheaves", at, "rcu_free", sheaf.address());
            case BARN_FULL, BARN_EMPTY, CPU_ARRAY, SHARED_ARRAY, ALIEN_ARRAY -> {}
          }
        }
      }
    }
    for (SheafImage sheaf : cache.sheaves) {
      image.putStruct("slab_sheaf", sheaf.address(), "cache", cache.address);
      image.putStruct("slab_sheaf", sheaf.address(), "size", sheaf.objects().size());
      space.u64(sheaf.address(), 0);
      for (int i = 0; i < sheaf.objects().size(); i++) {
        space.u64(sheaf.entry(i), sheaf.objects().get(i));
      }
    }
    for (int node = 0; node < cache.barns.size(); node++) {
      long barn = cache.barns.get(node);
      List<Long> full = barnList(cache, SheafImage.Place.BARN_FULL, node);
      List<Long> empty = barnList(cache, SheafImage.Place.BARN_EMPTY, node);
      image.putStruct("node_barn", barn, "lock", 0);
      image.link(barn + layout.offset("node_barn", "sheaves_full"), full);
      image.link(barn + layout.offset("node_barn", "sheaves_empty"), empty);
      image.putStruct("node_barn", barn, "nr_full", full.size());
      image.putStruct("node_barn", barn, "nr_empty", empty.size());
    }
  }

  private static List<Long> barnList(CacheImage cache, SheafImage.Place place, int node) {
    return cache.sheaves.stream()
        .filter(sheaf -> sheaf.place() == place && sheaf.cpu() == node)
        .map(SheafImage::address)
        .toList();
  }

  private void writeMemcg() {
    long roots = image.variable("slab_root_caches", 16);
    int params = layout.offset("kmem_cache", "memcg_params");
    int rootsNode = params + layout.offset("memcg_cache_params", "__root_caches_node");
    int children = params + layout.offset("memcg_cache_params", "children");
    int childrenNode = params + layout.offset("memcg_cache_params", "children_node");
    image.link(
        roots,
        caches.stream()
            .filter(cache -> cache.root == null)
            .map(cache -> cache.address + rootsNode)
            .toList());
    for (CacheImage cache : caches) {
      if (cache.root == null) {
        image.link(
            cache.address + children,
            caches.stream()
                .filter(child -> child.root == cache)
                .map(child -> child.address + childrenNode)
                .toList());
      } else {
        space.u64(
            cache.address + params + layout.offset("memcg_cache_params", "root_cache"),
            cache.root.address);
      }
    }
  }
}
