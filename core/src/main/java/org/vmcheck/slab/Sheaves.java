package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// The objects that per-CPU sheaves and the nodes' barns hold (6.18 on): free for their users,
/// while their slabs count them as handed out.
///
/// Sheaves that wait for a grace period, and those that were filled in advance for one caller, can
/// be reached from nowhere; their objects count as held. Safe for use by several threads at once.
///
/// What a stopped CPU leaves behind for an instant is no fault (Linux `mm/slub.c`): with the barn's
/// lock held a sheaf half on a list or not counted (`barn_put_full_sheaf`); with the CPU's own lock
/// held the sheaf that just got full (`__kfree_rcu_sheaf`), one in two places
/// (`barn_replace_full_sheaf`), and the last entry of `main`; of a CPU that died the one sheaf that
/// is emptied in place (`__pcs_flush_all_cpu`), whose size falls only when all of it is free.
final class Sheaves {
  /// Sheaves of a barn: by policy ten of each kind, a few more in races.
  private static final int MAX_BARN = 1 << 12;

  /// Objects in all sheaves together: eighteen bytes each while they are put in order.
  private static final int MAX_OBJECTS = 1 << 22;

  private static final int MAX_FAULTS = 20_000;

  private final VirtualMemory memory;
  private final SheafOwners owners;
  private final SheafLayout layout;
  private final int barnLinkAt;
  private final List<SlabFault> faults = new ArrayList<>();
  private final List<Sheaf> sheaves = new ArrayList<>();
  private final Map<Long, Long> freeObjects = new HashMap<>();

  /// By the sheaf's place in `sheaves`.
  private final HeldObjects held = new HeldObjects();

  private boolean isCut;

  /// @param isFree false for objects that wait for a grace period
  /// @param cpu that keeps it; null for one of a barn
  private record Sheaf(
      SlabCache cache, String place, long address, int size, boolean isFree, Cpu cpu) {}

  /// The CPU whose sheaves of a cache are read.
  ///
  /// @param isLocked whether it was stopped while it changed them
  /// @param isDead whether another CPU empties them
  private record Cpu(long cache, int id, boolean isLocked, boolean isDead) {}

  private final List<TransientState> transients = new ArrayList<>();

  /// The sheaves of CPUs that were stopped while they changed them, by address.
  private final Map<Long, Cpu> lockedSheaves = new HashMap<>();

  /// Where each sheaf with objects is, by address.
  private final Map<Long, String> places = new HashMap<>();

  /// What is wrong with entries for which an instant may be the reason, by the sheaf's place in
  /// `sheaves`.
  private final Map<Integer, List<SlabFault.Entry>> suspects = new ConcurrentHashMap<>();

  private Sheaves(Kernel kernel, SheafLayout layout) {
    this.memory = kernel.memory();
    this.owners = new SheafOwners(kernel, layout);
    this.layout = layout;
    this.barnLinkAt = layout.sheaf().member("barn_list").map(Member::offset).orElse(0);
  }

  /// Reads every sheaf that can be reached.
  ///
  /// @param isOver true ends it early
  static Sheaves gather(
      Kernel kernel, SheafLayout layout, List<SlabCache> caches, BooleanSupplier isOver) {
    Sheaves all = new Sheaves(kernel, layout);
    int pointerAt =
        SlabCaches.of(kernel)
            .layout()
            .flatMap(slub -> slub.cache().member("cpu_sheaves"))
            .map(Member::offset)
            .orElse(0);
    for (SlabCache cache : caches) {
      if (isOver.getAsBoolean()) {
        break;
      }
      if (!cache.isSane() || cache.cpuSheaves() == 0) {
        continue;
      }
      PerCpu perCpu = kernel.perCpu();
      CpuCopies copies =
          CpuCopies.of(
              kernel,
              cache,
              cache.address() + pointerAt,
              "cpu_sheaves",
              cache.cpuSheaves(),
              layout.perCpu());
      copies.faults().forEach(all::found);
      copies
          .byIndex()
          .forEach(
              (index, copy) -> {
                int cpu = perCpu.cpus().get(index);
                all.cpu(cache, cpu, perCpu.isOffline(cpu), copy);
              });
      for (SlabCache.Node node : cache.nodes()) {
        if (node.barn() != 0) {
          all.barn(cache, node);
        }
      }
    }
    all.held.sort();
    return all;
  }

  List<SlabFault> faults() {
    return faults;
  }

