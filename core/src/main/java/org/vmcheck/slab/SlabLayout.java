package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;

/// The shape of the slab allocator of one kernel: which structures and members exist.
///
/// @param slabStruct `struct slab`, or `struct page` before 5.17
/// @param listMember name of the slab's list_head: `slab_list`, or `lru` before 4.18
/// @param slabCacheAt offsets in the slab's descriptor
/// @param cpu `kmem_cache_cpu`; empty where there are no per-CPU slabs (7.0 on)
/// @param cpuSlabMember `slab`, or `page` before 5.17
/// @param sheaves empty where there are none (before 6.18)
public record SlabLayout(
    StructLayout cache,
    StructLayout node,
    StructLayout slabStruct,
    Optional<StructLayout> cpu,
    String listMember,
    String cpuSlabMember,
    int slabCacheAt,
    int freelistAt,
    int countersAt,
    int listAt,
    int partialNextAt,
    int partialCountAt,
    SlabFlags flags,
    Optional<SheafLayout> sheaves) {

  /// What looking for the layout gave.
  public sealed interface Detection {
    /// The allocator is SLUB and its shape is known.
    record Known(SlabLayout layout) implements Detection {}

    /// The allocator is SLAB (to 6.7) and its shape is known.
    record Old(ClassicSlabLayout layout) implements Detection {}

    /// @param allocator the allocator as far as it can be told
    /// @param missing what is not there, one structure or member each
    record Unknown(String allocator, List<String> missing) implements Detection {
      public Unknown {
        missing = List.copyOf(missing);
      }
    }
  }

  /// Recognises the allocator by the members that exist.
  static Detection detect(Kernel kernel) {
    List<String> missing = new ArrayList<>();
    if (kernel.types().isEmpty()) {
      missing.add("types (kmem_cache): " + String.join("; ", kernel.missing()));
      return new Detection.Unknown("", missing);
    }
    Optional<StructLayout> anyCache = kernel.struct("kmem_cache", "name", "list");
    if (anyCache.isEmpty()) {
      return new Detection.Unknown("", List.of("struct kmem_cache"));
    }
    StructLayout cache = anyCache.get();
    if (cache.has("cpu_cache") || cache.has("num")) {
      return ClassicSlabLayout.detect(kernel, cache);
    }
    if (!cache.has("offset") || !cache.has("oo")) {
      return new Detection.Unknown("SLOB", List.of("kmem_cache.offset and kmem_cache.oo"));
    }
    for (String member : List.of("size", "object_size", "inuse", "flags")) {
      require(cache, member, missing);
    }
    if (!cache.has("node") && !cache.has("per_node")) {
      missing.add("kmem_cache.node");
    }
    Optional<StructLayout> node = kernel.struct("kmem_cache_node", "partial");
    if (node.isEmpty()) {
      missing.add("struct kmem_cache_node");
    }
    Optional<StructLayout> slab = kernel.struct("slab", "slab_cache");
    if (slab.isEmpty()) {
      slab = kernel.struct("page", "slab_cache");
    }
    Optional<StructLayout> cpu = kernel.struct("kmem_cache_cpu", "freelist");
    if (slab.isEmpty()) {
      missing.add("slab.slab_cache (or page.slab_cache)");
      return new Detection.Unknown("SLUB", missing);
    }
    StructLayout descriptor = slab.get();
    Optional<Member> list = descriptor.firstMember("slab_list", "lru");
    require(descriptor, "freelist", missing);
    Optional<Member> counters = descriptor.firstMember("counters", "inuse");
    if (counters.isEmpty()) {
      missing.add(descriptor.name() + ".counters");
    }
    if (list.isEmpty()) {
      missing.add(descriptor.name() + ".slab_list");
    }
    if (cache.has("cpu_sheaves")) {
      missing.addAll(SheafLayout.missing(kernel));
    }
    if (!missing.isEmpty()) {
      return new Detection.Unknown("SLUB", missing);
    }
    String cpuSlab = cpu.map(c -> c.has("slab") ? "slab" : "page").orElse("");
    return new Detection.Known(
        new SlabLayout(
            cache,
            node.orElseThrow(),
            descriptor,
            cache.has("cpu_slab") ? cpu : Optional.empty(),
            list.get().name(),
            cpuSlab,
            at(descriptor, "slab_cache"),
            at(descriptor, "freelist"),
            counters.get().offset(),
            list.get().offset(),
            at(descriptor, "next"),
            descriptor.firstMember("slabs", "pages").map(Member::offset).orElse(-1),
            SlabFlags.of(
                kernel.types().get(),
                kernel.variable32("slub_debug_enabled"),
                kernel.variable32("init_on_free")),
            SheafLayout.of(kernel, cache)));
  }

  private static void require(StructLayout layout, String member, List<String> missing) {
    if (!layout.has(member)) {
      missing.add(layout.name() + "." + member);
    }
  }

  private static int at(StructLayout layout, String member) {
    return layout.member(member).map(Member::offset).orElse(-1);
  }

  /// Whether free pointers are encoded with a secret of the cache.
  public boolean isHardened() {
    return cache.has("random");
  }

  /// A few words for reports.
  public String variant() {
    List<String> words = new ArrayList<>();
    words.add("struct " + slabStruct.name());
    cpu.ifPresent(c -> words.add(c.has("partial") ? "cpu slabs with partials" : "cpu slabs"));
    if (cache.has("cpu_sheaves")) {
      words.add("sheaves");
    }
    if (cpu.isEmpty() && !cache.has("cpu_sheaves")) {
      words.add("nothing per CPU (SLUB_TINY)");
    }
    if (cache.has("memcg_params")) {
      words.add("memcg caches");
    }
    if (cache.has("per_node")) {
      words.add("per_node");
    }
    return String.join(", ", words);
  }
}
