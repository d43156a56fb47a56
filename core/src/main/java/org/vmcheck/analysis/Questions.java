package org.vmcheck.analysis;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.ObjectTrack;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// Small questions about one place of a dump.
final class Questions {
  private static final int MAX_OBJECT_BYTES = 8192;

  private Questions() {}

  /// @param caution what is to be said of a page frame beside its bytes
  static MemoryAnswer read(
      PhysicalMemory memory,
      Optional<Kernel> kernel,
      LongFunction<String> caution,
      long address,
      int byteCount,
      boolean physical)
      throws UnansweredException {
    List<Integer> bytes = new ArrayList<>();
    // The kernel counts in its own pages, whatever the container's blocks are.
    int pageSize =
        physical || kernel.isEmpty() ? memory.pageSize() : kernel.get().memory().pageSize();
    String end = "";
    while (bytes.size() < byteCount && end.isEmpty()) {
      long at = address + bytes.size();
      MemorySegment page = null;
      if (physical) {
        PageRead read = memory.read(at >>> Integer.numberOfTrailingZeros(pageSize));
        if (read instanceof PageRead.Present(MemorySegment present)) {
          page = present;
        } else {
          end =
              "the page frame is "
                  + (read instanceof PageRead.NotInDump ? "not in the dump" : read.words());
        }
      } else {
        Kernel found =
            kernel.orElseThrow(() -> new UnansweredException("no kernel in the dump: give --phys"));
        MemoryRead read = found.memory().page(at);
        if (read instanceof MemoryRead.Bytes(ByteView view)) {
          page = view.segment();
        } else {
          end = read.words();
        }
      }
      int from = (int) (at & (pageSize - 1));
      int to = pageSize;
      if (page == null) {
        long paddr = physical ? at : kernel.orElseThrow().memory().physicalAddress(at);
        int part = paddr < 0 ? 0 : memory.storedInPart(paddr);
        if (part > 0) {
          page = part(memory, paddr, part);
          from = 0;
          to = part;
          end = "the page frame is stored in part, up to 0x%x".formatted(paddr + part);
        }
      }
      for (int i = from; page != null && i < to && bytes.size() < byteCount; i++) {
        bytes.add(page.get(ValueLayout.JAVA_BYTE, i) & 0xff);
      }
    }
    if (bytes.isEmpty() && byteCount > 0) {
      throw new UnansweredException("0x%x cannot be read: %s".formatted(address, end));
    }
    long paddr =
        physical ? address : kernel.map(k -> k.memory().physicalAddress(address)).orElse(-1L);
    String symbol =
        physical
            ? ""
            : kernel
                .map(k -> k.describe(address))
                .filter(text -> !text.startsWith("0x"))
                .orElse("");
    return new MemoryAnswer(
        address,
        paddr,
        bytes,
        paddr == -1 ? "" : LowMemory.role(kernel, pfn(kernel, paddr, pageSize)),
        paddr == -1 ? "" : caution.apply(pfn(kernel, paddr, pageSize)),
        symbol,
        end);
  }

  private static MemorySegment part(PhysicalMemory memory, long paddr, int byteCount) {
    try {
      return memory.readPart(paddr, byteCount);
    } catch (IOException _) {
      return null;
    }
  }