  /// Objects of a cache that lie in sheaves and are free.
  long freeObjects(SlabCache cache) {
    return freeObjects.getOrDefault(cache.address(), 0L);
  }

  /// Indices of the objects of a slab that lie in sheaves and are free; not those of sheaves that
  /// are being changed, where an entry may tell of an object that was handed out just before.
  BitSet freeObjects(Slab slab) {
    BitSet free = new BitSet();
    for (int i = held.from(slab.base());
        i < held.count() && held.object(i) < slab.base() + slab.byteCount();
        i++) {
      Sheaf sheaf = sheaves.get(held.holder(i));
      int index = slab.index(held.object(i));
      boolean isInUse = sheaf.cpu != null && (sheaf.cpu.isLocked || sheaf.cpu.isDead);
      if (index >= 0
          && sheaf.isFree
          && !isInUse
          && sheaf.cache.address() == slab.cache().address()) {
        free.set(index);
      }
    }
    return free;
  }

  // ---- gathering

  private void found(SlabFault fault) {
    if (faults.size() <= MAX_FAULTS) {
      faults.add(fault); // One more than are kept, so that the pass can say that there are more.
    }
  }

  private void cpu(SlabCache cache, int cpu, boolean isDead, StructRef sheaves) {
    // A local_trylock_t; with PREEMPT_RT it is another lock, which tells less.
    boolean isLocked = sheaves.has("lock.acquired") && sheaves.get("lock.acquired") != 0;
    Cpu keeper = new Cpu(cache.address(), cpu, isLocked, isDead);
    long main = sheaves.get("main");
    if (main == 0) {
      found(
          new SlabFault.Insane(
              cache,
              "slub_percpu_sheaves.main",
              sheaves.addressOf("main"),
              "cpu " + cpu + " has no main sheaf"));
    } else {
      sheaf(cache, "main sheaf of cpu " + cpu, main, sheaves.addressOf("main"), Kind.MAIN, keeper);
    }
    for (Kind kind : List.of(Kind.SPARE, Kind.RCU_FREE)) {
      String member = kind == Kind.SPARE ? "spare" : "rcu_free";
      long sheaf = sheaves.has(member) ? sheaves.get(member) : 0;
      if (sheaf != 0) {
        sheaf(
            cache, member + " sheaf of cpu " + cpu, sheaf, sheaves.addressOf(member), kind, keeper);
      }
    }
  }

  /// Which of its places a sheaf is in.
  private enum Kind {
    MAIN,
    SPARE,
    RCU_FREE,
    BARN_FULL,
    BARN_EMPTY
  }

  private void barn(SlabCache cache, SlabCache.Node node) {
    StructRead read = StructRef.read(memory, layout.barn(), node.barn());
    if (!(read instanceof StructRef barn)) {
      found(
          new SlabFault.Unread(
              cache,
              "node_barn of node " + node.id(),
              0,
              node.barn(),
              ((StructRead.Unread) read).why()));
      return;
    }
    barnList(cache, node, barn, "sheaves_full", "nr_full", Kind.BARN_FULL);
    barnList(cache, node, barn, "sheaves_empty", "nr_empty", Kind.BARN_EMPTY);
  }

  private void barnList(
      SlabCache cache,
      SlabCache.Node node,
      StructRef barn,
      String list,
      String counter,
      Kind kind) {
    if (!barn.has(list)) {
      return;
    }
    String name = "%s of the barn of node %d".formatted(list, node.id());
    ListWalk walk = ListWalk.walk(memory, barn.addressOf(list), MAX_BARN);
    boolean isLocked =
        layout.barn().member("lock").map(m -> barn.bytes().u32(m.offset())).orElse(0L) != 0;
    int met = walk.nodes().size();
    if (isLocked && isHalfLinked(cache, walk, barn.addressOf(list))) {
      allow(cache, "one sheaf is linked half into " + name, "the barn's lock is held");
    } else if (!walk.isClosed()) {
      found(
          new SlabFault.Links(
              cache,
              name,
              walk.bad().map(ListWalk.BadLink::address).orElse(barn.addressOf(list)),
              walk));
    } else if (isLocked
        && barn.has(counter)
        && barn.get(counter) != met
        && (met == 0 || Math.abs(barn.get(counter) - met) == 1)) {
      // All are taken off at once to shrink a cache.
      allow(
          cache,
          "%s is %d and %d sheaves are on %s".formatted(counter, barn.get(counter), met, name),
          "the barn's lock is held");
    } else if (barn.has(counter) && barn.get(counter) != met) {
      found(
          new SlabFault.Count(
              cache,
              null,
              "node_barn." + counter,
              barn.addressOf(counter),
              met,
              barn.get(counter),
              "sheaves on " + name));
    }
    List<Long> links = walk.nodes();
    for (int i = 0; i < links.size(); i++) {
      sheaf(
          cache,
          "sheaf on " + name,
          links.get(i) - barnLinkAt,
          wordTo(links, i, barn.addressOf(list)),
          kind,
          null);
    }
  }

