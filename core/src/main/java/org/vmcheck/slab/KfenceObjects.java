package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// The objects of KFENCE, as its metadata tells (Linux `mm/kfence/kfence.h`, struct
/// kfence_metadata): each has a page of its own between two guard pages.
///
/// @param pool address of `__kfence_pool`, 0 if KFENCE has none
/// @param objects in the order of their pages
/// @param unread pieces of metadata that could not be read
/// @param problem why nothing, or not all, can be told of a pool that is there; empty if all is
///   well
public record KfenceObjects(long pool, List<KfenceObject> objects, int unread, String problem) {
  private static final Kernel.Part<KfenceObjects> PART = new Kernel.Part<>(KfenceObjects::read);

  /// `CONFIG_KFENCE_NUM_OBJECTS` is at most 65535.
  private static final int MAX_OBJECTS = 65535;

  /// Metadata of this many objects in a row that fit no page of the pool end it.
  private static final int LOOK_AHEAD = 4;

  /// Addresses of a stack trace that are read.
  private static final int MAX_STACK = 16;

  public KfenceObjects {
    objects = List.copyOf(objects);
  }

  /// What the metadata of one object says.
  ///
  /// @param index in `kfence_metadata`, as the kernel's reports name it
  /// @param metadata address of its metadata
  /// @param page address of its page
  /// @param state number of the state
  /// @param address of the object; anything, if the metadata is damaged
  /// @param size bytes asked for
  /// @param cache address of its cache, 0 if it never had one or the cache is destroyed
  public record KfenceObject(
      int index,
      long metadata,
      long page,
      State state,
      long address,
      long size,
      long cache,
      KfenceTrack allocated,
      KfenceTrack freed) {
    /// Whether the object lies in its page.
    public boolean isInPage(int pageSize) {
      return address >= page && size > 0 && size <= pageSize && address + size <= page + pageSize;
    }

    /// For example `KFENCE object #5`.
    public String words() {
      return "KFENCE object #" + index;
    }
  }

  /// Of `enum kfence_object_state`.
  public enum State {
    UNUSED("never used"),
    ALLOCATED("allocated"),
    /// Given back, and the page is still open before a grace period (TYPESAFE_BY_RCU caches).
    RCU_FREEING("waiting for a grace period"),
    FREED("freed"),
    UNKNOWN("in a state that there is none of");

    private final String words;

