package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// Who allocated or freed an object, as a cache with SLAB_STORE_USER remembers it: two `struct
/// track` behind the object, the allocation's first (Linux `mm/slub.c`, get_track; their place is
/// get_info_end: behind the payload with its red zone, and the free pointer if that lies outside).
///
/// @param isFree whether it tells of the free, else of the allocation
/// @param caller return address in the function that asked for it
/// @param pid of the task that did it
/// @param jiffies from then to the end of the kernel; -1 if that cannot be told
public record ObjectTrack(boolean isFree, long caller, int cpu, int pid, long jiffies) {
  /// Offset of the first track from the object's address.
  static int at(SlabCache cache) {
    return cache.inuse() + (cache.offset() >= cache.inuse() ? 8 : 0);
  }

  /// Whether a cache keeps who allocated and freed its objects.
  public static boolean isKept(Kernel kernel, SlabCache cache) {
    return kernel.struct("track", "addr", "cpu", "pid").isPresent()
        && SlabCaches.of(kernel).layout().filter(l -> l.flags().hasTracking(cache)).isPresent();
  }

  /// What an object's tracks tell: none where the cache keeps none, where nothing happened yet, and
  /// where a track names no code address, which the kernel cannot have written.
  public static List<ObjectTrack> of(Kernel kernel, SlabCache cache, long object) {
    Optional<StructLayout> track = kernel.struct("track", "addr", "cpu", "pid");
    Optional<SlabLayout> slabs = SlabCaches.of(kernel).layout();
    if (track.isEmpty() || slabs.isEmpty() || !slabs.get().flags().hasTracking(cache)) {
      return List.of();
    }
    int bytes = (int) track.get().size();
    int caller = track.get().member("addr").orElseThrow().offset();
    int cpu = track.get().member("cpu").orElseThrow().offset();
    int pid = track.get().member("pid").orElseThrow().offset();
    Optional<Member> when = track.get().member("when");
    long at = object + at(cache);
    List<ObjectTrack> tracks = new ArrayList<>();
    for (boolean isFree : new boolean[] {false, true}) {
      if (kernel.memory().read(at, bytes) instanceof MemoryRead.Bytes(ByteView view)
          && kernel.memory().map().mayBeCode(view.u64(caller))) {
        tracks.add(
            new ObjectTrack(
                isFree,
                view.u64(caller),
                (int) view.u32(cpu),
                (int) view.u32(pid),
                when.map(member -> jiffiesSince(kernel, view.u64(member.offset()))).orElse(-1L)));
      }
      at += bytes;
    }
    return List.copyOf(tracks);
  }

  /// As a sentence without its subject.
  public String words(Kernel kernel) {
    return "%s by %s, task %d on cpu %d%s"
        .formatted(
            isFree ? "last freed" : "last allocated",
            kernel.describe(caller),
            pid,
            cpu,
            jiffies < 0 ? "" : ", %d jiffies before the dump".formatted(jiffies));
  }

  private static long jiffiesSince(Kernel kernel, long when) {
    OptionalLong now = kernel.variable64("jiffies_64");
    if (now.isEmpty()) {
      now = kernel.variable64("jiffies");
    }
    return now.isPresent() && when != 0 && now.getAsLong() >= when ? now.getAsLong() - when : -1;
  }
}
