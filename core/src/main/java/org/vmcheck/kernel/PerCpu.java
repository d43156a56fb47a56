package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;

/// Per-CPU data: the address for CPU c is the per-CPU pointer plus `__per_cpu_offset[c]`, for
/// symbols and for pointers in structures, in every kernel.
///
/// @param cpus the possible CPUs, ascending
/// @param offsets `__per_cpu_offset` of each of these
/// @param onlineCpus those that are online; empty if not known
public record PerCpu(List<Integer> cpus, List<Long> offsets, List<Integer> onlineCpus) {
  private static final int MAX_CPUS = 8192;

  public PerCpu {
    cpus = List.copyOf(cpus);
    offsets = List.copyOf(offsets);
    onlineCpus = List.copyOf(onlineCpus);
  }

  static PerCpu of(Kernel kernel) {
    List<Integer> cpus = mask(kernel, "__cpu_possible_mask");
    OptionalLong table = kernel.symbol("__per_cpu_offset");
    List<Integer> known = new ArrayList<>();
    List<Long> offsets = new ArrayList<>();
    if (table.isPresent()) {
      for (int cpu : cpus) {
        kernel
            .word(table.getAsLong() + 8L * cpu)
            .ifPresent(
                offset -> {
                  known.add(cpu);
                  offsets.add(offset);
                });
      }
    }
    return new PerCpu(known, offsets, mask(kernel, "__cpu_online_mask"));
  }

  /// How many CPUs are online; -1 if it is not known.
  public int online() {
    return onlineCpus.isEmpty() ? -1 : onlineCpus.size();
  }

  /// Whether a CPU is known not to run.
  public boolean isOffline(int cpu) {
    return !onlineCpus.isEmpty() && !onlineCpus.contains(cpu);
  }

  /// The set bits of a `struct cpumask` variable, up to `nr_cpu_ids`.
  private static List<Integer> mask(Kernel kernel, String symbol) {
    OptionalLong address = kernel.symbol(symbol);
    if (address.isEmpty()) {
      return List.of();
    }
    long limit = kernel.variable32("nr_cpu_ids").orElse(MAX_CPUS);
    int bits = Math.clamp(limit, 1, MAX_CPUS);
    if (!(kernel.memory().read(address.getAsLong(), (bits + 63) / 64 * 8)
        instanceof MemoryRead.Bytes(ByteView words))) {
      return List.of();
    }
    List<Integer> set = new ArrayList<>();
    for (int cpu = 0; cpu < bits; cpu++) {
      if ((words.u64(cpu / 64 * 8L) >>> (cpu & 63) & 1) != 0) {
        set.add(cpu);
      }
    }
    return set;
  }

  /// Address of the copy that the `index`th possible CPU has of a per-CPU object.
  public long address(long perCpuPointer, int index) {
    return perCpuPointer + offsets.get(index);
  }
}
