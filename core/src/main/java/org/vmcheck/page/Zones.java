package org.vmcheck.page;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;

/// The zones of all nodes that span page frames (`struct zone` in `pglist_data.node_zones`).
///
/// @param all in the order of nodes and of their zones
public record Zones(List<Zone> all) {
  private static final int MAX_NODES = 1024;
  private static final int MAX_ZONES = 8;
  private static final int MAX_NAME = 16;

  private static final Kernel.Part<Zones> PART = new Kernel.Part<>(Zones::read);

  public Zones {
    all = List.copyOf(all);
  }

  /// A zone.
  ///
  /// @param address of its `struct zone`
  /// @param node that it is of
  /// @param index in its node (`enum zone_type`)
  /// @param name such as `DMA32`; empty if it cannot be read
  /// @param start the first frame
  /// @param end one more than the last frame
  /// @param isLocked whether a CPU holds `zone.lock`
  public record Zone(
      long address, int node, int index, String name, long start, long end, boolean isLocked) {
    boolean has(long pfn) {
      return pfn >= start && pfn < end;
    }
  }

  /// Of a kernel; empty where its types do not tell.
  public static Zones of(Kernel kernel) {
    return kernel.part(PART);
  }

  private static Zones read(Kernel kernel) {
    Optional<StructLayout> node = kernel.struct("pglist_data", "node_zones", "node_id");
    Optional<StructLayout> zone =
        kernel.struct("zone", "zone_start_pfn", "spanned_pages", "name", "lock");
    if (node.isEmpty() || zone.isEmpty()) {
      return new Zones(List.of());
    }
    int zonesAt = node.get().member("node_zones").orElseThrow().offset();
    int idAt = node.get().member("node_id").orElseThrow().offset();
    long count = node.get().member("node_zones").orElseThrow().elementCount();
    List<Zone> all = new ArrayList<>();
    for (long at : nodes(kernel)) {
      OptionalLong id = kernel.word(at + (idAt & -8));
      for (int i = 0; i < Math.min(count, MAX_ZONES) && id.isPresent(); i++) {
        long address = at + zonesAt + i * zone.get().size();
        zone(kernel, zone.get(), address, (int) (id.getAsLong() >>> (8 * (idAt & 7))), i)
            .ifPresent(all::add);
      }
    }
    return new Zones(all);
  }

  private static Optional<Zone> zone(
      Kernel kernel, StructLayout type, long address, int node, int index) {
    StructRead read = StructRef.read(kernel.memory(), type, address);
    if (!(read instanceof StructRef zone) || zone.get("spanned_pages") == 0) {
      return Optional.empty();
    }
    long start = zone.get("zone_start_pfn");
    return Optional.of(
        new Zone(
            address,
            node,
            index,
            kernel.string(zone.get("name"), MAX_NAME).orElse(""),
            start,
            start + zone.get("spanned_pages"),
            isHeld(kernel, type, address)));
  }

  /// Whether a CPU or, where spin locks sleep (PREEMPT_RT), a task holds the lock of a structure.
  static boolean isHeld(Kernel kernel, StructLayout type, long address) {
    Optional<Member> owner = type.member("lock.lock.owner");
    if (owner.isPresent()) {
      return kernel.word(address + owner.get().offset()).orElse(0) != 0;
    }
    Optional<Member> lock = type.member("lock");
    ByteView value =
        lock.isPresent() ? kernel.memory().bytes(address + lock.get().offset(), 4) : null;
    return value != null && value.u32(0) != 0;
  }

  /// Addresses of `struct pglist_data`.
  private static List<Long> nodes(Kernel kernel) {
    OptionalLong table = kernel.symbol("node_data");
    if (table.isEmpty()) {
      OptionalLong only = kernel.symbol("contig_page_data");
      return only.isPresent() ? List.of(only.getAsLong()) : List.of();
    }
    List<Long> nodes = new ArrayList<>();
    long count = Math.min(kernel.variable32("nr_node_ids").orElse(1), MAX_NODES);
    for (int i = 0; i < count; i++) {
      long at = kernel.word(table.getAsLong() + 8L * i).orElse(0);
      if (at != 0) {
        nodes.add(at);
      }
    }
    return nodes;
  }

  /// Whether all are of one node.
  boolean haveOneNode() {
    return all.stream().map(Zone::node).distinct().count() == 1;
  }

  /// The zone of a frame, null if it is in none or in the spans of several.
  public Zone of(long pfn) {
    Zone found = null;
    for (Zone zone : all) {
      if (zone.has(pfn)) {
        if (found != null) {
          return null;
        }
        found = zone;
      }
    }
    return found;
  }

  /// The first frame behind `pfn` of which [#of(long)] may say something else.
  long nextBorder(long pfn) {
    long border = Long.MAX_VALUE;
    for (Zone zone : all) {
      border = zone.start > pfn ? Math.min(border, zone.start) : border;
      border = zone.end > pfn ? Math.min(border, zone.end) : border;
    }
    return border;
  }
}
