package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;

/// Reads the caches of the SLAB allocator.
final class ClassicSlabCaches {
  private static final int MAX_NODES = 1024;

  private ClassicSlabCaches() {}

  static SlabCaches.CacheRead read(Kernel kernel, ClassicSlabLayout layout, long address) {
    int nodeCount = Math.clamp(kernel.variable32("nr_node_ids").orElse(1), 1, MAX_NODES);
    Member nodes = layout.cache().member("node").orElseThrow();
    // What is allocated ends with the nodes that there are.
    int byteCount = (int) Math.min(layout.cache().size(), nodes.offset() + 8L * nodeCount);
    StructRead read = StructRef.read(kernel.memory(), layout.cache(), address, byteCount);
    if (read instanceof StructRead.Unread unread) {
      return new SlabCaches.CacheRead.Failed(unread);
    }
    StructRef cache = (StructRef) read;
    List<SlabCaches.NodePointer> wild = new ArrayList<>();
    int order = cache.signed32("gfporder");
    int count = cache.signed32("num");
    return new SlabCaches.CacheRead.Ok(
        new SlabCache(
            SlabCache.Allocator.SLAB,
            address,
            kernel.string(cache.get("name"), 128).orElse(""),
            cache.signed32("size"),
            cache.signed32("object_size"),
            0,
            cache.signed32("object_size"),
            cache.has("align") ? cache.signed32("align") : 8,
            0,
            cache.get("flags"),
            order,
            count,
            order,
            count,
            kernel.memory().pageShift(),
            order,
            cache.has("refcount") ? cache.signed32("refcount") : 1,
            cache.has("ctor") && cache.get("ctor") != 0,
            0,
            cache.get("cpu_cache"),
            0,
            0,
            nodes(kernel, layout, cache, nodeCount, wild)),
        wild);
  }

  private static List<SlabCache.Node> nodes(
      Kernel kernel,
      ClassicSlabLayout layout,
      StructRef cache,
      int nodeCount,
      List<SlabCaches.NodePointer> wild) {
    List<SlabCache.Node> nodes = new ArrayList<>();
    for (int id = 0; id < nodeCount; id++) {
      long pointer = cache.word("node", id);
      if (pointer == 0) {
        continue;
      }
      StructRead read = StructRef.read(kernel.memory(), layout.node(), pointer);
      if (read instanceof StructRead.Unread unread) {
        wild.add(
            new SlabCaches.NodePointer(
                "node", id, cache.addressOf("node") + 8L * id, pointer, unread.why()));
      } else if (read instanceof StructRef node) {
        nodes.add(
            new SlabCache.Node(
                id,
                pointer,
                SlabCache.Node.NOT_COUNTED,
                node.has("total_slabs") ? node.get("total_slabs") : SlabCache.Node.NOT_COUNTED,
                SlabCache.Node.NOT_COUNTED,
                node.addressOf("slabs_partial"),
                0,
                node.bytes().u32(0),
                0));
      }
    }
    if (nodes.isEmpty() && wild.isEmpty()) {
      wild.add(
          new SlabCaches.NodePointer(
              "node", 0, cache.addressOf("node"), 0, SlabCaches.NodePointer.NULL));
    }
    return nodes;
  }
}
