package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;

/// The shape of the SLAB allocator (to 6.7; Linux `mm/slab.c`, `include/linux/slab_def.h`).
///
/// Each slab has an array of the indices of its objects: those from `active` on are free. Objects
/// that CPUs and nodes keep ready in array caches count as active.
///
/// @param descriptor `struct slab`, or `struct page` before 5.17
/// @param arrayCache `array_cache`; its entries start at `entryAt`
/// @param alienArrayAt offset of the array cache in `alien_cache`; -1 where there is none
/// @param indexSize bytes of an index: 1 or 2
public record ClassicSlabLayout(
    StructLayout cache,
    StructLayout node,
    StructLayout descriptor,
    StructLayout arrayCache,
    int entryAt,
    int alienArrayAt,
    int slabCacheAt,
    int freelistAt,
    int firstObjectAt,
    int activeAt,
    int listAt,
    int indexSize,
    SlabFlags flags) {

  static SlabLayout.Detection detect(Kernel kernel, StructLayout cache) {
    List<String> missing = new ArrayList<>();
    for (String member : List.of("cpu_cache", "num", "gfporder", "size", "object_size", "flags")) {
      if (!cache.has(member)) {
        missing.add("kmem_cache." + member);
      }
    }
    Optional<StructLayout> node = kernel.struct("kmem_cache_node", "slabs_partial", "slabs_full");
    Optional<StructLayout> array = kernel.struct("array_cache", "avail", "entry");
    Optional<StructLayout> descriptor = kernel.struct("slab", "slab_cache", "s_mem", "active");
    if (descriptor.isEmpty()) {
      descriptor = kernel.struct("page", "slab_cache", "s_mem", "active");
    }
    if (!cache.has("node")) {
      missing.add("kmem_cache.node");
    }
    if (node.isEmpty()) {
      missing.add("kmem_cache_node.slabs_partial");
    }
    if (array.isEmpty()) {
      missing.add("struct array_cache");
    }
    if (descriptor.isEmpty()) {
      missing.add("slab.s_mem (or page.s_mem)");
    }
    long indexSize = kernel.types().orElseThrow().typedefSize("freelist_idx_t").orElse(0);
    if (descriptor.isPresent() && descriptor.get().firstMember("slab_list", "lru").isEmpty()) {
      missing.add(descriptor.get().name() + ".slab_list (or lru)");
    }
    if (indexSize != 1 && indexSize != 2) {
      missing.add("freelist_idx_t");
    }
    if (!missing.isEmpty()) {
      return new SlabLayout.Detection.Unknown("SLAB", missing);
    }
    StructLayout slab = descriptor.orElseThrow();
    return new SlabLayout.Detection.Old(
        new ClassicSlabLayout(
            cache,
            node.orElseThrow(),
            slab,
            array.orElseThrow(),
            array.orElseThrow().member("entry").orElseThrow().offset(),
            kernel
                .struct("alien_cache", "ac")
                .flatMap(alien -> alien.member("ac"))
                .map(Member::offset)
                .orElse(-1),
            at(slab, "slab_cache"),
            at(slab, "freelist"),
            at(slab, "s_mem"),
            at(slab, "active"),
            slab.firstMember("slab_list", "lru").orElseThrow().offset(),
            (int) indexSize,
            SlabFlags.of(
                kernel.types().orElseThrow(), OptionalLong.empty(), OptionalLong.empty())));
  }

  private static int at(StructLayout layout, String member) {
    return layout.member(member).map(Member::offset).orElse(0);
  }

  /// A few words for reports.
  public String variant() {
    return "struct %s, array caches, %d-byte indices".formatted(descriptor.name(), indexSize);
  }

  /// The slab that a descriptor, which begins at `at`, tells of; its base is its first object.
  Slab slab(SlabCache cache, long address, long pfn, byte[] bytes, int at) {
    return new Slab(
        cache,
        address,
        pfn,
        MemMap.word(bytes, at + firstObjectAt),
        cache.order(),
        cache.objects(),
        (int) MemMap.word(bytes, at + activeAt),
        false,
        MemMap.word(bytes, at + freelistAt),
        MemMap.word(bytes, at + listAt),
        MemMap.word(bytes, at + listAt + 8),
        MemMap.word(bytes, at));
  }
}