  /// Address of the word that leads to a node of a list: `next` of the one before, or, where that
  /// is broken, `prev` of the one behind.
  private long wordTo(List<Long> links, int index, long head) {
    long before = index == 0 ? head : links.get(index - 1);
    long behind = index == links.size() - 1 ? head : links.get(index + 1);
    return memory.read(before, 8) instanceof MemoryRead.Bytes(ByteView next)
            && next.u64(0) == links.get(index)
        ? before
        : behind + 8;
  }

  /// Whether only a `prev` is wrong and names the head or another sheaf of the cache, as between
  /// the stores of list_add and list_del.
  private boolean isHalfLinked(SlabCache cache, ListWalk walk, long head) {
    if (!walk.isRecovered() || !walk.bad().orElseThrow().member().equals("prev")) {
      return false;
    }
    long link = walk.bad().get().value();
    return link == head
        || (StructRef.read(memory, layout.sheaf(), link - barnLinkAt, layout.objectsAt())
                instanceof StructRef sheaf
            && sheaf.get("cache") == cache.address());
  }

  private void allow(SlabCache cache, String what, String why) {
    transients.add(new TransientState(cache, what, why));
  }

  private void sheaf(
      SlabCache cache, String place, long address, long from, Kind kind, Cpu keeper) {
    StructRead read = StructRef.read(memory, layout.sheaf(), address, layout.objectsAt());
    if (!(read instanceof StructRef sheaf)) {
      unread(cache, place, address, from, ((StructRead.Unread) read).why());
      return;
    }
    long size = sheaf.get("size");
    long owner = sheaf.get("cache");
    // Caches without sheaves share one static, empty one that belongs to none; every other names
    // its
    // cache from its allocation on.
    boolean isShared =
        owner == 0 && size == 0 && (cache.sheafCapacity() == 0 || memory.map().isImage(address));
    if (owner != cache.address() && !isShared) {
      foreign(cache, place, sheaf, from);
      return;
    }
    Cpu elsewhere = owner == 0 ? null : lockedSheaves.get(address);
    if (elsewhere != null && (keeper == null || keeper.equals(elsewhere))) {
      allow(cache, "the " + place + " is in another place too", "its CPU's lock is held");
      return;
    }
    // What waits for a grace period is handed on when the sheaf is full.
    long most =
        Math.min(cache.sheafCapacity(), SheafOwners.MAX_CAPACITY)
            - (kind == Kind.RCU_FREE ? 1L : 0L);
    if (kind == Kind.RCU_FREE && keeper.isLocked && size > 0 && size == most + 1) {
      allow(cache, "the " + place + " is full and not handed on", "its CPU's lock is held");
    } else if (size > Math.max(0, most)) {
      found(tooLarge(cache, place, sheaf, most));
      return;
    }
    if (kind == Kind.BARN_EMPTY && size != 0) {
      count(cache, sheaf, place, 0, size, "the list is that of empty sheaves");
    } else if (kind == Kind.BARN_FULL && size == 0) {
      count(cache, sheaf, place, cache.sheafCapacity(), size, "the list is that of full sheaves");
    }
    if (keeper != null && keeper.isLocked && owner != 0) {
      lockedSheaves.put(address, keeper);
    }
    String other = size > 0 ? places.putIfAbsent(address, place) : null;
    if (other != null) {
      // Read once, however many name it: each of its objects would seem to be free twice.
      found(
          new SlabFault.Stray(
              cache, place, from, address, -1, "the sheaf there is also the " + other));
      return;
    }
    if (size > 0) {
      objects(new Sheaf(cache, place, address, (int) size, kind != Kind.RCU_FREE, keeper));
    }
  }

