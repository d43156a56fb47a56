package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.memory.AddressMap;

/// Who allocated an object and who freed it, as caches with `slub_debug=U` keep it behind the
/// object: two `struct track` (Linux `mm/slub.c`), the first of the allocation.
public final class ObjectTracks {
  private final Kernel kernel;
  private final Optional<StructLayout> layout;

  /// One record.
  ///
  /// @param isOfFree whether it tells of the free, else of the allocation
  /// @param address where the record keeps `code`
  /// @param code the address that the call returned to
  /// @param cpu -1 if the record has none
  /// @param pid -1 if the record has none
  /// @param jiffies between it and the end of the kernel; -1 if that cannot be told
  public record Track(boolean isOfFree, long address, long code, int cpu, int pid, long jiffies) {}

  private ObjectTracks(Kernel kernel) {
    this.kernel = kernel;
    this.layout = kernel.struct("track", "addr");
  }

  public static ObjectTracks of(Kernel kernel) {
    return new ObjectTracks(kernel);
  }

  /// Offset of the first record from the object's address.
  static int at(SlabCache cache) {
    return cache.inuse() + (cache.offset() >= cache.inuse() ? 8 : 0);
  }

  /// The records of an object that name code of the kernel; none where the cache keeps none.
  public List<Track> read(Slab slab, int index) {
    List<Track> tracks = new ArrayList<>();
    boolean isKept =
        kernel
            .slabCaches()
            .layout()
            .filter(slabs -> slabs.flags().hasTracking(slab.cache()))
            .isPresent();
    if (!isKept || layout.isEmpty()) {
      return tracks;
    }
    long at = slab.object(index) + at(slab.cache());
    for (boolean isOfFree : new boolean[] {false, true}) {
      if (StructRef.read(kernel.memory(), layout.get(), at) instanceof StructRef track
          && Long.compareUnsigned(track.get("addr"), AddressMap.IMAGE_BASE) >= 0) {
        tracks.add(
            new Track(
                isOfFree,
                track.addressOf("addr"),
                track.get("addr"),
                track.has("cpu") ? track.signed32("cpu") : -1,
                track.has("pid") ? track.signed32("pid") : -1,
                track.has("when") ? jiffiesSince(track.get("when")) : -1));
      }
      at += layout.get().size();
    }
    return tracks;
  }

  private long jiffiesSince(long when) {
    OptionalLong now = kernel.variable64("jiffies_64");
    if (now.isEmpty()) {
      now = kernel.variable64("jiffies");
    }
    return now.isPresent() && when != 0 && now.getAsLong() >= when ? now.getAsLong() - when : -1;
  }
}
