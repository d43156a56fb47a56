package org.vmcheck.desk;

import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.Place.Kind;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.object.StructNames;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabView;
import org.vmcheck.slab.SlabViews;
import org.vmcheck.task.CallStacks;
import org.vmcheck.task.StackSpan;

/// What lies at the addresses of one kernel. What takes a walk (tasks, areas) is read when it is
/// first needed. Not safe for use by several threads at once.
public final class Places {
  private final Kernel kernel;
  private final VirtualMemory memory;
  private final AddressMap map;
  private final Optional<MemMap> memMap;
  private final StructNames structs;
  private final PerCpuPlaces perCpu;
  private Optional<SlabViews> views;
  private VmallocAreas areas;
  private CallStacks callStacks;
  private NavigableMap<Long, StackSpan> stacks;
  private long[] text;

  public Places(Kernel kernel) {
    this.kernel = kernel;
    this.memory = kernel.memory();
    this.map = memory.map();
    this.memMap = MemMap.of(kernel);
    this.structs = new StructNames(kernel);
    this.perCpu = new PerCpuPlaces(kernel);
  }

  Kernel kernel() {
    return kernel;
  }

  /// What lies at an address.
  public Place at(long address) {
    if (address >= 0) {
      return nothing(address);
    }
    if (map.isImage(address)) {
      return perCpu.at(address).orElseGet(() -> inImage(address));
    }
    Optional<Place> stack = onStack(address);
    if (stack.isPresent()) {
      return stack.get();
    }
    if (map.isDirectMap(address)) {
      return perCpu.at(address).orElseGet(() -> inDirectMap(address));
    }
    Optional<Place> descriptor = descriptor(address);
    if (descriptor.isPresent()) {
      return descriptor.get();
    }
    Optional<Modules.Module> module =
        map.mayBeCode(address) ? kernel.modules().at(address) : Optional.empty();
    if (module.isPresent()) {
      return inModule(address, module.get());
    }
    return perCpu.at(address).or(() -> inArea(address)).orElseGet(() -> mapped(address));
  }

  private static Place nothing(long address) {
    return new Place(address, Kind.NOT_MAPPED, "", address, 0, -1, "", "");
  }

  private Place mapped(long address) {
    return memory.translate(address) instanceof Translated.At(long paddr)
        ? new Place(
            address,
            Kind.MAPPED,
            "",
            memory.pageStart(address),
            memory.pageSize(),
            memory.pfn(paddr),
            "",
            "")
        : nothing(address);
  }

  // ---- image and modules

  private Place inImage(long address) {
    Optional<Symbol> symbol = kernel.symbols().flatMap(s -> s.atOrBefore(address));
    if (symbol.isEmpty()) {
      return new Place(address, Kind.DATA, "", map.imageStart(), 0, -1, "", "");
    }
    long start = symbol.get().address();
    long next = kernel.symbols().get().nextAbove(start).orElse(start);
    return new Place(
        address,
        isText(address) ? Kind.TEXT : Kind.DATA,
        symbol.get().name(),
        start,
        Math.max(0, next - start),
        -1,
        "",
        "");
  }

  /// Whether an address of the image is code.
  boolean isText(long address) {
    if (text == null) {
      OptionalLong from = kernel.symbol("_stext");
      OptionalLong to = kernel.symbol("_etext");
      OptionalLong initFrom = kernel.symbol("_sinittext");
      OptionalLong initTo = kernel.symbol("_einittext");
      text =
          new long[] {
            from.orElse(0), to.orElse(0), initFrom.orElse(0), initTo.orElse(0),
          };
    }
    return (address >= text[0] && address < text[1]) || (address >= text[2] && address < text[3]);
  }

  private Place inModule(long address, Modules.Module module) {
    Modules.Range range =
        module.ranges().stream()
            .filter(r -> Long.compareUnsigned(address - r.start(), r.byteCount()) < 0)
            .findFirst()
            .orElseThrow();
    String described = kernel.modules().describe(address).orElse("");
    return new Place(
        address, Kind.MODULE, module.name(), range.start(), range.byteCount(), -1, described, "");
  }

  // ---- stacks

  private NavigableMap<Long, StackSpan> stacks() {
    if (stacks == null) {
      stacks = new TreeMap<>();
      for (StackSpan span : callStacks().spans()) {
        stacks.putIfAbsent(span.low(), span);
      }
    }
    return stacks;
  }

  CallStacks callStacks() {
    if (callStacks == null) {
      callStacks = CallStacks.of(kernel);
    }
    return callStacks;
  }

  private Optional<Place> onStack(long address) {
    Map.Entry<Long, StackSpan> entry = stacks().floorEntry(address);
    if (entry == null || !entry.getValue().contains(address)) {
      return Optional.empty();
    }
    StackSpan span = entry.getValue();
    if (map.isImage(span.low())) {
      return Optional.empty(); // init_task's, which has a symbol.
    }
    return Optional.of(
        new Place(
            address,
            span.task().isPresent() ? Kind.TASK_STACK : Kind.CPU_STACK,
            span.task().map(Task::comm).orElse(span.tag()),
            span.low(),
            span.high() - span.low(),
            span.task().map(task -> (long) task.pid()).orElse((long) span.cpu()),
            "",
            ""));
  }

