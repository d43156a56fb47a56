package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// The slabs that start below a page frame, and the heads of their freelists: few enough to be kept
/// and walked again and again, under other assumptions.
///
/// @param slabs by page frame, those without a free object too
/// @param heads of the lists that are not empty
public record SlabHeads(List<Slab> slabs, List<Head> heads) {
  /// A freelist.
  ///
  /// @param cpu whose list it is, -1 for the slab's own
  /// @param first its first object
  /// @param slot address of the word that says so
  public record Head(Slab slab, int cpu, long first, long slot) {
    /// Objects that must be on it, by the slab's counters; -1 for a CPU's list, which none counts.
    public int expectedLength() {
      return cpu >= 0 ? -1 : slab.objects() - slab.inuse();
    }
  }

  public SlabHeads {
    slabs = List.copyOf(slabs);
    heads = List.copyOf(heads);
  }

  /// Reads the descriptors of the frames below `endPfn`, and the CPUs' slabs.
  public static SlabHeads below(Kernel kernel, MemMap memMap, long endPfn) {
    VirtualMemory memory = kernel.memory();
    SlabCaches caches = SlabCaches.of(kernel);
    if (caches.layout().isEmpty()) {
      return new SlabHeads(List.of(), List.of());
    }
    SlabLayout layout = caches.layout().get();
    Map<Long, Slab> byAddress = new HashMap<>();
    List<Slab> slabs = new ArrayList<>();
    memMap.stream(
        0,
        Math.min(endPfn, memMap.endPfn()),
        new MemMap.Visitor() {
          @Override
          public void page(long pfn, byte[] bytes, int at) {
            SlabCache cache = caches.byAddress().get(MemMap.word(bytes, at + layout.slabCacheAt()));
            if (cache != null && cache.isSane() && memMap.isSlabHead(pfn, bytes, at)) {
              long base = memory.directMapPage(pfn);
              Slab slab = Slab.of(layout, cache, memMap.descriptor(pfn), pfn, base, bytes, at);
              slabs.add(slab);
              byAddress.put(slab.address(), slab);
            }
          }

          @Override
          public void unreadable(long firstPfn, long count) {}
        },
        memMap.newBuffer());
    List<Head> heads = new ArrayList<>();
    for (Slab slab : slabs) {
      if (slab.freelist() != 0) {
        heads.add(new Head(slab, -1, slab.freelist(), slab.address() + layout.freelistAt()));
      }
    }
    if (slabs.isEmpty() || layout.cpu().isEmpty()) {
      return new SlabHeads(slabs, heads);
    }
    PerCpu perCpu = kernel.perCpu();
    for (SlabCache cache : caches.caches()) {
      for (int i = 0; cache.isSane() && i < perCpu.cpus().size(); i++) {
        long address = perCpu.address(cache.cpuSlab(), i);
        if (StructRef.read(memory, layout.cpu().get(), address) instanceof StructRef cpu) {
          Slab slab = byAddress.get(cpu.get(layout.cpuSlabMember()));
          long first = cpu.get("freelist");
          if (slab != null && first != 0) {
            heads.add(new Head(slab, perCpu.cpus().get(i), first, cpu.addressOf("freelist")));
          }
        }
      }
    }
    return new SlabHeads(slabs, heads);
  }
}
