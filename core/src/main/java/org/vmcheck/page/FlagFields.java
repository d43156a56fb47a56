package org.vmcheck.page;

import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;

/// Which bits of `page.flags` hold the zone, the node and, with classic sparsemem, the section of a
/// page: a kernel's configuration decides, no symbol tells, and so the descriptors are asked.
///
/// Source: Linux `include/linux/page-flags-layout.h`: from the top down the section, the node, the
/// zone, then what varies.
///
/// @param zoneShift the zone's lowest bit; -1 if the fields were not found
/// @param zoneBits how many bits it has
/// @param nodeBits those above it that hold the node
/// @param sectionBits those at the top that hold the section
/// @param lowFlags mask of the single flags (`enum pageflags`); 0 if not known
/// @param usual what the bits between flags and fields hold of most pages
record FlagFields(
    int zoneShift, int zoneBits, int nodeBits, int sectionBits, long lowFlags, long usual) {
  private static final int SAMPLES = 48;

  /// Of ten samples this many must agree.
  private static final int MOST = 9;

  static FlagFields of(Kernel kernel, MemMap memMap, Zones zones) {
    OptionalLong flags =
        kernel.types().isPresent()
            ? kernel.types().get().enumerator("pageflags", "__NR_PAGEFLAGS")
            : OptionalLong.empty();
    OptionalLong kinds =
        kernel.types().isPresent()
            ? kernel.types().get().enumerator("zone_type", "__MAX_NR_ZONES")
            : OptionalLong.empty();
    long low =
        flags.isPresent() && flags.getAsLong() > 8 && flags.getAsLong() < 48
            ? (1L << flags.getAsLong()) - 1
            : 0;
    FlagFields none = new FlagFields(-1, 0, 0, 0, low, 0);
    if (kinds.isEmpty() || kinds.getAsLong() < 2 || kinds.getAsLong() > 8 || low == 0) {
      return none;
    }
    int zoneBits = 64 - Long.numberOfLeadingZeros(kinds.getAsLong() - 1);
    long[][] samples = samples(kernel, memMap, zones);
    int sectionBits = memMap.isClassicSparse() ? sectionBits(memMap, samples) : 0;
    if (sectionBits < 0) {
      return none;
    }
    for (int shift = 64 - sectionBits - zoneBits; shift >= Long.bitCount(low); shift--) {
      int nodeBits = 64 - sectionBits - zoneBits - shift;
      FlagFields fields = new FlagFields(shift, zoneBits, nodeBits, sectionBits, low, 0);
      if (fields.agrees(memMap, samples)) {
        return fields.withUsual(samples);
      }
    }
    return none;
  }

  private FlagFields withUsual(long[][] samples) {
    Map<Long, Integer> counts = new HashMap<>();
    for (long[] sample : samples) {
      if (sample[3] != 0) {
        counts.merge(sample[3] & between(), 1, Integer::sum);
      }
    }
    long most = Collections.max(counts.entrySet(), Map.Entry.comparingByValue()).getKey();
    return new FlagFields(zoneShift, zoneBits, nodeBits, sectionBits, lowFlags, most);
  }

  private boolean agrees(MemMap memMap, long[][] samples) {
    int right = 0;
    int count = 0;
    for (long[] sample : samples) {
      if (sample[3] != 0) {
        count++;
        right +=
            ((sample[3] ^ value(memMap, sample[0], (int) sample[1], (int) sample[2])) & mask()) == 0
                ? 1
                : 0;
      }
    }
    return count >= SAMPLES / 2 && right * 10 >= count * MOST;
  }

  /// Of frames of each zone: the frame, its zone and node, its flags; 0 where there are none.
  private static long[][] samples(Kernel kernel, MemMap memMap, Zones zones) {
    long[][] samples = new long[zones.all().size() * SAMPLES][4];
    int next = 0;
    for (Zones.Zone zone : zones.all()) {
      long step = Math.max(1, (zone.end() - zone.start()) / SAMPLES);
      for (int i = 0; i < SAMPLES; i++, next++) {
        long pfn = zone.start() + i * step;
        if (zone.equals(zones.of(pfn)) && pfn < memMap.endPfn() && memMap.descriptor(pfn) != 0) {
          long flags = kernel.word(memMap.descriptor(pfn) + memMap.shape().flagsAt()).orElse(0);
          samples[next] = new long[] {pfn, zone.index(), zone.node(), flags == -1 ? 0 : flags};
        }
      }
    }
    return samples;
  }

  /// @return -1 if no width fits
  private static int sectionBits(MemMap memMap, long[][] samples) {
    for (int width = 25; width >= 8; width--) {
      FlagFields fields = new FlagFields(64 - width, 0, 0, width, 0, 0);
      if (fields.agrees(memMap, samples)) {
        return width;
      }
    }
    return -1;
  }

  boolean isKnown() {
    return zoneShift >= 0;
  }

  /// The bits that say where a page is.
  long mask() {
    return zoneShift >= 64 || zoneShift < 0 ? 0 : -1L << zoneShift;
  }

  /// What these bits hold for a page.
  long value(MemMap memMap, long pfn, int zone, int node) {
    long value = zoneBits == 0 ? 0 : (long) zone << zoneShift;
    if (nodeBits > 0) {
      value |= (long) node << (zoneShift + zoneBits);
    }
    return sectionBits > 0 ? value | memMap.section(pfn) << (64 - sectionBits) : value;
  }

  /// Bits between the flags and the fields.
  long between() {
    return ~mask() & ~lowFlags;
  }
}
