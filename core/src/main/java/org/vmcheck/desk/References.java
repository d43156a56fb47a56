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

  /// A word that leads to a target.
  private record Hit(int target, long paddr, long word) {}

  /// What is searched for.
  private record Target(Place place, long start, long size) {}

  /// Searches.
  ///
  /// @param threads how many read at once
  public RefsAnswer to(long address, Extent extent, int threads, OpenOptions.Progress progress) {
    return toEach(List.of(address), extent, threads, progress).getFirst();
  }

  /// Searches for several at once: memory is read once for all.
  ///
  /// @param addresses few: each word is held against each
  /// @param threads how many read at once
  /// @return an answer for each, in the same order
  public List<RefsAnswer> toEach(
      List<Long> addresses, Extent extent, int threads, OpenOptions.Progress progress) {
    List<Target> targets = addresses.stream().map(address -> target(address, extent)).toList();
    int pageShift = places.kernel().memory().pageShift();
    List<Search> searches = Collections.synchronizedList(new ArrayList<>());
    MemorySweep.Coverage coverage =
        MemorySweep.over(
            places.kernel(),
            MemorySweep.Scope.KERNEL,
            threads,
            progress,
            () -> {
              Search search = new Search(targets, pageShift);
              searches.add(search);
              return search;
            });
    List<RefsAnswer> answers = new ArrayList<>();
    for (int i = 0; i < targets.size(); i++) {
      answers.add(answer(i, targets.get(i), searches, coverage));
    }
    return answers;
  }

  private Target target(long address, Extent extent) {
    Place place = places.at(address);
    boolean isWhole = extent == Extent.WHOLE && place.isSomething() && place.size() > 0;
    return isWhole
        ? new Target(place, place.start(), place.size())
        : new Target(place, address, extent == Extent.WHOLE ? 8 : 1);
  }

  private RefsAnswer answer(
      int index, Target target, List<Search> searches, MemorySweep.Coverage coverage) {
    List<Hit> hits = new ArrayList<>();
    long total = 0;
    for (Search search : searches) {
      search.hits.stream().filter(hit -> hit.target == index).forEach(hits::add);
      total += search.totals[index];
    }
    hits.sort(Comparator.comparingLong(Hit::paddr));
    if (hits.size() > MAX_LISTED) {
      hits = hits.subList(0, MAX_LISTED);
    }
    return new RefsAnswer(
        target.place,
        target.start,
        target.size,
        holders(hits, target.start, target.size),
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
      Holder.Rank rank = isItself ? Holder.Rank.ITSELF : rank(place);
      holders.add(new Holder(at, hit.paddr(), hit.word(), place, rank));
    }
    holders.sort(
        Comparator.comparing(Holder::rank).thenComparing(Holder::address, Long::compareUnsigned));
    return holders;
  }

  private static Holder.Rank rank(Place place) {
    return switch (place.kind()) {
      case SLAB_OBJECT ->
          place.isFreeObject()
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
    private final long[] starts;
    private final long[] sizes;
    private final long lowest;
    private final long reach;
    private final List<Hit> hits = new ArrayList<>();
    private final long[] totals;
    private final int[] listed;
    private final int pageShift;

    Search(List<Target> targets, int pageShift) {
      this.pageShift = pageShift;
      starts = targets.stream().mapToLong(Target::start).toArray();
      sizes = targets.stream().mapToLong(Target::size).toArray();
      totals = new long[starts.length];
      listed = new int[starts.length];
      long low = starts[0];
      long high = starts[0] + sizes[0];
      for (int i = 1; i < starts.length; i++) {
        low = Long.compareUnsigned(starts[i], low) < 0 ? starts[i] : low;
        long end = starts[i] + sizes[i];
        high = Long.compareUnsigned(end, high) > 0 ? end : high;
      }
      lowest = low;
      reach = high - low;
    }

    @Override
    public void page(long pfn, byte[] bytes) {
      long first = lowest;
      long limit = reach + Long.MIN_VALUE;
      for (int at = 0; at + 8 <= bytes.length; at += 8) {
        long word = (long) WORD.get(bytes, at);
        // An unsigned comparison.
        if (word - first + Long.MIN_VALUE < limit) {
          found(pfn, at, word);
        }
      }
    }

    private void found(long pfn, int at, long word) {
      for (int i = 0; i < starts.length; i++) {
        if (Long.compareUnsigned(word - starts[i], sizes[i]) < 0) {
          totals[i]++;
          if (listed[i] < MAX_LISTED) {
            listed[i]++;
            hits.add(new Hit(i, (pfn << pageShift) + at, word));
          }
        }
      }
    }
  }
}