  /// Shows the slabs of one cache, one after the other.
  ///
  /// @param objects whether to say what is known of each object: of a big cache that is a lot
  static void slabs(
      Kernel kernel,
      LongFunction<String> caution,
      String cache,
      boolean objects,
      Consumer<SlabListing> shown) {
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memMap.endPfn(),
        c -> c.name().equals(cache),
        view -> {
          Slab slab = view.slab();
          String spoiled = caution(view, caution);
          shown.accept(
              new SlabListing(
                  slab.address(),
                  slab.base(),
                  view.placeWords(),
                  slab.inuse(),
                  slab.objects(),
                  slab.frozen(),
                  spoiled,
                  objects ? slots(view, spoiled) : List.of()));
          return true;
        });
  }

  private static List<SlabListing.Slot> slots(SlabView view, String caution) {
    Slab slab = view.slab();
    SlabListing.Slot[] slots = new SlabListing.Slot[slab.walkableObjects()];
    for (SlabView.FreeObjects list : view.lists()) {
      SlabListing.State state =
          switch (list.kind()) {
            case LIST, ARRAY -> SlabListing.State.FREE;
            case WAITING -> SlabListing.State.WAITING;
          };
      String words = list.stateWords();
      for (int i : list.objects()) {
        if (slots[i] == null) {
          slots[i] = new SlabListing.Slot(i, slab.object(i), state, list.name(), words);
        }
      }
    }
    SlabListing.State rest =
        caution.isEmpty() ? SlabListing.State.ALLOCATED : SlabListing.State.UNKNOWN;
    String words = caution.isEmpty() ? "allocated" : "cannot be told";
    for (int i = 0; i < slots.length; i++) {
      if (slots[i] == null) {
        slots[i] = new SlabListing.Slot(i, slab.object(i), rest, "", words);
      }
    }
    return List.of(slots);
  }

  /// The object that holds an address.
  private static long pfn(Optional<Kernel> kernel, long paddr, int pageSize) {
    return kernel.map(found -> found.memory().pfn(paddr)).orElse(paddr / pageSize);
  }

  static ObjectAnswer object(
      Kernel kernel, FreelistDecoder decoder, LongFunction<String> caution, long address)
      throws UnansweredException {
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    if (!kernel.memory().map().isDirectMap(address)) {
      throw new UnansweredException(
          "0x%x is not in the direct map: no slab object is there".formatted(address));
    }
    long pfn = kernel.memory().directMapPfn(address);
    PageState state = memMap.state(pfn);
    if (state.kind() != PageState.Kind.SLAB) {
      throw new UnansweredException(
          "0x%x is no slab object: its page is %s".formatted(address, state.kind().words()));
    }
    List<SlabView> views =
        SlabSurvey.views(kernel, memMap, state.headPfn(), state.headPfn() + 1, _ -> true, 1);
    if (views.isEmpty()) {
      throw new UnansweredException(
          "0x%x lies in a slab whose cache 0x%x is not known"
              .formatted(address, state.slabCache()));
    }
    SlabView view = views.getFirst();
    Slab slab = view.slab();
    int index = slab.indexHolding(address);
    if (index < 0) {
      throw new UnansweredException(
          "0x%x lies in a slab of cache %s and in none of its objects"
              .formatted(address, slab.cache().name()));
    }
    long object = slab.object(index);
    SlabView.FreeObjects list = view.listOf(index);
    // Only what is on a chain holds a free pointer; SLAB's objects never do.
    boolean isChained =
        list != null
            && list.kind() == SlabView.Kind.LIST
            && slab.cache().allocator() == SlabCache.Allocator.SLUB;
    long slot = list != null && !isChained ? Evidence.UNKNOWN : slab.slot(index);
    long raw =
        slot == Evidence.UNKNOWN ? Evidence.UNKNOWN : kernel.word(slot).orElse(Evidence.UNKNOWN);
    StringBuilder hex = new StringBuilder();
    SlabCache cache = slab.cache();
    // With red zones the debugging data behind an object is shown too: the damage may lie there.
    int own = cache.redLeftPad() > 0 ? cache.size() - cache.redLeftPad() : cache.objectSize();
    int bytes = Math.min(Math.max(own, cache.objectSize()), MAX_OBJECT_BYTES);
    if (kernel.memory().read(object, bytes) instanceof MemoryRead.Bytes(ByteView bytesThere)) {
      hex.append(HexFormat.of().formatHex(bytesThere.bytes(0, bytes)));
    }
    String spoiled = caution(view, caution);
    List<String> neighbours = new ArrayList<>();
    for (int other : new int[] {index - 1, index + 1}) {
      if (other >= 0 && other < slab.walkableObjects()) {
        neighbours.add(
            "object %d at 0x%x: %s"
                .formatted(other, slab.object(other), stateWords(view, other, spoiled)));
      }
    }
    return new ObjectAnswer(
        address,
        kernel.memory().physicalAddress(address),
        slab.cache().name(),
        slab.address(),
        view.placeWords(),
        index,
        slab.objects(),
        object,
        slab.cache().objectSize(),
        address - object,
        stateWords(view, index, spoiled),
        list == null ? Evidence.UNKNOWN : list.pointerTo(index),
        slot,
        raw,
        isChained ? decoder.decode(raw, slot, slab.cache().random()) : Evidence.UNKNOWN,
        hex.toString(),
        ObjectTrack.of(kernel, cache, object).stream().map(t -> t.words(kernel)).toList(),
        neighbours);
  }

  /// An object that no list holds is allocated, if the lists could be followed.
  private static String stateWords(SlabView view, int index, String caution) {
    SlabView.FreeObjects list = view.listOf(index);
    if (list != null) {
      return list.stateWords();
    }
    return caution.isEmpty() ? "allocated" : "cannot be told: " + caution;
  }

  /// Why an object of the slab that no list holds need not be allocated: what is to be said of its
  /// pages, or a list that cannot be followed to its end. Empty if it is allocated.
  private static String caution(SlabView view, LongFunction<String> caution) {
    Slab slab = view.slab();
    for (long i = 0; i < slab.pageCount(); i++) {
      String words = caution.apply(slab.pfn() + i);
      if (!words.isEmpty()) {
        return words;
      }
    }
    for (SlabView.FreeObjects list : view.lists()) {
      if (!list.list().isClosed()) {
        return list.objects().isEmpty()
            ? "the head of %s is invalid".formatted(list.name())
            : "%s breaks after object %d".formatted(list.name(), list.objects().getLast());
      }
    }
    return "";
  }
}
