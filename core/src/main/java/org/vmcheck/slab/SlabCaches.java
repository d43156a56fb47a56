package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// Every cache on `slab_caches`.
///
/// @param detection the allocator's shape, or what of it is not known
/// @param caches in list order
/// @param list how the walk of `slab_caches` went
/// @param unread caches on the list that cannot be read
/// @param wildNodes pointers of caches to nodes that cannot be read; such nodes are not among those
///   of the cache; no more than are worth telling
/// @param wildNodeIds of each cache, by address, the numbers of all such nodes
public record SlabCaches(
    SlabLayout.Detection detection,
    List<SlabCache> caches,
    Map<Long, SlabCache> byAddress,
    ListWalk list,
    List<StructRead.Unread> unread,
    List<SlabFault.Wild> wildNodes,
    Map<Long, BitSet> wildNodeIds) {
  private static final Kernel.Part<SlabCaches> PART = new Kernel.Part<>(SlabCaches::read);

  /// Kernels have 100 to 300; container hosts before 5.9 have thousands (one a memory cgroup).
  private static final int MAX_CACHES = 1 << 20;

  private static final int MAX_NODES = 1024;

  /// One wrong nr_node_ids makes a thousand of each cache.
  private static final int MAX_WILD_NODES = 1 << 16;

  public SlabCaches {
    caches = List.copyOf(caches);
    byAddress = Map.copyOf(byAddress);
    unread = List.copyOf(unread);
    wildNodes = List.copyOf(wildNodes);
    wildNodeIds = Map.copyOf(wildNodeIds);
  }

  /// Of a kernel.
  public static SlabCaches of(Kernel kernel) {
    return kernel.part(PART);
  }

  private static SlabCaches read(Kernel kernel) {
    SlabLayout.Detection detection = SlabLayout.detect(kernel);
    return switch (detection) {
      case SlabLayout.Detection.Known(SlabLayout layout) ->
          read(kernel, detection, "SLUB", layout.cache(), new Reader(kernel, layout)::read);
      case SlabLayout.Detection.Old(ClassicSlabLayout layout) ->
          read(
              kernel,
              detection,
              "SLAB",
              layout.cache(),
              address -> ClassicSlabCaches.read(kernel, layout, address));
      case SlabLayout.Detection.Unknown _ -> none(detection);
    };
  }

  private static SlabCaches read(
      Kernel kernel,
      SlabLayout.Detection detection,
      String allocator,
      StructLayout layout,
      LongFunction<CacheRead> reader) {
    OptionalLong head = kernel.symbol("slab_caches");
    if (head.isEmpty()) {
      return none(
          new SlabLayout.Detection.Unknown(
              allocator, List.of("symbol slab_caches (CONFIG_KALLSYMS_ALL=n?)")));
    }
    ListWalk walk = ListWalk.walk(kernel.memory(), head.getAsLong(), MAX_CACHES);
    List<SlabCache> caches = new ArrayList<>();
    List<StructRead.Unread> unread = new ArrayList<>();
    List<SlabFault.Wild> wildNodes = new ArrayList<>();
    Map<Long, BitSet> wildNodeIds = new HashMap<>();
    int linkAt = layout.member("list").orElseThrow().offset();
    for (long link : walk.nodes()) {
      Cancellation.check();
      switch (reader.apply(link - linkAt)) {
        case CacheRead.Ok(SlabCache cache, List<NodePointer> wild) -> {
          caches.add(cache);
          for (NodePointer pointer : wild) {
            wildNodeIds.computeIfAbsent(cache.address(), _ -> new BitSet()).set(pointer.id());
            if (wildNodes.size() < MAX_WILD_NODES) {
              wildNodes.add(pointer.of(cache));
            }
          }
        }
        case CacheRead.Failed(StructRead.Unread why) -> unread.add(why);
      }
    }
    Map<Long, SlabCache> byAddress = new HashMap<>();
    caches.forEach(cache -> byAddress.put(cache.address(), cache));
    return new SlabCaches(detection, caches, byAddress, walk, unread, wildNodes, wildNodeIds);
  }

  private static SlabCaches none(SlabLayout.Detection detection) {
    return new SlabCaches(
        detection,
        List.of(),
        Map.of(),
        new ListWalk(List.of(), new ListWalk.End.Closed(), Optional.empty()),
        List.of(),
        List.of(),
        Map.of());
  }

  public Optional<SlabLayout> layout() {
    return detection instanceof SlabLayout.Detection.Known(SlabLayout layout)
        ? Optional.of(layout)
        : Optional.empty();
  }

  /// What is wrong with the list of caches, with caches that could not be read, and with their
  /// pointers to nodes.
  void eachFault(Kernel kernel, Consumer<SlabFault> report) {
    if (!list.isClosed()) {
      report.accept(
          new SlabFault.Links(
              null, "slab_caches", list.blamed(kernel.symbol("slab_caches").orElse(0)), list));
    }
    for (StructRead.Unread one : unread) {
      report.accept(new SlabFault.Unread(null, "kmem_cache", 0, one.vaddr(), one.why()));
    }
    wildNodes.forEach(report);
  }

  /// Whether all caches on `slab_caches` were met.
  boolean isListWhole() {
    return list.isClosed() || list.isRecovered();
  }

  /// Whether what a slab names as its cache cannot be read, which was said: a cache on the list, or
  /// one behind a page of the list that is not in the dump, if there may be caches.
  boolean isUnread(VirtualMemory memory, MemMap memMap, long address) {
    return unread.stream().anyMatch(cache -> cache.vaddr() == address)
        || (list.end() instanceof ListWalk.End.Unreadable(_, _, MemoryRead.Missing _)
            && memory.read(address, 8) instanceof MemoryRead.Missing
            && mayHoldCaches(memMap.state(memory.pfn(memory.physicalAddress(address)))));
  }

  private boolean mayHoldCaches(PageState page) {
    return page.kind() == PageState.Kind.UNKNOWN
        || (page.kind() == PageState.Kind.SLAB
            && ofCaches().stream().allMatch(own -> own.address() == page.slabCache()));
  }

  /// The cache whose objects are the caches.
  private Optional<SlabCache> ofCaches() {
    return caches.stream().filter(cache -> cache.name().equals("kmem_cache")).findFirst();
  }

  /// A cache that is not on `slab_caches`, or in a part of it that was not met: an object of the
  /// cache `kmem_cache`.
  ///
  /// `kmem_cache_destroy` takes a cache off the list, and `list_del` leaves its poison in the
  /// links: its slabs stay until a grace period is over, and for good if objects are still in use.
  ///
  /// @param address what a slab names as its cache
  /// @return empty if there is no such cache
  Optional<SlabCache> unlisted(Kernel kernel, MemMap memMap, long address) {
    Optional<SlabCache> home = ofCaches();
    if (layout().isEmpty()
        || home.isEmpty()
        || !home.get().isSane()
        || !kernel.memory().map().isDirectMap(address)) {
      return Optional.empty();
    }
    PageState page = memMap.state(kernel.memory().directMapPfn(address));
    long inSlab = address - kernel.memory().directMapPage(page.headPfn()) - home.get().redLeftPad();
    if (page.kind() != PageState.Kind.SLAB
        || page.slabCache() != home.get().address()
        || inSlab < 0
        || inSlab % home.get().size() != 0
        || !(new Reader(kernel, layout().get()).read(address)
            instanceof CacheRead.Ok(SlabCache cache, List<NodePointer> _))) {
      return Optional.empty();
    }
    long link = address + layout().get().cache().member("list").orElseThrow().offset();
    return kernel.memory().read(link, 16) instanceof MemoryRead.Bytes(ByteView links)
            && (ListPoison.isIn(links.u64(0), links.u64(8)) || !isListWhole())
            && cache.isSane()
        ? Optional.of(cache)
        : Optional.empty();
  }

  /// Whether some node of a cache could not be read, so that its counters are not known.
  boolean hasWildNode(SlabCache cache) {
    return wildNodeIds.containsKey(cache.address());
  }

  /// Whether a certain node of a cache could not be read.
  boolean isWildNode(SlabCache cache, int id) {
    BitSet ids = wildNodeIds.get(cache.address());
    return ids != null && ids.get(id);
  }

  /// The fault of a pointer to a node that is null although slabs of the cache are there.
  SlabFault.Wild nullNode(SlabCache cache, int id, long slabs) {
    NodeArray array = NodeArray.of(layout().orElseThrow().cache());
    return new NodePointer(
            array.name,
            id,
            cache.address() + array.at(id) + array.nodeInPair,
            0,
            new MemoryRead.NotMapped(0, "%d slabs of the cache are on the node".formatted(slabs)))
        .of(cache);
  }

  /// Where a cache keeps its pointers to nodes: one after the other, or from 7.1 on in pairs with
  /// those to barns.
  ///
  /// @param barnInPair -1 where barns are not here
  private record NodeArray(String name, int offset, int stride, int nodeInPair, int barnInPair) {
    static NodeArray of(StructLayout cache) {
      Optional<Member> perNode = cache.member("per_node");
      Optional<StructLayout> pair = perNode.flatMap(Member::struct);
      Member array = perNode.orElseGet(() -> cache.member("node").orElseThrow());
      return new NodeArray(
          perNode.isPresent() ? "per_node" : "node",
          array.offset(),
          perNode.isPresent() ? Math.clamp(array.elementSize(), 8, 4096) : 8,
          pair.flatMap(p -> p.member("node")).map(Member::offset).orElse(0),
          pair.flatMap(p -> p.member("barn")).map(Member::offset).orElse(-1));
    }

    int at(int id) {
      return offset + stride * id;
    }
  }

  /// One pointer of a cache's array of nodes.
  ///
  /// @param address of the pointer
  /// @param why it cannot be followed
  record NodePointer(String member, int id, long address, long raw, MemoryRead why) {
    /// A cache without any node can have no slab: where the first pointer is null, it is wrong.
    static final MemoryRead NULL = new MemoryRead.NotMapped(0, "a cache has a node");

    SlabFault.Wild of(SlabCache cache) {
      return new SlabFault.Wild(
          cache, "%s[%d]".formatted(member, id), address, raw, "kmem_cache_node", why);
    }
  }

  /// What reading one cache gave.
  sealed interface CacheRead {
    /// @param wild pointers to nodes that cannot be read
    record Ok(SlabCache cache, List<NodePointer> wild) implements CacheRead {
      public Ok {
        wild = List.copyOf(wild);
      }
    }

    record Failed(StructRead.Unread why) implements CacheRead {}
  }

  /// Reads caches under one layout.
  private static final class Reader {
    private final Kernel kernel;
    private final VirtualMemory memory;
    private final SlabLayout layout;
    private final int nodeCount;
    private final int cacheBytes;

    Reader(Kernel kernel, SlabLayout layout) {
      this.kernel = kernel;
      this.memory = kernel.memory();
      this.layout = layout;
      this.nodeCount = Math.clamp(kernel.variable32("nr_node_ids").orElse(1), 1, MAX_NODES);
      // The declared type ends in an array for the most nodes that could be; what is allocated ends
      // with those that are.
      Member nodes = layout.cache().firstMember("node", "per_node").orElseThrow();
      this.cacheBytes =
          (int)
              Math.min(
                  layout.cache().size(),
                  nodes.offset() + Math.max(8, nodes.elementSize()) * nodeCount);
    }

    CacheRead read(long address) {
      StructRead read = StructRef.read(memory, layout.cache(), address, cacheBytes);
      if (read instanceof StructRead.Unread unread) {
        return new CacheRead.Failed(unread);
      }
      StructRef cache = (StructRef) read;
      long oo = cache.get(ordersMember("oo")) & 0xffff_ffffL;
      long min = layout.cache().has("min") ? cache.get(ordersMember("min")) & 0xffff_ffffL : oo;
      long flags = cache.get("flags");
      List<NodePointer> wild = new ArrayList<>();
      long max = layout.cache().has("max") ? cache.get(ordersMember("max")) & 0xffff_ffffL : oo;
      return new CacheRead.Ok(
          new SlabCache(
              SlabCache.Allocator.SLUB,
              address,
              kernel.string(cache.get("name"), 128).orElse(""),
              cache.signed32("size"),
              cache.signed32("object_size"),
              cache.signed32("offset"),
              cache.signed32("inuse"),
              cache.has("align") ? cache.signed32("align") : 8,
              layout.flags().isDebugging()
                      && (flags & layout.flags().redZone()) != 0
                      && cache.has("red_left_pad")
                  ? cache.signed32("red_left_pad")
                  : 0,
              flags,
              (int) (oo >>> 16),
              (int) (oo & 0xffff),
              (int) (min >>> 16),
              (int) (min & 0xffff),
              memory.pageShift(),
              (int) Math.max(Math.max(oo >>> 16, min >>> 16), Math.min(max >>> 16, 11)),
              cache.has("refcount") ? cache.signed32("refcount") : 1,
              cache.has("ctor") && cache.get("ctor") != 0,
              cache.has("random") ? cache.get("random") : 0,
              layout.cpu().isPresent() ? cache.get("cpu_slab") : 0,
              cache.has("cpu_sheaves") ? cache.get("cpu_sheaves") : 0,
              cache.has("sheaf_capacity") ? cache.signed32("sheaf_capacity") : 0,
              nodes(cache, wild)),
          wild);
    }

    /// `kmem_cache_order_objects` is a struct of one unsigned int `x`.
    private Member ordersMember(String name) {
      return layout.cache().firstMember(name + ".x", name).orElseThrow();
    }

    private List<SlabCache.Node> nodes(StructRef cache, List<NodePointer> wild) {
      List<SlabCache.Node> nodes = new ArrayList<>();
      NodeArray array = NodeArray.of(layout.cache());
      for (int id = 0; id < nodeCount; id++) {
        int at = array.at(id);
        long barn = array.barnInPair >= 0 ? cache.bytes().u64(at + array.barnInPair) : 0;
        long pointer = cache.bytes().u64(at + array.nodeInPair);
        if (pointer == 0) {
          continue;
        }
        switch (StructRef.read(memory, layout.node(), pointer)) {
          case StructRef node ->
              nodes.add(node(id, node, node.has("barn") ? node.get("barn") : barn));
          case StructRead.Unread unread ->
              wild.add(
                  new NodePointer(
                      array.name,
                      id,
                      cache.vaddr() + at + array.nodeInPair,
                      pointer,
                      unread.why()));
        }
      }
      if (nodes.isEmpty() && wild.isEmpty()) {
        wild.add(
            new NodePointer(
                array.name,
                0,
                cache.vaddr() + array.offset + array.nodeInPair,
                0,
                NodePointer.NULL));
      }
      return nodes;
    }

    private SlabCache.Node node(int id, StructRef node, long barn) {
      StructLayout type = layout.node();
      return new SlabCache.Node(
          id,
          node.vaddr(),
          type.has("nr_partial") ? counted(node.get("nr_partial")) : SlabCache.Node.NOT_COUNTED,
          counter(node, "nr_slabs"),
          counter(node, "total_objects"),
          node.addressOf("partial"),
          type.has("full") ? node.addressOf("full") : 0,
          heldBy(node),
          barn);
    }

    /// Not 0 while list_lock is held. With PREEMPT_RT a spinlock is an rt_mutex, whose first word
    /// guards its waiters; bit 0 of the owner says that there are some.
    private static long heldBy(StructRef node) {
      if (node.has("list_lock.lock.owner")) {
        return node.get("list_lock.lock.owner") & ~1L;
      }
      return node.layout()
          .member("list_lock")
          .map(lock -> node.bytes().u32(lock.offset()))
          .orElse(0L);
    }

    private static long counter(StructRef node, String name) {
      if (node.has(name + ".counter")) {
        return counted(node.get(name + ".counter"));
      }
      return node.has(name) ? counted(node.get(name)) : SlabCache.Node.NOT_COUNTED;
    }

    /// Whatever a counter holds, it is there.
    private static long counted(long value) {
      return value == SlabCache.Node.NOT_COUNTED ? value + 1 : value;
    }
  }
}
