package org.vmcheck.desk;

import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.finding.Place;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PerCpu;

/// Which per-CPU variable of which CPU an address is (Linux `mm/percpu.c`): the first chunk has a
/// unit for each CPU, which begins with the static variables.
final class PerCpuPlaces {
  /// The most bytes of a unit.
  private static final long MAX_UNIT = 64 << 20;

  private final Kernel kernel;
  private final long start;
  private final long staticBytes;
  private final long unitBytes;

  /// CPU indices by the address of the first byte of their unit.
  private final TreeMap<Long, Integer> units = new TreeMap<>();

  PerCpuPlaces(Kernel kernel) {
    this.kernel = kernel;
    this.start = kernel.symbol("__per_cpu_start").orElse(0);
    long end = kernel.symbol("__per_cpu_end").orElse(0);
    this.staticBytes = end - start > 0 && end - start <= MAX_UNIT ? end - start : 0;
    long unit = kernel.variable32("pcpu_unit_size").orElse(0);
    this.unitBytes = unit >= staticBytes && unit <= MAX_UNIT ? unit : staticBytes;
    PerCpu perCpu = kernel.perCpu();
    for (int i = 0; staticBytes > 0 && i < perCpu.cpus().size(); i++) {
      units.put(perCpu.address(start, i), i);
    }
  }

  /// The place in the first chunk; empty if it is none of it.
  Optional<Place> at(long address) {
    Map.Entry<Long, Integer> unit = units.floorEntry(address);
    if (unit == null || address - unit.getKey() >= unitBytes) {
      return Optional.empty();
    }
    int cpu = kernel.perCpu().cpus().get(unit.getValue());
    long offset = address - unit.getKey();
    if (offset >= staticBytes) {
      return Optional.of(
          new Place(
              address,
              Place.Kind.PER_CPU,
              "allocated memory",
              unit.getKey() + staticBytes,
              unitBytes - staticBytes,
              cpu,
              "",
              ""));
    }
    return variable(offset)
        .map(
            symbol ->
                new Place(
                    address,
                    Place.Kind.PER_CPU,
                    symbol.name(),
                    unit.getKey() + symbol.address() - start,
                    0,
                    cpu,
                    "",
                    ""));
  }

  /// The static variable at an offset in the unit.
  private Optional<Symbol> variable(long offset) {
    return kernel
        .symbols()
        .flatMap(symbols -> symbols.atOrBefore(start + offset))
        .filter(symbol -> symbol.address() - start >= 0);
  }

  /// The variable that a per-CPU pointer, as `this_cpu` code and structures hold it, leads to;
  /// empty if it is none.
  Optional<String> ofPointer(long pointer) {
    long offset = pointer - start;
    return offset >= 0 && offset < staticBytes
        ? kernel.symbols().flatMap(symbols -> symbols.describe(pointer))
        : Optional.empty();
  }
}
