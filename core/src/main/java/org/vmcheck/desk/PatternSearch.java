package org.vmcheck.desk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.FindAnswer;
import org.vmcheck.finding.FoundPattern;
import org.vmcheck.finding.MemoryPattern;

/// Finds a pattern of bytes in every stored page of a dump, a user's pages too. A pattern may lie
/// across the border of two frames that follow each other.
public final class PatternSearch {
  private final Places places;

  public PatternSearch(Places places) {
    this.places = places;
  }

  /// Searches.
  ///
  /// @param most how many places are listed; all are counted
  /// @param threads how many read at once
  public FindAnswer find(
      MemoryPattern pattern, int most, int threads, OpenOptions.Progress progress) {
    List<Search> searches = Collections.synchronizedList(new ArrayList<>());
    MemorySweep.Coverage coverage =
        MemorySweep.over(
            places.kernel(),
            MemorySweep.Scope.ALL,
            threads,
            progress,
            () -> {
              Search search = new Search(pattern, most, places.kernel().memory().pageShift());
              searches.add(search);
              return search;
            });
    TreeSet<Long> found = new TreeSet<>();
    long total = 0;
    for (Search search : searches) {
      found.addAll(search.found);
      total += search.total;
    }
    // What begins in the last page of one thread's piece ends in the first of another's.
    for (Search search : searches) {
      for (long border : search.borders) {
        for (long at : acrossBorder(pattern, border)) {
          total += found.add(at) ? 1 : 0;
        }
      }
    }
    List<Long> listed = found.stream().limit(most).toList();
    TreeSet<Long> frames = new TreeSet<>();
    listed.forEach(at -> frames.add(places.kernel().memory().pfn(at)));
    Locator locator = new Locator(places.kernel(), frames);
    return new FindAnswer(
        listed.stream()
            .map(at -> new FoundPattern(at, places.withMember(places.at(locator.address(at)))))
            .toList(),
        total,
        coverage.pages(),
        coverage.unread());
  }

  /// Physical addresses where the pattern lies across the start of a frame.
  private List<Long> acrossBorder(MemoryPattern pattern, long pfn) {
    int reach = pattern.length() - 1;
    long border = places.kernel().memory().paddr(pfn);
    List<Long> found = new ArrayList<>();
    byte[] before = page(pfn - 1);
    byte[] behind = page(pfn);
    if (before == null || behind == null || pattern.step() > 1) {
      return found;
    }
    byte[] joint = new byte[2 * reach];
    System.arraycopy(before, before.length - reach, joint, 0, reach);
    System.arraycopy(behind, 0, joint, reach, reach);
    for (int at = 0; at + pattern.length() <= joint.length; at++) {
      if (pattern.isAt(joint, at)) {
        found.add(border - reach + at);
      }
    }
    return found;
  }

  private byte[] page(long pfn) {
    PhysicalMemory memory = places.kernel().memory().physical();
    PageBuffer buffer = PageBuffer.of(memory);
    return pfn >= 0 && memory.readInto(pfn, buffer) instanceof PageRead.Present
        ? buffer.bytes()
        : null;
  }

  /// The search of one thread.
  private static final class Search implements MemorySweep.Visitor {
    private final MemoryPattern pattern;
    private final int most;
    private final int pageShift;
    private final List<Long> found = new ArrayList<>();
    private final List<Long> borders = new ArrayList<>();
    private long total;

    Search(MemoryPattern pattern, int most, int pageShift) {
      this.pattern = pattern;
      this.most = most;
      this.pageShift = pageShift;
    }

    @Override
    public void page(long pfn, byte[] bytes) {
      int last = bytes.length - pattern.length();
      for (int at = 0; at <= last; at += pattern.step()) {
        if (pattern.isAt(bytes, at)) {
          total++;
          if (found.size() < most) {
            found.add((pfn << pageShift) + at);
          }
        }
      }
      // Where the page begins with the end of the pattern, the rest may stand before it.
      if (pattern.step() == 1 && borders.size() < most && pattern.mayEndAtStartOf(bytes)) {
        borders.add(pfn);
      }
    }
  }
}
