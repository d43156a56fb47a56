package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;

/// The bytes that the allocator's debugging options fix: red zones, poison, padding, and the record
/// of who allocated and freed an object; and the zeros of `init_on_free`.
///
/// Layout of an object in a debug cache (Linux `mm/slub.c`, calculate_sizes): left red zone,
/// payload, right red zone up to `inuse`, free pointer if it lies outside, two `struct track`, for
/// kmalloc caches the requested size, padding up to `size`.
final class DebugPatterns {
  private static final int RED_INACTIVE = 0xbb;
  private static final int RED_ACTIVE = 0xcc;
  static final int POISON_FREE = 0x6b;
  private static final int POISON_END = 0xa5;
  static final int POISON_INUSE = 0x5a;

  /// Objects with a right number for each with a wrong one, before the number counts as one.
  private static final int MIN_RIGHT_SIZES = 7;

  private final SlabFlags flags;
  private final int trackSize;
  private final int trackAddrAt;
  private final int trackCpuAt;

  /// How many CPUs there can be; empty where no variable of the kernel says so.
  private final OptionalLong cpuCount;

  private final Kernel kernel;
  private final Optional<StructLayout> descriptor;

  /// Bytes of a `struct slabobj_ext`; 0 where the types do not tell.
  private final int extensionSize;

  private DebugPatterns(Kernel kernel) {
    this.kernel = kernel;
    SlabLayout layout = SlabCaches.of(kernel).layout().orElseThrow();
    flags = layout.flags();
    descriptor = Optional.of(layout.slabStruct()).filter(s -> s.has("obj_exts") && s.has("stride"));
    extensionSize = kernel.struct("slabobj_ext").map(e -> (int) e.size()).orElse(0);
    Optional<StructLayout> track = kernel.struct("track", "addr", "cpu");
    trackSize = track.map(t -> (int) t.size()).orElse(0);
    trackAddrAt = track.flatMap(t -> t.member("addr")).map(Member::offset).orElse(0);
    trackCpuAt = track.flatMap(t -> t.member("cpu")).map(Member::offset).orElse(0);
    cpuCount = kernel.variable32("nr_cpu_ids");
  }

  static DebugPatterns of(Kernel kernel) {
    return new DebugPatterns(kernel);
  }

  /// Whether some bytes of this cache's objects are fixed.
  boolean concerns(SlabCache cache) {
    return flags.hasRedZones(cache)
        || flags.hasPoison(cache)
        || flags.hasTracking(cache)
        || flags.isClearedOnFree(cache);
  }

  /// Whether a sane cache's objects have room for the tracks that its flags ask for.
  private boolean hasRoom(SlabCache cache) {
    return !flags.hasTracking(cache)
        || 2 * trackSize <= cache.size() - cache.redLeftPad() - ObjectTrack.at(cache);
  }

