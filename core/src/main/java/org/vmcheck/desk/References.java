package org.vmcheck.desk;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.TreeSet;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.finding.Holder;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.RefsAnswer;

/// Finds who leads to a piece of memory: every aligned word of the kernel's pages that holds an
/// address in it. Two thirds of the pointers to objects lead past their start, to embedded lists
/// and members.
public final class References {
  private static final VarHandle WORD =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  /// Words that are resolved and listed; all are counted.
  private static final int MAX_LISTED = 4096;

  private final Places places;

  public References(Places places) {
    this.places = places;
  }

  /// What counts as the memory that is asked for.
  public enum Extent {
    /// The whole object, symbol, stack, area or page that has the address.
    WHOLE,
    /// The address alone.
    EXACT
  }

  /// A word that leads to the target.
  private record Hit(long paddr, long word) {}

  /// Searches.
  ///
  /// @param threads how many read at once
  public RefsAnswer to(long address, Extent extent, int threads, OpenOptions.Progress progress) {
    Place target = places.at(address);
    boolean isWhole = extent == Extent.WHOLE && target.isSomething() && target.size() > 0;
    long start = isWhole ? target.start() : address;
    long size = isWhole ? target.size() : extent == Extent.WHOLE ? 8 : 1;
    List<Search> searches = Collections.synchronizedList(new ArrayList<>());
    MemorySweep.Coverage coverage =
        MemorySweep.over(
            places.kernel(),
            MemorySweep.Scope.KERNEL,
            threads,
            progress,
            () -> {
              Search search = new Search(start, size, places.kernel().memory().pageShift());
              searches.add(search);
              return search;
            });
    List<Hit> hits = new ArrayList<>();
    long total = 0;
    for (Search search : searches) {
      hits.addAll(search.hits);
      total += search.total;
    }
    hits.sort(Comparator.comparingLong(Hit::paddr));
    if (hits.size() > MAX_LISTED) {
      hits = hits.subList(0, MAX_LISTED);
    }
    return new RefsAnswer(
        target,
        start,
        size,
        holders(hits, start, size),
        total,
        coverage.pages(),
        coverage.passedOver(),
        coverage.unread());
  }

  private List<Holder> holders(List<Hit> hits, long start, long size) {
    TreeSet<Long> frames = new TreeSet<>();
    hits.forEach(hit -> frames.add(places.kernel().memory().pfn(hit.paddr())));
    Locator locator = new Locator(places.kernel(), frames);
    List<Holder> holders = new ArrayList<>();
    for (Hit hit : hits) {
      long at = locator.address(hit.paddr());
      Place place = places.withFrame(places.withMember(places.at(at)));
      boolean isItself = at - start >= 0 && at - start < size;
      holders.add(new Holder(at, hit.word(), place, isItself ? Holder.Rank.ITSELF : rank(place)));
    }
    holders.sort(
        Comparator.comparing(Holder::rank).thenComparing(Holder::address, Long::compareUnsigned));
    return holders;
  }

  private static Holder.Rank rank(Place place) {
    return switch (place.kind()) {
      case SLAB_OBJECT ->
          !place.state().equals("allocated")
              ? Holder.Rank.STALE
              : place.member().isEmpty() ? Holder.Rank.OBJECT : Holder.Rank.MEMBER;
      case DATA, TEXT, PER_CPU, MODULE -> Holder.Rank.DATA;
      case TASK_STACK -> place.state().equals("stale") ? Holder.Rank.STALE : Holder.Rank.STACK;
      case CPU_STACK -> Holder.Rank.STACK;
      default -> Holder.Rank.PAGE;
    };
  }

  /// The search of one thread.
  private static final class Search implements MemorySweep.Visitor {
    private final long start;
    private final long size;
    private final int pageShift;
    private final List<Hit> hits = new ArrayList<>();
    private long total;

    Search(long start, long size, int pageShift) {
      this.start = start;
      this.size = size;
      this.pageShift = pageShift;
    }

    @Override
    public void page(long pfn, byte[] bytes) {
      long first = start;
      long limit = size + Long.MIN_VALUE;
      for (int at = 0; at + 8 <= bytes.length; at += 8) {
        long word = (long) WORD.get(bytes, at);
        // An unsigned comparison.
        if (word - first + Long.MIN_VALUE < limit) {
          found(pfn, at, word);
        }
      }
    }

    private void found(long pfn, int at, long word) {
      total++;
      if (hits.size() < MAX_LISTED) {
        hits.add(new Hit((pfn << pageShift) + at, word));
      }
    }
  }
}