  private static SlabFault.Sheaf tooLarge(
      SlabCache cache, String place, StructRef sheaf, long most) {
    return new SlabFault.Sheaf(
        cache,
        place,
        "slab_sheaf.size",
        sheaf.addressOf("size"),
        sheaf.get("size"),
        -1,
        "it can hold %s"
            .formatted(most > 0 ? "%d objects at the most".formatted(most) : "no object"));
  }

  /// A pointer to a sheaf that cannot be followed is wrong; a page that is missing is no damage.
  private void unread(SlabCache cache, String place, long address, long from, MemoryRead why) {
    found(
        why instanceof MemoryRead.Missing
            ? new SlabFault.Unread(cache, place, 0, address, why)
            : pointer(cache, place, from, address, "no sheaf is there: " + why.words()));
  }

  private static SlabFault.Sheaf pointer(
      SlabCache cache, String place, long from, long address, String why) {
    return new SlabFault.Sheaf(cache, place, "the pointer to it", from, address, -1, why);
  }

  /// A sheaf that does not name the cache: it was zeroed, its word is wrong, or the pointer is.
  private void foreign(SlabCache cache, String place, StructRef sheaf, long from) {
    long size = sheaf.get("size");
    long owner = sheaf.get("cache");
    boolean isZero = owner == 0 && size == 0 && owners.mayBeSheaf(cache, sheaf.vaddr());
    if (!isZero && !owners.isOfCache(cache, sheaf.vaddr(), size)) {
      found(
          pointer(
              cache,
              place,
              from,
              sheaf.vaddr(),
              "what is there names cache 0x%x".formatted(owner)));
      return;
    }
    found(
        new SlabFault.Sheaf(
            cache,
            place,
            "slab_sheaf.cache",
            sheaf.addressOf("cache"),
            owner,
            cache.address(),
            isZero
                ? "size is 0 too, and every sheaf but the static one names its cache from its"
                    + " allocation on: it was zeroed"
                : "its objects are those of this cache"));
  }

  private void count(
      SlabCache cache, StructRef sheaf, String place, long expected, long actual, String why) {
    found(
        new SlabFault.Count(
            cache,
            null,
            "slab_sheaf.size in the " + place,
            sheaf.addressOf("size"),
            expected,
            actual,
            why));
  }

  private void objects(Sheaf sheaf) {
    MemoryRead read = memory.read(sheaf.address + layout.objectsAt(), 8 * sheaf.size);
    if (!(read instanceof MemoryRead.Bytes(ByteView words))) {
      found(new SlabFault.Unread(sheaf.cache, sheaf.place, 0, sheaf.address, read));
      return;
    }
    if (held.count() + sheaf.size > MAX_OBJECTS) {
      if (!isCut) {
        isCut = true;
        transients.add(
            new TransientState(
                sheaf.cache,
                "sheaves hold more than %,d objects".formatted(held.count()),
                "those from the %s on were not looked at".formatted(sheaf.place),
                false));
      }
      return;
    }
    for (int i = 0; i < sheaf.size; i++) {
      held.add(words.u64(8L * i), sheaves.size());
    }
    sheaves.add(sheaf);
    if (sheaf.isFree) {
      freeObjects.merge(sheaf.cache.address(), (long) sheaf.size, Long::sum);
    }
  }

  // ---- checking

  /// Marks of the entries that some slab accounted for.
  BitSet newMarks() {
    return new BitSet(held.count());
  }

  /// Looks at the entries that point into a slab whose freelists were just walked.
  void check(Slab slab, Freelist.Walker walked, BitSet marks, Consumer<SlabFault> report) {
    int end = held.count();
    for (int i = held.from(slab.base());
        i < end && held.object(i) < slab.base() + slab.byteCount();
        i++) {
      marks.set(i);
      Sheaf sheaf = sheaves.get(held.holder(i));
      int index = slab.index(held.object(i));
      if (index < 0) {
        report.accept(fault(i, slab, index, false, "no object starts there"));
      } else if (sheaf.cache.address() != slab.cache().address()) {
        report.accept(
            fault(i, slab, index, false, "the object is one of cache " + slab.cache().name()));
      } else if (held.isSameAsBefore(i)) {
        String why = "the object is also in the " + sheaves.get(held.holder(i - 1)).place;
        // Which of two sheaves comes first is chance.
        int entry = mayBeStale(i - 1) ? i - 1 : i;
        if (entry != i) {
          why = "the object is also in the " + sheaf.place;
        }
        judge(entry, fault(entry, slab, index, true, why), report);
      } else if (walked.isMet(index)) {
        judge(
            i, fault(i, slab, index, true, "the object is also on a freelist of its slab"), report);
      }
    }
  }

