package org.vmcheck.image;

import java.util.HashSet;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.kernel.Kernel;

/// Where the kernel itself has put probes: `kprobe_table`, lists of `struct kprobe` by address.
/// Probes of tracers, of BPF programs and of security agents are all there.
///
/// Source: Linux `kernel/kprobes.c`, `include/linux/kprobes.h`.
///
/// @param places addresses of the instructions
/// @param isComplete false if there may be more, for lack of the table or of a part of it
record Kprobes(Set<Long> places, boolean isComplete) {
  /// A probe is a breakpoint of one byte or a jump of five.
  static final int BYTES = 5;

  private static final int LISTS = 64;
  private static final int MAX_PROBES = 1 << 16;

  /// Of `kprobe.addr`, behind two links and a counter; the same since 2.6.
  private static final int ADDRESS_AT = 40;

  static Kprobes of(Kernel kernel) {
    Set<Long> places = new HashSet<>();
    OptionalLong table = kernel.symbol("kprobe_table");
    if (table.isEmpty()) {
      return new Kprobes(places, false);
    }
    int addressAt =
        kernel
            .struct("kprobe", "addr")
            .flatMap(layout -> layout.member("addr"))
            .map(Member::offset)
            .orElse(ADDRESS_AT);
    Set<Long> probes = new HashSet<>();
    for (int i = 0; i < LISTS; i++) {
      OptionalLong probe = kernel.word(table.getAsLong() + 8L * i);
      while (probe.isPresent() && probe.getAsLong() != 0) {
        OptionalLong place = kernel.word(probe.getAsLong() + addressAt);
        if (place.isEmpty() || !probes.add(probe.getAsLong()) || probes.size() > MAX_PROBES) {
          return new Kprobes(places, false);
        }
        places.add(place.getAsLong());
        probe = kernel.word(probe.getAsLong());
      }
      if (probe.isEmpty()) {
        return new Kprobes(places, false);
      }
    }
    return new Kprobes(places, true);
  }
}
