package org.vmcheck.slab;

import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/// What the slabs on lists tell of the kernel where no member does: how free pointers are encoded,
/// whether slabs on CPUs' partial lists are frozen, and which flag those on nodes' lists carry.
///
/// @param places by the address of the slab's descriptor
record EncodingVote(SlabDescriptors descriptors, Map<Long, List<SlabPlace>> places) {
  /// Slabs on nodes' lists that must be there before the flag that all of them carry means
  /// something.
  private static final int MIN_MARKED = 4;

  /// By how many votes one form must lead before the others are not asked: by chance a wrong one
  /// gets none of them.
  private static final int DECISIVE = 64;

  /// How this kernel keeps the slabs on CPUs' partial lists: frozen up to 6.7, not frozen from 6.8
  /// on (Linux 8cd3fa428b56 "slub: Delay freezing of partial slabs"). No member tells; the slabs
  /// do.
  enum Frozen {
    ALL,
    NONE,
    UNKNOWN
  }

  /// Lets the slabs on lists vote, until one form is far ahead: under which does the first free
  /// pointer make sense?
  FreelistDecoder.Vote vote() {
    if (!descriptors.layout().isHardened()) {
      return new FreelistDecoder.Vote(FreelistDecoder.PLAIN, 0, 0, 0);
    }
    int plain = 0;
    int swapped = 0;
    int slabs = 0;
    SlabMemory slabMemory = new SlabMemory(descriptors.memory().physical());
    for (Map.Entry<Long, List<SlabPlace>> entry : places.entrySet()) {
      if (Math.abs(plain - swapped) >= DECISIVE) {
        break;
      }
      Slab slab = descriptors.readSlab(entry.getKey());
      if (slab == null) {
        continue;
      }
      SlabPlace place = entry.getValue().getFirst();
      long head = place.cpuFreelist() != 0 ? place.cpuFreelist() : slab.freelist();
      int index = slab.index(head);
      if (index < 0) {
        continue;
      }
      slabMemory.set(slab);
      long slot = slab.slot(index);
      if (!slabMemory.isReadable(slot)) {
        continue;
      }
      long word = slabMemory.word(slot);
      long random = slab.cache().random();
      slabs++;
      plain += makesSense(slab, FreelistDecoder.HARDENED.decode(word, slot, random)) ? 1 : 0;
      swapped +=
          makesSense(slab, FreelistDecoder.HARDENED_SWAPPED.decode(word, slot, random)) ? 1 : 0;
    }
    return plain > swapped
        ? new FreelistDecoder.Vote(FreelistDecoder.HARDENED, plain, swapped, slabs)
        : new FreelistDecoder.Vote(FreelistDecoder.HARDENED_SWAPPED, swapped, plain, slabs);
  }

  /// Lets the slabs on CPUs' partial lists say whether such slabs are frozen.
  Frozen frozenOnCpuPartial() {
    int frozen = 0;
    int slabs = 0;
    for (Map.Entry<Long, List<SlabPlace>> entry : places.entrySet()) {
      if (entry.getValue().getFirst().kind() == SlabPlace.Kind.CPU_PARTIAL) {
        Slab slab = descriptors.readSlab(entry.getKey());
        if (slab != null) {
          slabs++;
          frozen += slab.frozen() ? 1 : 0;
        }
      }
    }
    if (slabs < 3) {
      return Frozen.UNKNOWN;
    }
    return frozen * 3 >= slabs * 2
        ? Frozen.ALL
        : frozen * 3 <= slabs ? Frozen.NONE : Frozen.UNKNOWN;
  }

  /// The flag that slabs on a node's list carry and those on a CPU's do not (Linux 8a399e2f6003
  /// "slub: Keep track of whether slub is on the per-node partial list", later named SL_partial); 0
  /// where the slabs do not show it.
  long markOfPartial() {
    OptionalLong bit =
        descriptors.kernel().types().orElseThrow().enumerator("slab_flags", "SL_partial");
    if (bit.isEmpty()) {
      bit = descriptors.kernel().types().get().enumerator("pageflags", "PG_workingset");
    }
    if (bit.isEmpty() || bit.getAsLong() < 0 || bit.getAsLong() > 63) {
      return 0;
    }
    long mask = 1L << bit.getAsLong();
    int marked = 0;
    int slabs = 0;
    for (Map.Entry<Long, List<SlabPlace>> entry : places.entrySet()) {
      if (entry.getValue().getFirst().kind() == SlabPlace.Kind.NODE_PARTIAL) {
        Slab slab = descriptors.readSlab(entry.getKey());
        if (slab != null) {
          slabs++;
          marked += (slab.flags() & mask) != 0 ? 1 : 0;
        }
      }
    }
    return slabs >= MIN_MARKED && marked * 10 >= slabs * 9 ? mask : 0;
  }

  private static boolean makesSense(Slab slab, long pointer) {
    return pointer == 0 || slab.index(pointer) >= 0;
  }
}
