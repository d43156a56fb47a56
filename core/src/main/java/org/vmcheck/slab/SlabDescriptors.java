package org.vmcheck.slab;

import java.util.Optional;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.NodeSpans;
import org.vmcheck.page.PageState;

/// The page descriptors as descriptors of slabs, for kernels with SLUB: which slab one is of, where
/// its pages are, and of which node.
///
/// @param nodesToldApart nodes that frames can be told apart by; 1 where they cannot
/// @param kfence frames that look like slabs and are none
record SlabDescriptors(
    Kernel kernel,
    MemMap memMap,
    SlabCaches caches,
    SlabLayout layout,
    Optional<NodeSpans> nodeSpans,
    int nodesToldApart,
    KfencePool kfence) {

  static SlabDescriptors of(Kernel kernel, MemMap memMap) {
    Optional<NodeSpans> nodeSpans = NodeSpans.of(kernel);
    return new SlabDescriptors(
        kernel,
        memMap,
        SlabCaches.of(kernel),
        SlabCaches.of(kernel).layout().orElseThrow(),
        nodeSpans,
        nodeSpans.filter(NodeSpans::areDisjoint).map(NodeSpans::count).orElse(1),
        KfencePool.of(kernel, memMap));
  }

  VirtualMemory memory() {
    return kernel.memory();
  }

  /// The slab in whose pages an address of the direct map lies; null if there is none.
  Slab slabHolding(long vaddr) {
    if (!memory().map().isDirectMap(vaddr)) {
      return null;
    }
    PageState page = memMap.state(memory().directMapPfn(vaddr));
    return page.kind() == PageState.Kind.SLAB ? readSlab(memMap.descriptor(page.headPfn())) : null;
  }

  /// The slab at a descriptor's address; null if it is none of a known, sane cache.
  Slab readSlab(long address) {
    long pfn = memMap.pfn(address);
    if (pfn < 0
        || !(memory().read(address, memMap.shape().size())
            instanceof MemoryRead.Bytes(ByteView view))) {
      return null;
    }
    byte[] bytes = view.bytes();
    SlabCache cache = caches.byAddress().get(MemMap.word(bytes, layout.slabCacheAt()));
    return cache == null || !cache.isSane() || !memMap.isSlabHead(pfn, bytes, 0)
        ? null
        : ofWholeOrder(Slab.of(layout, cache, address, pfn, base(pfn), bytes, 0), bytes, 0);
  }

  /// The slab with the order that its pages have, if its number of objects fits another order of
  /// the cache, but the compound page is whole and of the preferred one: then the number is wrong.
  ///
  /// @param bytes memory that holds its descriptor
  /// @param at its offset
  Slab ofWholeOrder(Slab slab, byte[] bytes, int at) {
    int order = slab.cache().order();
    return slab.order() < order && memMap.isWholeCompound(slab.pfn(), order, bytes, at)
        ? slab.withOrder(order)
        : slab;
  }

  /// The word at an address; 0 if it cannot be read.
  long word(long vaddr) {
    return memory().read(vaddr, 8) instanceof MemoryRead.Bytes(ByteView view) ? view.u64(0) : 0;
  }

  /// Where a frame lies in the direct map.
  long base(long pfn) {
    return memory().directMapPage(pfn);
  }

  /// The node of a frame, 0 where frames do not tell it, and -1 for one of none.
  int nodeOf(long pfn) {
    return nodesToldApart > 1 ? nodeSpans.orElseThrow().nodeOf(pfn) : 0;
  }

  /// Where a member of `kmem_cache_node` lies; 0 if there is none.
  int offsetInNode(String nodeMember) {
    return layout.node().member(nodeMember).map(Member::offset).orElse(0);
  }
}