  /// Checks every object of a slab.
  ///
  /// @param walker knows which objects are free
  /// @param memory points at the slab
  /// @param freeSetKnown whether it knows all of them: else free and allocated patterns both pass
  /// @param sheaves know of more that are free
  /// @param allow takes states that are legal for an instant
  void check(
      Slab slab,
      Freelist.Walker walker,
      SlabMemory memory,
      boolean freeSetKnown,
      Optional<Sheaves> sheaves,
      Consumer<SlabFault> report,
      Consumer<TransientState> allow) {
    SlabCache cache = slab.cache();
    if (!hasRoom(cache)) {
      return; // The flags are wrong, which is said of the cache.
    }
    Extensions extensions = flags.hasPoison(cache) ? extensions(slab) : Extensions.NONE;
    BitSet free = sheaves.map(all -> all.freeObjects(slab)).orElseGet(BitSet::new);
    int unlisted = 0;
    int changing = -1;
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (walker.isMet(i)) {
        free.set(i);
      } else if (!free.get(i) && !freeSetKnown) {
        continue;
      } else if (!free.get(i) && flags.hasRedZones(cache) && hasZonesOfFree(slab, i, memory)) {
        free.set(i);
        unlisted++;
      } else if (changing < 0
          && flags.hasRedZones(cache)
          && mayChange(slab)
          && hasZonesOfBoth(slab, i, memory)) {
        changing = i;
        continue;
      }
      new ObjectCheck(slab, i, free.get(i), memory, extensions, report).run();
    }
    // If the counters do not agree with the lists, they tell of the objects that are lost.
    if (unlisted > 0 && slab.inuse() + walker.met() == slab.objects()) {
      allow.accept(unlisted(slab, unlisted));
    }
    // Of an object that is being changed neither the size nor what is behind it is settled.
    BitSet unsized = (BitSet) free.clone();
    if (changing >= 0) {
      unsized.set(changing);
      allow.accept(changing(slab, changing));
    }
    if (freeSetKnown && originalSizeAt(cache) >= 0) {
      originalSizes(slab, unsized, memory, report);
    }
    if (flags.hasPoison(cache)) {
      long tail = slab.base() + (long) slab.walkableObjects() * cache.size();
      new ObjectCheck(slab, -1, false, memory, extensions, report)
          .expect(SlabFault.Zone.SLAB_TAIL, tail, slab.base() + slab.byteCount(), POISON_INUSE);
    }
  }

  /// Bytes of a slab that hold the extensions of its objects (memory cgroup, allocation tag), one
  /// each: in the tail of the slab, or in each object behind its other metadata.
  ///
  /// @param first address of the extension of object 0
  /// @param stride from one to the next
  private record Extensions(long first, long stride, int size, int count) {
    static final Extensions NONE = new Extensions(0, 1, 0, 0);

    boolean hold(long address) {
      long distance = address - first;
      return distance >= 0 && distance < stride * count && distance % stride < size;
    }
  }

  /// Where a slab keeps its extensions if it keeps them itself (7.0 on: mm/slub.c,
  /// alloc_slab_obj_exts_early). Then `obj_exts`, whose lowest three bits are flags, points into
  /// the slab and `stride` leads from one to the next (Linux 7a8e71bc619d "mm/slab: use stride to
  /// access slabobj_ext").
  private Extensions extensions(Slab slab) {
    if (descriptor.isEmpty()
        || !(StructRef.read(kernel.memory(), descriptor.get(), slab.address())
            instanceof StructRef read)) {
      return Extensions.NONE;
    }
    long first = read.get("obj_exts") & ~7;
    if (first < slab.base() || first >= slab.base() + slab.byteCount()) {
      return Extensions.NONE;
    }
    if (extensionSize == 0) {
      // How much of each step is the extension is not known: no byte of them is held to a pattern.
      return new Extensions(first, slab.byteCount(), (int) slab.byteCount(), 1);
    }
    long stride = Math.clamp(read.get("stride"), extensionSize, slab.byteCount());
    return new Extensions(first, stride, extensionSize, slab.walkableObjects());
  }

  /// Whether the red zones of an object are those of a free one, one of them at most damaged: one
  /// whole, and in the other no byte of an allocated object's.
  ///
  /// Such an object may be on no list. After an error the kernel gives up what a slab's list held
  /// ("Marking all objects used", "Freelist cleared", "Freechain corrupt") and leaves the bytes. To
  /// 6.0 each allocation from a debug cache took the whole list off for a moment; and at all times
  /// an object is off the list before init_object makes its zones an allocated one's, and still off
  /// after it made them a free one's.
  private static boolean hasZonesOfFree(Slab slab, int index, SlabMemory memory) {
    SlabCache cache = slab.cache();
    long object = slab.object(index);
    int wholes = 0;
    for (long[] zone :
        new long[][] {
          {object - cache.redLeftPad(), object},
          {object + cache.objectSize(), object + cache.inuse()}
        }) {
      boolean whole = zone[0] < zone[1];
      for (long at = zone[0]; at < zone[1]; at++) {
        boolean isThere = memory.page(at) instanceof PageRead.Present;
        int value = isThere ? memory.u8(at) : -1;
        if (value == RED_ACTIVE) {
          return false;
        }
        whole &= value == RED_INACTIVE;
      }
      wholes += whole ? 1 : 0;
    }
    return wholes > 0;
  }

  /// Whether the kernel took a slab out of use: all its objects count as used ("Marking all objects
  /// used"), and one at least has the red zones of a free one. Such slabs stay for good, from 6.13
  /// on frozen (Linux `mm/slub.c`, alloc_debug_processing), and however many there are.
  boolean isOutOfUse(Slab slab, SlabMemory memory) {
    if (!flags.hasRedZones(slab.cache()) || slab.freelist() != 0) {
      return false;
    }
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (hasZonesOfFree(slab, i, memory)) {
        return true;
      }
    }
    return false;
  }

  /// Whether a CPU may be in the middle of `init_object` with an object of the slab: it holds
  /// list_lock (to 6.0 not for an allocation, but then it has frozen the slab and taken the whole
  /// freelist).
  private static boolean mayChange(Slab slab) {
    return (slab.frozen() && slab.freelist() == 0)
        || slab.cache().nodes().stream().anyMatch(SlabCache.Node::isLocked);
  }

  /// Whether the red zones of an object hold nothing but the bytes of both kinds: `init_object`
  /// writes the left one first and the right one last.
  private static boolean hasZonesOfBoth(Slab slab, int index, SlabMemory memory) {
    SlabCache cache = slab.cache();
    long object = slab.object(index);
    boolean isOfFree = false;
    boolean isOfUsed = false;
    for (long at = object - cache.redLeftPad(); at < object + cache.inuse(); at++) {
      if (at == object) {
        at += cache.objectSize();
        if (at >= object + cache.inuse()) {
          break;
        }
      }
      int value = memory.page(at) instanceof PageRead.Present ? memory.u8(at) : -1;
      if (value != RED_INACTIVE && value != RED_ACTIVE) {
        return false;
      }
      isOfFree |= value == RED_INACTIVE;
      isOfUsed |= value == RED_ACTIVE;
    }
    return isOfFree && isOfUsed;
  }

  private static TransientState changing(Slab slab, int object) {
    return new TransientState(
        slab.cache(),
        "the red zones of object %d of the slab at 0x%x are partly those of a free object"
            .formatted(object, slab.address()),
        slab.frozen()
            ? "a CPU has the slab's list in hand and changes them"
            : "list_lock is held: a CPU changes them");
  }

  private static TransientState unlisted(Slab slab, int count) {
    return new TransientState(
        slab.cache(),
        count == 1
            ? "an object of the slab at 0x%x is on no list and has the red zones of a free one"
                .formatted(slab.address())
            : "%d objects of the slab at 0x%x are on no list and have the red zones of free ones"
                .formatted(count, slab.address()),
        slab.freelist() == 0 && slab.inuse() == slab.objects()
            ? "the kernel isolated this slab after an error that its log tells of, or a CPU was"
                + " handing objects out"
            : "a CPU was handing objects out or taking them back, or the kernel cut the list after"
                + " an error that its log tells of");
  }

  /// The size that was asked for, kept behind the tracks from 6.1 on, is more than 0 and not more
  /// than an object of the cache. No structure tells whether a kernel keeps it: the allocated
  /// objects of the slab do, when nearly all hold such a number there.
  private void originalSizes(
      Slab slab, BitSet unsized, SlabMemory memory, Consumer<SlabFault> report) {
    SlabCache cache = slab.cache();
    int at = originalSizeAt(cache);
    int right = 0;
    List<Integer> wrong = new ArrayList<>();
    int filled = 0;
    List<SlabFault> unfilled = new ArrayList<>();
    for (int i = 0; i < slab.walkableObjects(); i++) {
      long address = slab.object(i) + at;
      if (unsized.get(i) || !isThere(memory, address, 4)) {
        continue;
      }
      if (!isSizeOf(cache, word32(memory, address))) {
        wrong.add(i);
        continue;
      }
      right++;
      int asked = (int) word32(memory, address);
      if (hasUnusedZone(cache) && asked < cache.objectSize()) {
        int before = unfilled.size();
        new ObjectCheck(slab, i, false, memory, Extensions.NONE, unfilled::add)
            .expect(
                SlabFault.Zone.RIGHT_RED_ZONE,
                slab.object(i) + asked,
                slab.object(i) + cache.objectSize(),
                RED_ACTIVE);
        filled += unfilled.size() == before ? 1 : 0;
      }
    }
    if (right < MIN_RIGHT_SIZES || wrong.size() * MIN_RIGHT_SIZES > right) {
      return;
    }
    if (filled >= MIN_RIGHT_SIZES && unfilled.size() * MIN_RIGHT_SIZES <= filled) {
      unfilled.forEach(report);
    }
    for (int i : wrong) {
      long address = slab.object(i) + at;
      report.accept(
          new SlabFault.Pattern(
              slab,
              i,
              false,
              SlabFault.Zone.TRACKING,
              address,
              address + 4,
              4,
              -1,
              "%d bytes are said to have been asked for, objects have %d"
                  .formatted(word32(memory, address), cache.objectSize())));
    }
  }

  /// Whether the bytes of an allocated object that were not asked for may be a red zone too (Linux
  /// 946fa0dbf2d8 "mm/slub: extend redzone check to extra allocated kmalloc space than requested",
  /// 6.2). No structure tells; the objects do.
  private boolean hasUnusedZone(SlabCache cache) {
    return flags.hasRedZones(cache)
        && !flags.hasKasan(cache)
        && cache.offset() >= cache.objectSize();
  }

  /// Offset of the requested size in the objects of a cache whose kernel may keep it; -1 if none
  /// does.
  private int originalSizeAt(SlabCache cache) {
    if (!flags.hasTracking(cache) || !flags.isKmalloc(cache) || trackSize == 0) {
      return -1;
    }
    int at = ObjectTrack.at(cache) + 2 * trackSize;
    return at + 4 <= cache.size() - cache.redLeftPad() ? at : -1;
  }

  private static boolean isSizeOf(SlabCache cache, long bytes) {
    return bytes > 0 && bytes <= cache.objectSize();
  }

  private static boolean isThere(SlabMemory memory, long address, int count) {
    return memory.page(address) instanceof PageRead.Present
        && memory.page(address + count - 1) instanceof PageRead.Present;
  }

  private static long word32(SlabMemory memory, long at) {
    return memory.u8(at)
        | (long) memory.u8(at + 1) << 8
        | (long) memory.u8(at + 2) << 16
        | (long) memory.u8(at + 3) << 24;
  }

  /// The zones of one object.
  private final class ObjectCheck {
    private final Slab slab;
    private final SlabCache cache;
    private final int index;
    private final boolean free;
    private final SlabMemory memory;
    private final Extensions extensions;
    private final Consumer<SlabFault> report;
    private final long object;

    ObjectCheck(
        Slab slab,
        int index,
        boolean free,
        SlabMemory memory,
        Extensions extensions,
        Consumer<SlabFault> report) {
      this.slab = slab;
      this.cache = slab.cache();
      this.index = index;
      this.free = free;
      this.memory = memory;
      this.extensions = extensions;
      this.report = report;
      this.object = index < 0 ? slab.base() : slab.object(index);
    }

    void run() {
      if (flags.hasRedZones(cache)) {
        int pattern = free ? RED_INACTIVE : RED_ACTIVE;
        expect(SlabFault.Zone.LEFT_RED_ZONE, object - cache.redLeftPad(), object, pattern);
        expect(
            SlabFault.Zone.RIGHT_RED_ZONE,
            object + cache.objectSize(),
            object + cache.inuse(),
            pattern);
      } else if (flags.hasPoison(cache) && cache.objectSize() < cache.inuse()) {
        expect(
            SlabFault.Zone.PADDING,
            object + cache.objectSize(),
            object + cache.inuse(),
            POISON_INUSE);
      }
      if (free && flags.hasObjectPoison(cache) && !flags.hasKasan(cache)) {
        long last = object + cache.objectSize() - 1;
        expect(SlabFault.Zone.POISON, object, last, POISON_FREE);
        expect(SlabFault.Zone.POISON, last, last + 1, POISON_END);
      }
      int at = ObjectTrack.at(cache);
      boolean isPaddingKnown = flags.hasPoison(cache) && !flags.hasKasan(cache) && trackSize > 0;
      if (flags.hasTracking(cache) && trackSize > 0) {
        tracks(object + at);
        at += 2 * trackSize;
        // The requested size of kmalloc objects: 4 bytes from 6.1, 8 from 7.0; then alignment.
        isPaddingKnown &= !flags.isKmalloc(cache);
      }
      if (isPaddingKnown) {
        expect(
            SlabFault.Zone.PADDING,
            object + at,
            object + cache.size() - cache.redLeftPad(),
            POISON_INUSE);
      }
      if (free && flags.isClearedOnFree(cache)) {
        zeros();
      }
    }

    /// Reports the first run of bytes that are not what they must be.
    void expect(SlabFault.Zone zone, long from, long to, int pattern) {
      boolean isPadding = zone == SlabFault.Zone.PADDING || zone == SlabFault.Zone.SLAB_TAIL;
      long first = -1;
      long end = -1;
      int wrong = 0;
      for (long at = from; at < to; at++) {
        if (!(memory.page(at) instanceof PageRead.Present)) {
          return;
        }
        if (memory.u8(at) != pattern && !(isPadding && extensions.hold(at))) {
          first = first == -1 ? at : first;
          end = at + 1;
          wrong++;
        }
      }
      if (end != -1) {
        fault(zone, first, end, wrong, pattern, "bytes of 0x%02x belong there".formatted(pattern));
      }
    }

    private void zeros() {
      long slot = slab.slot(index);
      long first = -1;
      long end = -1;
      int wrong = 0;
      for (long at = object; at < object + clearedSize(); at++) {
        if (at == slot) {
          at += 7;
          continue;
        }
        if (!(memory.page(at) instanceof PageRead.Present)) {
          return;
        }
        if (memory.u8(at) != 0) {
          first = first == -1 ? at : first;
          end = at + 1;
          wrong++;
        }
      }
      if (end != -1) {
        fault(
            SlabFault.Zone.ZEROED,
            first,
            end,
            wrong,
            0,
            "init_on_free clears an object when it is freed");
      }
    }

    /// How much of an object `init_on_free` clears. Where the requested size is kept, kernels may
    /// clear that many bytes and no more and put the size back (mm/slub.c, slab_free_hook); others
    /// clear all, the size with it. What is no size tells nothing.
    private int clearedSize() {
      int at = originalSizeAt(cache);
      if (at < 0) {
        return cache.objectSize();
      }
      if (!isThere(memory, object + at, 4)) {
        return 0;
      }
      long size = word32(memory, object + at);
      return size == 0 ? cache.objectSize() : isSizeOf(cache, size) ? (int) size : 0;
    }

    /// Each track names an address in kernel or module text and a CPU that exists.
    private void tracks(long at) {
      for (String kind : List.of("allocation", "free")) {
        if (!isThere(memory, at, trackSize)) {
          return;
        }
        long addr = memory.word(at + trackAddrAt);
        int cpu = (int) word32(memory, at + trackCpuAt);
        boolean isText = kernel.memory().map().mayBeCode(addr);
        if (addr != 0 && !isText) {
          fault(
              SlabFault.Zone.TRACKING,
              at + trackAddrAt,
              at + trackAddrAt + 8,
              8,
              -1,
              "the %s track names 0x%x, which is no code address".formatted(kind, addr));
          return;
        }
        if (addr != 0 && (cpu < 0 || (cpuCount.isPresent() && cpu >= cpuCount.getAsLong()))) {
          fault(
              SlabFault.Zone.TRACKING,
              at + trackCpuAt,
              at + trackCpuAt + 4,
              4,
              -1,
              "the %s track names cpu %d%s (%s)"
                  .formatted(
                      kind,
                      cpu,
                      cpuCount.isPresent() ? " of " + cpuCount.getAsLong() : "",
                      kernel.describe(addr)));
          return;
        }
        at += trackSize;
      }
    }

    private void fault(
        SlabFault.Zone zone, long first, long end, int wrong, int expected, String why) {
      report.accept(
          new SlabFault.Pattern(slab, index, free, zone, first, end, wrong, expected, why));
    }
  }
}