  /// The same place with the function whose frame has it, of a place on a task's stack.
  Place withFrame(Place place) {
    if (place.kind() != Kind.TASK_STACK) {
      return place;
    }
    StackSpan span = stacks().floorEntry(place.address()).getValue();
    List<Backtrace.Frame> frames = callStacks().unwind(span.task().orElseThrow()).frames();
    String owner = "not in use any more: below the stack pointer";
    boolean isUsed = frames.stream().noneMatch(frame -> span.contains(frame.slot()));
    for (Backtrace.Frame frame : frames) {
      if (span.contains(frame.slot()) && frame.slot() <= place.address()) {
        owner = "frame of " + frame.text();
        isUsed = true;
      }
    }
    return new Place(
        place.address(),
        place.kind(),
        place.name(),
        place.start(),
        place.size(),
        place.number(),
        isUsed && frames.isEmpty() ? "" : owner,
        isUsed ? "in use" : "stale");
  }

  // ---- the direct map

  private Place inDirectMap(long address) {
    long pfn = memory.directMapPfn(address);
    PageState state =
        memMap.map(m -> m.state(pfn)).orElse(new PageState(PageState.Kind.UNKNOWN, pfn, 0));
    if (state.kind() == PageState.Kind.SLAB) {
      Optional<SlabView> view = views().flatMap(v -> v.at(state.headPfn()));
      if (view.isPresent()) {
        return inSlab(address, view.get());
      }
    }
    long offset = memory.paddr(pfn) - map.imagePhysical(map.imageStart());
    boolean isAlias = offset >= 0 && offset < map.imageEnd() - map.imageStart();
    String words =
        isAlias
            ? "the image, %s, seen through the direct map"
                .formatted(
                    kernel.describe(
                        map.imageStart() + offset + (address & (memory.pageSize() - 1))))
            : state.kind().words();
    return new Place(
        address, Kind.PAGE, "", memory.pageStart(address), memory.pageSize(), pfn, "", words);
  }

  private Optional<SlabViews> views() {
    if (views == null) {
      views = SlabViews.of(kernel);
    }
    return views;
  }

  /// How free pointers are stored; empty where there are none.
  Optional<FreelistDecoder> decoder() {
    return views().flatMap(SlabViews::decoder);
  }

  /// The slab that has an address of the direct map.
  Optional<SlabView> slab(long address) {
    if (!map.isDirectMap(address) || memMap.isEmpty()) {
      return Optional.empty();
    }
    PageState state = memMap.get().state(memory.directMapPfn(address));
    return state.kind() == PageState.Kind.SLAB
        ? views().flatMap(v -> v.at(state.headPfn()))
        : Optional.empty();
  }

  private Place inSlab(long address, SlabView view) {
    Slab slab = view.slab();
    SlabCache cache = slab.cache();
    int index = slab.indexHolding(address);
    if (index < 0) {
      return new Place(address, Kind.SLAB, cache.name(), slab.base(), slab.byteCount(), -1, "", "");
    }
    long object = slab.object(index);
    SlabView.FreeObjects list = view.listOf(index);
    String state =
        list != null
            ? list.stateWords()
            : view.lists().stream().allMatch(l -> l.list().isClosed())
                ? "allocated"
                : "state not known: a freelist of the slab is broken";
    long offset = address - object;
    String member =
        offset < 0 || offset >= cache.objectSize()
            ? "behind its payload"
            : structs.of(cache).flatMap(s -> member(s, offset)).orElse("");
    return new Place(
        address, Kind.SLAB_OBJECT, cache.name(), object, cache.objectSize(), index, member, state);
  }

  private static Optional<String> member(StructLayout layout, long offset) {
    return offset == 0 ? Optional.empty() : layout.pathAt(offset);
  }

  /// The same place with the member that lies there, of an object whose structure is known: at its
  /// start too, where a pointer would mean the object.
  Place withMember(Place place) {
    if (place.kind() != Kind.SLAB_OBJECT || !place.member().isEmpty()) {
      return place;
    }
    return slab(place.start())
        .flatMap(view -> structs.of(view.slab().cache()))
        .flatMap(layout -> layout.pathAt(place.offset()))
        .map(
            member ->
                new Place(
                    place.address(),
                    place.kind(),
                    place.name(),
                    place.start(),
                    place.size(),
                    place.number(),
                    member,
                    place.state()))
        .orElse(place);
  }

  // ---- page descriptors and areas

  private Optional<Place> descriptor(long address) {
    if (memMap.isEmpty() || map.vmemmapStart() == 0) {
      return Optional.empty();
    }
    MemMap descriptors = memMap.get();
    long first = descriptors.descriptor(0);
    int size = descriptors.descriptorBytes();
    long distance = address - first;
    if (descriptors.isClassicSparse() || distance < 0 || distance / size >= descriptors.endPfn()) {
      return Optional.empty();
    }
    long pfn = distance / size;
    if (!(memory.translate(address) instanceof Translated.At)) {
      return Optional.empty();
    }
    PageState state = descriptors.state(pfn);
    String member =
        distance % size == 0
            ? ""
            : kernel.struct("page").flatMap(s -> s.pathAt(distance % size)).orElse("");
    return Optional.of(
        new Place(
            address,
            Kind.PAGE_DESCRIPTOR,
            "",
            first + pfn * size,
            size,
            pfn,
            member,
            state.kind().words()));
  }

  private Optional<Place> inArea(long address) {
    if (areas == null) {
      areas = new VmallocAreas(kernel);
    }
    return areas
        .at(address)
        .map(
            area ->
                new Place(
                    address,
                    Kind.VMALLOC,
                    areas.caller(area),
                    area.start(),
                    area.end() - area.start(),
                    -1,
                    "",
                    ""));
  }

  /// The per-CPU variable that a per-CPU pointer leads to.
  Optional<String> perCpuPointer(long pointer) {
    return perCpu.ofPointer(pointer);
  }
}
