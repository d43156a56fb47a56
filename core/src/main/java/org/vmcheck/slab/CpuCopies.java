package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;

/// The copies that the CPUs have of a per-CPU structure of one cache.
///
/// One wild pointer makes the copies of all CPUs unreadable: that is one fault, at the pointer.
/// Where it makes most of them so, what the others seem to hold is no structure either.
///
/// @param byIndex those that can be read, by the index of their CPU
/// @param faults why there are not more
record CpuCopies(SortedMap<Integer, StructRef> byIndex, List<SlabFault> faults) {
  /// @param member of `kmem_cache` that holds the pointer
  static CpuCopies of(
      Kernel kernel,
      SlabCache cache,
      long pointerAt,
      String member,
      long pointer,
      StructLayout type) {
    PerCpu perCpu = kernel.perCpu();
    int cpus = perCpu.cpus().size();
    SortedMap<Integer, StructRef> copies = new TreeMap<>();
    List<SlabFault> faults = new ArrayList<>();
    int wild = 0;
    int missing = 0;
    MemoryRead firstWild = null;
    int firstMissing = -1;
    MemoryRead missingWhy = null;
    for (int i = 0; i < cpus; i++) {
      StructRead read =
          pointer == 0
              ? new StructRead.Unread(0, new MemoryRead.NotMapped(0, "the pointer is null"))
              : StructRef.read(kernel.memory(), type, perCpu.address(pointer, i));
      // No switch over types: linking one takes longer than all else here.
      if (read instanceof StructRef copy) {
        copies.put(i, copy);
      } else if (read instanceof StructRead.Unread(long _, MemoryRead.Missing why)) {
        missing++;
        firstMissing = firstMissing < 0 ? i : firstMissing;
        missingWhy = missingWhy == null ? why : missingWhy;
      } else if (read instanceof StructRead.Unread(long _, MemoryRead why)) {
        wild++;
        firstWild = firstWild == null ? why : firstWild;
      }
    }
    if (wild > 0) {
      faults.add(
          new SlabFault.Wild(
              cache,
              member,
              pointerAt,
              pointer,
              "%s of %d of %d CPUs".formatted(type.name(), wild, cpus),
              firstWild));
    }
    if (missing > 0) {
      faults.add(
          new SlabFault.Unread(
              cache,
              "%s of cpu %d".formatted(type.name(), perCpu.cpus().get(firstMissing)),
              missing - 1,
              perCpu.address(pointer, firstMissing),
              missingWhy));
    }
    if (wild * 2 > cpus) {
      copies.clear();
    }
    return new CpuCopies(copies, faults);
  }
}
