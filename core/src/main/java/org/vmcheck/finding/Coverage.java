package org.vmcheck.finding;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/// What a check looked at and what it could not see.
///
/// @param lookedAt counts by kind (`slabs`, `objects`, `pages`, …)
/// @param notRead counts of pages or objects that could not be read, by reason
/// @param gaps sentences naming what was not looked at although it should have been; empty when the
///   answer is complete, or when all that is missing is missing by design
public record Coverage(
    SortedMap<String, Long> lookedAt, SortedMap<String, Long> notRead, List<String> gaps) {
  public static final Coverage NONE = new Coverage(Map.of(), Map.of(), List.of());

  public Coverage(Map<String, Long> lookedAt, Map<String, Long> notRead, List<String> gaps) {
    this(new TreeMap<>(lookedAt), new TreeMap<>(notRead), List.copyOf(gaps));
  }

  public boolean isEmpty() {
    return lookedAt.values().stream().allMatch(count -> count == 0);
  }

  public Coverage plus(Coverage other) {
    SortedMap<String, Long> looked = new TreeMap<>(lookedAt);
    other.lookedAt.forEach((kind, count) -> looked.merge(kind, count, Long::sum));
    SortedMap<String, Long> missed = new TreeMap<>(notRead);
    other.notRead.forEach((reason, count) -> missed.merge(reason, count, Long::sum));
    List<String> allGaps = new ArrayList<>(gaps);
    allGaps.addAll(other.gaps);
    return new Coverage(looked, missed, allGaps);
  }
}