    State(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// Who did it (struct kfence_track).
  ///
  /// @param nanos by the clock of the log
  /// @param stack return addresses, the innermost first
  public record KfenceTrack(int pid, int cpu, long nanos, List<Long> stack) {
    static final KfenceTrack NONE = new KfenceTrack(-1, -1, 0, List.of());

    public KfenceTrack {
      stack = List.copyOf(stack);
    }
  }

  /// Of a kernel; none where it has no pool.
  public static KfenceObjects of(Kernel kernel) {
    return kernel.part(PART);
  }

  private static KfenceObjects read(Kernel kernel) {
    long pool = kernel.variable64("__kfence_pool").orElse(0);
    if (pool == 0) {
      return new KfenceObjects(0, List.of(), 0, "");
    }
    OptionalLong symbol = kernel.symbol("kfence_metadata");
    Optional<StructLayout> layout =
        kernel.struct("kfence_metadata", "state", "addr", "size", "cache");
    if (symbol.isEmpty() || layout.isEmpty() || layout.get().size() <= 0) {
      return new KfenceObjects(
          pool,
          List.of(),
          0,
          symbol.isEmpty()
              ? "no symbol kfence_metadata, which tells where its objects lie"
              : "no type of struct kfence_metadata, which tells where its objects lie");
    }
    if (number(kernel, State.UNUSED).isEmpty() || number(kernel, State.FREED).isEmpty()) {
      return new KfenceObjects(
          pool, List.of(), 0, "no type of enum kfence_object_state, which tells what is in use");
    }
    Reader reader = new Reader(kernel, pool, layout.get());
    // An array up to 6.5, a pointer to one since.
    for (long start : new long[] {symbol.getAsLong(), kernel.word(symbol.getAsLong()).orElse(0)}) {
      if (reader.fits(start)) {
        return reader.read(start);
      }
    }
    return new KfenceObjects(pool, List.of(), 0, "its metadata is not set up, or not in the dump");
  }

  /// A state's number in this kernel; those of later kernels are not in all.
  private static OptionalLong number(Kernel kernel, State state) {
    return kernel
        .types()
        .map(types -> types.enumerator("kfence_object_state", "KFENCE_OBJECT_" + state.name()))
        .orElse(OptionalLong.empty());
  }

  private static final class Reader {
    private final Kernel kernel;
    private final long pool;
    private final StructLayout layout;
    private final int stateAt;
    private final int addrAt;
    private final int sizeAt;
    private final int cacheAt;

    Reader(Kernel kernel, long pool, StructLayout layout) {
      this.kernel = kernel;
      this.pool = pool;
      this.layout = layout;
      stateAt = offset("state");
      addrAt = offset("addr");
      sizeAt = offset("size");
      cacheAt = offset("cache");
    }

    private int offset(String member) {
      return layout.member(member).map(Member::offset).orElse(-1);
    }

    private long page(int index) {
      return pool + 2L * kernel.memory().pageSize() * (index + 1);
    }

    /// Whether some of the first objects have the pages that they must have: their addresses never
    /// leave these.
    boolean fits(long start) {
      for (int i = 0; start != 0 && i < LOOK_AHEAD; i++) {
        if (isOfItsPage(start, i)) {
          return true;
        }
      }
      return false;
    }

    private boolean isOfItsPage(long start, int index) {
      OptionalLong address = kernel.word(start + index * layout.size() + addrAt);
      return address.isPresent() && kernel.memory().pageStart(address.getAsLong()) == page(index);
    }

    KfenceObjects read(long start) {
      int count = 0;
      int misses = 0;
      for (int i = 0; i < MAX_OBJECTS && misses < LOOK_AHEAD; i++) {
        Cancellation.check();
        boolean fits = isOfItsPage(start, i);
        misses = fits ? 0 : misses + 1;
        count = fits ? i + 1 : count;
      }
      List<KfenceObject> objects = new ArrayList<>();
      int unread = 0;
      for (int i = 0; i < count; i++) {
        long at = start + i * layout.size();
        if (kernel.memory().read(at, (int) layout.size())
            instanceof MemoryRead.Bytes(ByteView bytes)) {
          objects.add(
              new KfenceObject(
                  i,
                  at,
                  page(i),
                  state(bytes.u32(stateAt)),
                  bytes.u64(addrAt),
                  // A negative size was one at the page's end in the first versions.
                  Math.abs(bytes.u64(sizeAt)),
                  bytes.u64(cacheAt),
                  track(bytes, "alloc_track"),
                  track(bytes, "free_track")));
        } else {
          unread++;
        }
      }
      return new KfenceObjects(pool, objects, unread, "");
    }

    private State state(long value) {
      for (State state : State.values()) {
        OptionalLong number = number(kernel, state);
        if (number.isPresent() && number.getAsLong() == value) {
          return state;
        }
      }
      return State.UNKNOWN;
    }

    private KfenceTrack track(ByteView bytes, String name) {
      Optional<StructLayout> track = kernel.struct("kfence_track", "pid", "stack_entries");
      int at = offset(name);
      if (track.isEmpty() || at < 0 || at + track.get().size() > bytes.size()) {
        return KfenceTrack.NONE;
      }
      int entries = at(track.get(), "num_stack_entries");
      int stackAt = at(track.get(), "stack_entries");
      int room = (int) Math.max(0, (track.get().size() - stackAt) / 8);
      long count = entries < 0 ? 0 : bytes.u32(at + entries);
      List<Long> stack = new ArrayList<>();
      for (int i = 0; i < Math.min(count, Math.min(room, MAX_STACK)); i++) {
        stack.add(bytes.u64(at + stackAt + 8L * i));
      }
      int cpu = at(track.get(), "cpu");
      int when = at(track.get(), "ts_nsec");
      return new KfenceTrack(
          (int) bytes.u32(at + at(track.get(), "pid")),
          cpu < 0 ? -1 : (int) bytes.u32(at + cpu),
          when < 0 ? 0 : bytes.u64(at + when),
          stack);
    }

    private static int at(StructLayout layout, String member) {
      return layout.member(member).map(Member::offset).orElse(-1);
    }
  }
}
