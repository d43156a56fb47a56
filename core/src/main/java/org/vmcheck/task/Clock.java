package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;

/// How long the machine had been up, how busy it was, and how much memory it has (Linux
/// `kernel/time/timekeeping.c`, `kernel/sched/loadavg.c`, `include/linux/mmzone.h`).
public final class Clock {
  /// `FIXED_1` of the load averages.
  private static final double LOAD_UNIT = 2048;

  /// No machine has been up for longer than a hundred years.
  private static final double LONGEST = 100 * 365.25 * 86400;

  private static final int MAX_NODES = 1024;

  private Clock() {}

  /// Seconds since boot, time asleep included; empty if the timekeeper is not found.
  public static OptionalDouble uptime(Kernel kernel) {
    Optional<StructLayout> type = kernel.struct("timekeeper", "xtime_sec", "wall_to_monotonic");
    OptionalLong at = timekeeper(kernel);
    if (type.isEmpty()
        || at.isEmpty()
        || !(StructRef.read(kernel.memory(), type.get(), at.getAsLong())
            instanceof StructRef keeper)
        || !keeper.has("wall_to_monotonic.tv_sec")
        || !keeper.has("wall_to_monotonic.tv_nsec")
        || !keeper.has("tkr_mono.xtime_nsec")
        || !keeper.has("tkr_mono.shift")) {
      return OptionalDouble.empty();
    }
    long shift = keeper.get("tkr_mono.shift") & 63;
    double nanos =
        (double) (keeper.get("tkr_mono.xtime_nsec") >>> shift)
            + keeper.get("wall_to_monotonic.tv_nsec")
            + (keeper.has("offs_boot") ? keeper.get("offs_boot") : 0);
    double up = keeper.get("xtime_sec") + keeper.get("wall_to_monotonic.tv_sec") + nanos / 1e9;
    return up >= 0 && up < LONGEST ? OptionalDouble.of(up) : OptionalDouble.empty();
  }

  /// `tk_core`, or the first of `timekeeper_data` (6.17), which begin with a sequence counter.
  private static OptionalLong timekeeper(Kernel kernel) {
    OptionalLong core = kernel.symbol("timekeeper_data");
    if (core.isEmpty()) {
      core = kernel.symbol("tk_core");
    }
    if (core.isEmpty()) {
      return core;
    }
    // Up to 6.12 the structure has no name, and the timekeeper is aligned behind the counter.
    int offset =
        kernel
            .struct("tk_data", "timekeeper")
            .flatMap(data -> data.member("timekeeper"))
            .map(Member::offset)
            .orElse(
                kernel.struct("seqcount_raw_spinlock").isPresent()
                    ? ((int) kernel.struct("seqcount_raw_spinlock").get().size() + 7) & -8
                    : 8);
    return OptionalLong.of(core.getAsLong() + offset);
  }

  /// The load averages of 1, 5 and 15 minutes; empty if they cannot be read.
  public static List<Double> load(Kernel kernel) {
    OptionalLong at = kernel.symbol("avenrun");
    if (at.isEmpty()
        || !(kernel.memory().read(at.getAsLong(), 24) instanceof MemoryRead.Bytes(ByteView view))) {
      return List.of();
    }
    List<Double> load = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      load.add(view.u64(8L * i) / LOAD_UNIT);
    }
    return load;
  }

  /// Bytes of memory that the kernel was given: the present pages of all zones; 0 if they cannot be
  /// read.
  public static long memoryBytes(Kernel kernel) {
    Optional<StructLayout> node = kernel.struct("pglist_data", "node_zones");
    Optional<StructLayout> zone = kernel.struct("zone", "present_pages");
    if (node.isEmpty() || zone.isEmpty()) {
      return 0;
    }
    Member zones = node.get().member("node_zones").orElseThrow();
    int presentAt = zone.get().member("present_pages").orElseThrow().offset();
    long pages = 0;
    for (long at : nodes(kernel)) {
      for (int i = 0; i < Math.clamp(zones.elementCount(), 0, 16); i++) {
        pages +=
            Math.max(
                0, kernel.word(at + zones.offset() + i * zone.get().size() + presentAt).orElse(0));
      }
    }
    return pages > 0 && pages < 1L << 40 ? pages * kernel.memory().physical().pageSize() : 0;
  }

  private static List<Long> nodes(Kernel kernel) {
    OptionalLong array = kernel.symbol("node_data");
    if (array.isEmpty()) {
      OptionalLong only = kernel.symbol("contig_page_data");
      return only.isPresent() ? List.of(only.getAsLong()) : List.of();
    }
    List<Long> nodes = new ArrayList<>();
    long count = Math.clamp(kernel.variable32("nr_node_ids").orElse(1), 1, MAX_NODES);
    for (int i = 0; i < count; i++) {
      OptionalLong at = kernel.word(array.getAsLong() + 8L * i);
      if (at.isPresent() && at.getAsLong() != 0) {
        nodes.add(at.getAsLong());
      }
    }
    return nodes;
  }
}
