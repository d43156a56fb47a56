package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.Words;

/// Caches whose debugging bytes were looked for in the wrong places, because a member that says
/// where they lie is wrong: that member is one finding, and the hundreds of objects that seem
/// damaged by it are none.
///
/// @param gaps why the bytes of each such cache are not judged
/// @param findings of the caches whose own numbers do not tell: nearly all objects fail at one
///   place
public record MisplacedPatterns(Map<SlabCache, String> gaps, List<Finding> findings) {
  /// Objects that must fail alike.
  private static final int MIN_ALIKE = 8;

  /// Objects of the same zone, and the place in the object where they fail.
  private record Place(SlabCache cache, SlabFault.Zone zone, long inObject) {}

  /// @param soundFaults what is wrong on sound pages
  /// @param wrongMembers of caches, those that cannot be right
  /// @param check the id of the check that reports
  public static MisplacedPatterns of(
      Kernel kernel,
      SlabSurvey survey,
      List<SlabFault> soundFaults,
      Map<SlabCache, List<CacheMembers.Wrong>> wrongMembers,
      String check) {
    Map<Place, Long> alike = new LinkedHashMap<>();
    for (SlabFault fault : soundFaults) {
      if (fault instanceof SlabFault.Pattern pattern) {
        long inObject =
            pattern.index() < 0 ? -1 : pattern.address() - pattern.slab().object(pattern.index());
        alike.merge(new Place(pattern.cache(), pattern.zone(), inObject), 1L, Long::sum);
      }
    }
    Map<SlabCache, String> gaps = new LinkedHashMap<>();
    List<Finding> findings = new ArrayList<>();
    alike.forEach(
        (place, count) -> {
          SlabCache cache = place.cache;
          String member =
              wrongMembers.getOrDefault(cache, List.of()).stream()
                  .filter(CacheMembers.Wrong::isGeometry)
                  .map(CacheMembers.Wrong::name)
                  .findFirst()
                  .orElse("");
          if (gaps.containsKey(cache)) {
            return;
          }
          if (member.isEmpty() && isNearlyAll(survey, place, count)) {
            member = place.zone == SlabFault.Zone.POISON ? "object_size" : "flags";
            findings.add(finding(kernel, check, member, place, count));
          }
          if (!member.isEmpty()) {
            gaps.put(
                cache,
                "the fixed bytes of cache %s are not judged: kmem_cache.%s, which says where they lie, is wrong"
                    .formatted(Words.name(cache), member));
          }
        });
    return new MisplacedPatterns(gaps, findings);
  }

  /// Whether nine of ten of the objects that have the zone fail at one place: no write does that.
  private static boolean isNearlyAll(SlabSurvey survey, Place place, long count) {
    if (count < MIN_ALIKE
        || place.zone == SlabFault.Zone.ZEROED
        || place.zone == SlabFault.Zone.SLAB_TAIL) {
      return false;
    }
    for (SlabSurvey.Tally tally : survey.tallies()) {
      if (tally.cache().address() == place.cache.address()) {
        long objects =
            place.zone == SlabFault.Zone.POISON
                ? tally.objects() - tally.allocated()
                : tally.objects();
        return count * 10 >= objects * 9;
      }
    }
    return false;
  }

  private static Finding finding(
      Kernel kernel, String check, String member, Place place, long count) {
    SlabCache cache = place.cache;
    long address =
        cache.address()
            + SlabCaches.of(kernel)
                .layout()
                .map(SlabLayout::cache)
                .flatMap(layout -> layout.member(member))
                .orElseThrow()
                .offset();
    long physical = kernel.memory().physicalAddress(address);
    long raw = kernel.word(address).orElse(Evidence.UNKNOWN);
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.METADATA_OVERWRITTEN,
        "kmem_cache.%s of cache %s, or another member that says where the %s lies, is wrong"
            .formatted(member, Words.name(cache), place.zone.words()),
        Subject.cache(Words.name(cache))
            .withAddress(address, physical)
            .withWord(raw, Evidence.UNKNOWN),
        List.of(
            new Evidence.CountMismatch(
                place.zone.words(),
                0,
                count,
                "nearly all objects that have it, %d, fail at the same place, %d bytes into the object"
                    .formatted(count, place.inObject)),
            new Evidence.WordAt(
                address,
                physical,
                raw,
                Evidence.UNKNOWN,
                "the word at 0x%x is 0x%016x; flags are 0x%x, object_size %d, inuse %d, size %d"
                    .formatted(
                        address,
                        raw,
                        cache.flags(),
                        cache.objectSize(),
                        cache.inuse(),
                        cache.size())),
            HexWindow.around(kernel, address, 4, "the cache's members")),
        List.of(),
        Fingerprint.of(
            check, Cause.METADATA_OVERWRITTEN, Words.name(cache), "kmem_cache." + member));
  }
}
