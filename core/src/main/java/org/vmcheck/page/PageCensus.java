package org.vmcheck.page;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.LongFunction;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// Which kinds of page are in a dump and which were left out: what the kernel's descriptors say of
/// each frame against what the dump says of it. On large machines a sample, spread evenly.
///
/// @param kinds frames by kind
/// @param frames frames that were looked at
/// @param sampled whether others were not
/// @param excludedSlabPages slab pages that were left out, by name of their cache
/// @param firstExcludedSlab the first frame of these, or -1
/// @param givenUp the first of the frames that the hardware gave up (PG_hwpoison); they count as
///   [PageState.Kind#HWPOISON], whatever they are used for
public record PageCensus(
    Map<PageState.Kind, Count> kinds,
    long frames,
    boolean sampled,
    SortedMap<String, Long> excludedSlabPages,
    long firstExcludedSlab,
    List<GivenUp> givenUp) {
  /// Descriptors of 64 MiB of pages are streamed at a time.
  private static final long RUN = 16384;

  /// 64 bytes of descriptor a frame: what is decoded for this is bounded by 64 MiB.
  private static final long MAX_FRAMES = 1 << 20;

  /// No block of free pages is larger (`MAX_PAGE_ORDER` of any configuration).
  private static final int MAX_ORDER = 18;

  /// More than anyone reads; the kinds have the number of all.
  private static final int MAX_GIVEN_UP = 64;

  public PageCensus {
    givenUp = List.copyOf(givenUp);
    kinds = kinds.isEmpty() ? Map.of() : new EnumMap<>(kinds);
    excludedSlabPages = new TreeMap<>(excludedSlabPages);
  }

  /// A frame that the hardware gave up.
  ///
  /// @param use what it was used for
  /// @param cache name of the cache whose slab it is; empty if of none
  public record GivenUp(long pfn, PageState.Kind use, String cache) {}

  /// Frames of one kind.
  public record Count(long stored, long excluded, long notInDump) {}

  public Count count(PageState.Kind kind) {
    return kinds.getOrDefault(kind, new Count(0, 0, 0));
  }

  /// Slab pages that were left out.
  public long excludedSlabsInAll() {
    return excludedSlabPages.values().stream().mapToLong(Long::longValue).sum();
  }

  /// @param memory that the descriptors are of
  /// @param cacheName the name of the cache at an address, empty if none is there
  /// @param isOver asked now and then; true ends the census early, as a sample
  public static PageCensus take(
      PhysicalMemory memory,
      MemMap memMap,
      LongFunction<String> cacheName,
      BooleanSupplier isOver) {
    long end = memMap.endPfn();
    long step = Math.max(RUN, (end + MAX_FRAMES - 1) / MAX_FRAMES * RUN);
    Taker taker = new Taker(memory, memMap, cacheName);
    PageBuffer page = memMap.newBuffer();
    boolean over = false;
    for (long pfn = 0; pfn < end && !over; pfn += step) {
      taker.blockEnd = pfn;
      memMap.stream(pfn, Math.min(pfn + RUN, end), taker, page);
      over = isOver.getAsBoolean();
    }
    return new PageCensus(
        taker.kinds(),
        taker.frames,
        over || step > RUN,
        taker.excludedSlabs,
        taker.firstSlab,
        taker.givenUp);
  }

  private static final class Taker implements MemMap.Visitor {
    private final MemMap memMap;
    private final LongFunction<String> cacheName;
    private final PhysicalMemory memory;

    /// Frames by kind: stored, excluded, not in the dump. They are counted one by one, too often
    /// for a new object each.
    private final Map<PageState.Kind, long[]> tallies = new EnumMap<>(PageState.Kind.class);

    /// The first stored frame at or after the last one met.
    private long nextStored = -1;

    private final SortedMap<String, Long> excludedSlabs = new TreeMap<>();
    private long firstSlab = -1;
    private final List<GivenUp> givenUp = new ArrayList<>();
    private long frames;

    /// Frames below this belong to the block of the last head.
    private long blockEnd;

    private PageState.Kind blockKind = PageState.Kind.UNKNOWN;
    private String blockCache = "";

    Taker(PhysicalMemory memory, MemMap memMap, LongFunction<String> cacheName) {
      this.memMap = memMap;
      this.cacheName = cacheName;
      this.memory = memory;
    }

    @Override
    public void page(long pfn, byte[] bytes, int at) {
      frames++;
      boolean freeBlock = pfn < blockEnd && blockKind == PageState.Kind.BUDDY;
      if (!freeBlock && !memMap.isTail(bytes, at)) {
        head(pfn, bytes, at);
      }
      if (nextStored < pfn) {
        long next = memory.nextStored(pfn);
        nextStored = next < 0 ? Long.MAX_VALUE : next;
      }
      boolean isStored = nextStored == pfn;
      boolean isExcluded = !isStored && memory.read(pfn) instanceof PageRead.Excluded;
      boolean isGivenUp = memMap.isHwPoison(bytes, at);
      if (isGivenUp && givenUp.size() < MAX_GIVEN_UP) {
        givenUp.add(new GivenUp(pfn, blockKind, blockCache));
      }
      tally(isGivenUp ? PageState.Kind.HWPOISON : blockKind)[isStored ? 0 : isExcluded ? 1 : 2]++;
      if (isExcluded && !isGivenUp && blockKind == PageState.Kind.SLAB) {
        firstSlab = firstSlab < 0 ? pfn : firstSlab;
        if (excludedSlabs.size() < 4096 || excludedSlabs.containsKey(blockCache)) {
          excludedSlabs.merge(blockCache, 1L, Long::sum);
        }
      }
    }

    private void head(long pfn, byte[] bytes, int at) {
      blockKind = memMap.use(bytes, at);
      blockEnd = pfn + 1;
      blockCache = "";
      if (blockKind == PageState.Kind.BUDDY && memMap.shape().privateAt() >= 0) {
        long order = MemMap.word(bytes, at + memMap.shape().privateAt());
        if (order >= 0 && order <= MAX_ORDER) {
          blockEnd = pfn + (1L << order);
        }
      }
      if (blockKind == PageState.Kind.SLAB) {
        int cacheAt = memMap.shape().slabCacheAt();
        blockCache = cacheAt < 0 ? "" : cacheName.apply(MemMap.word(bytes, at + cacheAt));
      }
    }

    @Override
    public void unreadable(long firstPfn, long count) {
      frames += count;
      tally(PageState.Kind.UNKNOWN)[2] += count;
    }

    private long[] tally(PageState.Kind kind) {
      return tallies.computeIfAbsent(kind, _ -> new long[3]);
    }

    Map<PageState.Kind, Count> kinds() {
      Map<PageState.Kind, Count> kinds = new EnumMap<>(PageState.Kind.class);
      tallies.forEach((kind, of) -> kinds.put(kind, new Count(of[0], of[1], of[2])));
      return kinds;
    }
  }
}
