package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelFacts;

/// How the caches of two sides differ.
///
/// @param changes those that differ, by growth in bytes
/// @param leak the one that grew most of those that grew like a leak
/// @param notCompared why there is nothing to compare; empty if there is
record ComparedCaches(List<CacheChange> changes, Optional<CacheChange> leak, String notCompared) {
  /// One cache in one dump; caches of one name are taken together.
  private record Use(long objects, long total, long bytes, boolean reclaimable) {
    static final Use NONE = new Use(0, 0, 0, false);

    Use plus(CacheUse cache) {
      return new Use(
          objects + cache.allocated(),
          total + cache.total(),
          bytes + cache.bytes(),
          reclaimable || cache.reclaimable());
    }
  }

  private static List<Map<String, Use>> uses(Side side) {
    List<Map<String, Use>> all = new ArrayList<>();
    for (DumpReport report : side.reports()) {
      Optional<List<CacheUse>> caches =
          report.kernel().filter(KernelFacts::isFound).flatMap(KernelFacts::caches);
      if (caches.isPresent()) {
        Map<String, Use> uses = new TreeMap<>();
        for (CacheUse cache : caches.get()) {
          uses.put(cache.name(), uses.getOrDefault(cache.name(), Use.NONE).plus(cache));
        }
        all.add(uses);
      }
    }
    return all;
  }

  /// The median of each number over the dumps that have the cache.
  private static Optional<Use> middle(List<Map<String, Use>> all, String name) {
    List<Use> uses = all.stream().filter(m -> m.containsKey(name)).map(m -> m.get(name)).toList();
    return uses.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Use(
                ComparisonRule.median(uses, Use::objects),
                ComparisonRule.median(uses, Use::total),
                ComparisonRule.median(uses, Use::bytes),
                uses.stream().anyMatch(Use::reclaimable)));
  }

  /// Compares the caches of two sides.
  static ComparedCaches of(Side base, Side next, Policy.Growth growth) {
    List<Map<String, Use>> before = uses(base);
    List<Map<String, Use>> after = uses(next);
    if (before.isEmpty() || after.isEmpty()) {
      return new ComparedCaches(
          List.of(),
          Optional.empty(),
          "caches not compared: not recorded on "
              + (before.isEmpty()
                  ? (after.isEmpty() ? "both sides" : "the base")
                  : "the new side"));
    }
    Set<String> names = new TreeSet<>();
    before.forEach(uses -> names.addAll(uses.keySet()));
    after.forEach(uses -> names.addAll(uses.keySet()));
    List<CacheChange> list = new ArrayList<>();
    Optional<CacheChange> leak = Optional.empty();
    for (String name : names) {
      Optional<Use> then = middle(before, name);
      Optional<Use> now = middle(after, name);
      CacheChange change = change(name, then.orElse(Use.NONE), now.orElse(Use.NONE), false);
      if (change.baseObjects() == change.nextObjects() && change.growth() == 0) {
        continue;
      }
      list.add(change);
      if (then.isPresent()
          && now.isPresent()
          && growsLikeALeak(then.get(), now.get(), growth)
          && (leak.isEmpty() || leak.get().growth() < change.growth())) {
        leak = Optional.of(change);
      }
    }
    if (leak.isPresent()) {
      CacheChange found = leak.get();
      list.set(
          list.indexOf(found),
          change(
              found.name(),
              middle(before, found.name()).orElseThrow(),
              middle(after, found.name()).orElseThrow(),
              true));
    }
    list.sort(
        Comparator.comparingLong(CacheChange::growth).reversed().thenComparing(CacheChange::name));
    return new ComparedCaches(list, leak, "");
  }

  private static CacheChange change(String name, Use then, Use now, boolean isLeak) {
    return new CacheChange(
        name,
        then.objects,
        now.objects,
        then.bytes,
        now.bytes,
        then.reclaimable || now.reclaimable,
        isLeak);
  }

  private static boolean growsLikeALeak(Use then, Use now, Policy.Growth growth) {
    return !then.reclaimable
        && !now.reclaimable
        && now.bytes - then.bytes >= growth.minBytes()
        && now.bytes >= growth.factor() * then.bytes
        && now.objects >= growth.minInUse() * now.total;
  }
}
