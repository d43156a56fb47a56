package org.vmcheck.check;

import java.util.LinkedHashMap;
import java.util.Map;
import org.vmcheck.kernel.SlabCache;
import org.vmcheck.kernel.SlabFault;

/// Caches whose debugging bytes were looked for in the wrong places, because a member that says
/// where they lie is wrong: that member is one finding of slab.lists, and the hundreds of objects
/// that seem damaged by it are none.
final class MisplacedPatterns {
  private MisplacedPatterns() {}

  /// Why the bytes of each such cache are not judged, as gaps.
  static Map<SlabCache, String> of(Subjects subjects) {
    Map<SlabCache, String> misplaced = new LinkedHashMap<>();
    subjects
        .wrongMembers()
        .forEach(
            (cache, wrong) ->
                wrong.stream()
                    .filter(CacheMembers.Wrong::isGeometry)
                    .findFirst()
                    .filter(_ -> hasPatternFault(subjects, cache))
                    .ifPresent(
                        one ->
                            misplaced.put(
                                cache,
                                "the fixed bytes of cache %s are not judged: kmem_cache.%s, which says where they lie, is wrong"
                                    .formatted(Words.name(cache), one.name()))));
    return misplaced;
  }

  private static boolean hasPatternFault(Subjects subjects, SlabCache cache) {
    return subjects.soundFaults().stream()
        .anyMatch(
            fault ->
                fault instanceof SlabFault.Pattern pattern
                    && pattern.cache().address() == cache.address());
  }
}