  /// Puts a fault aside if an instant may be the reason.
  private void judge(int entry, SlabFault.Entry fault, Consumer<SlabFault> report) {
    Sheaf sheaf = sheaves.get(held.holder(entry));
    if (mayBeStale(entry) || (sheaf.cpu != null && sheaf.cpu.isDead)) {
      suspects
          .computeIfAbsent(held.holder(entry), _ -> Collections.synchronizedList(new ArrayList<>()))
          .add(fault);
    } else {
      report.accept(fault);
    }
  }

  /// Whether it is the last entry of the sheaf that a CPU was stopped at: its size is raised before
  /// the object is stored.
  private boolean mayBeStale(int entry) {
    Sheaf sheaf = sheaves.get(held.holder(entry));
    return sheaf.cpu != null
        && sheaf.cpu.isLocked
        && wordOf(entry) == sheaf.address + layout.objectsAt() + 8L * (sheaf.size - 1);
  }

  /// Says what the faults put aside are, when all slabs were seen. One dead CPU is cleared at a
  /// time, sheaf by sheaf: faults in two of these are damage.
  void settle(Consumer<SlabFault> report, Consumer<TransientState> allowed) {
    transients.forEach(allowed);
    long dead = suspects.keySet().stream().filter(holder -> sheaves.get(holder).cpu.isDead).count();
    suspects.forEach(
        (holder, found) -> {
          Sheaf sheaf = sheaves.get(holder);
          if (sheaf.cpu.isDead && dead > 1) {
            found.forEach(report);
            return;
          }
          allowed.accept(
              new TransientState(
                  sheaf.cache,
                  "%d objects of the %s are free already".formatted(found.size(), sheaf.place),
                  sheaf.cpu.isDead
                      ? "its CPU is offline and the sheaf is emptied"
                      : "its CPU's lock is held"));
        });
  }

  /// The objects of a slab that sheaves of its cache hold, by sheaf.
  List<SlabView.FreeObjects> in(Slab slab) {
    Map<Integer, SlabView.Held> bySheaf = new TreeMap<>();
    for (int i = held.from(slab.base());
        i < held.count() && held.object(i) < slab.base() + slab.byteCount();
        i++) {
      int index = slab.index(held.object(i));
      if (index >= 0 && sheaves.get(held.holder(i)).cache.address() == slab.cache().address()) {
        bySheaf.computeIfAbsent(held.holder(i), _ -> new SlabView.Held()).add(index, wordOf(i));
      }
    }
    List<SlabView.FreeObjects> lists = new ArrayList<>();
    bySheaf.forEach(
        (holder, in) -> {
          Sheaf sheaf = sheaves.get(holder);
          lists.add(in.in(sheaf.isFree ? SlabView.Kind.ARRAY : SlabView.Kind.WAITING, sheaf.place));
        });
    return lists;
  }

  /// Entries that point into no slab at all.
  void strays(MemMap memMap, BitSet marks, Consumer<SlabFault> report) {
    for (int i = marks.nextClearBit(0); i < held.count(); i = marks.nextClearBit(i + 1)) {
      // Of a slab that could not be walked something else was said.
      if (memMap.isSlab(held.object(i))) {
        continue;
      }
      judge(i, fault(i, null, -1, false, "no slab of a known cache is there"), report);
    }
  }

  private SlabFault.Entry fault(int entry, Slab slab, int index, boolean isTwiceFree, String why) {
    Sheaf sheaf = sheaves.get(held.holder(entry));
    return new SlabFault.Entry(
        sheaf.cache, slab, index, sheaf.place, wordOf(entry), held.object(entry), isTwiceFree, why);
  }

  /// Address of the word of its sheaf that holds an entry: the last, if it is there twice.
  private long wordOf(int entry) {
    Sheaf sheaf = sheaves.get(held.holder(entry));
    long address = sheaf.address + layout.objectsAt();
    if (memory.read(address, 8 * sheaf.size) instanceof MemoryRead.Bytes(ByteView words)) {
      for (int i = sheaf.size - 1; i >= 0; i--) {
        if (words.u64(8L * i) == held.object(entry)) {
          return address + 8L * i;
        }
      }
    }
    return address;
  }
}
