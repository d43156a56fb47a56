package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.desk.HashedPointers;
import org.vmcheck.desk.Places;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;

/// Gives a report of the kernel's its object where `%p` printed only a hash of the address: the
/// dump has the key, and every object is tried.
final class HashedReports {
  private HashedReports() {}

  static List<CheckOutcome> attach(List<CheckOutcome> outcomes, Kernel kernel) {
    List<String> lines =
        outcomes.stream()
            .flatMap(outcome -> outcome.findingsIfRan().stream())
            .filter(HashedReports::isNameless)
            .flatMap(finding -> lines(finding).stream())
            .toList();
    if (lines.stream().noneMatch(HashedPointers::isIn)) {
      return outcomes;
    }
    Places places = new Places(kernel);
    Optional<HashedPointers.Result> result = HashedPointers.unhash(places, lines);
    if (result.isEmpty() || result.get().pointers().isEmpty()) {
      return outcomes;
    }
    return outcomes.stream()
        .map(
            outcome ->
                outcome instanceof CheckOutcome.Ran ran
                    ? ran.withFindings(
                        ran.findings().stream()
                            .map(f -> isNameless(f) ? with(f, places, result.get(), kernel) : f)
                            .toList())
                    : outcome)
        .toList();
  }

  private static boolean isNameless(Finding finding) {
    return KernelsReports.isOne(finding) && finding.subject().object() == Evidence.UNKNOWN;
  }

  private static List<String> lines(Finding finding) {
    return finding.evidence().stream()
        .filter(Evidence.LogLineSays.class::isInstance)
        .map(one -> ((Evidence.LogLineSays) one).line())
        .toList();
  }

  /// The first hash of an object of the cache that the report names.
  private static Finding with(
      Finding finding, Places places, HashedPointers.Result result, Kernel kernel) {
    Map<Integer, HashedPointers.Pointer> pointers = result.pointers();
    for (String line : lines(finding)) {
      for (int hash : HashedPointers.in(line)) {
        HashedPointers.Pointer pointer = pointers.get(hash);
        if (pointer == null || pointer.others() > 0) {
          continue;
        }
        Place place = places.at(pointer.address());
        String cache = Printable.of(place.name(), 60);
        if (place.kind() == Place.Kind.SLAB_OBJECT
            && place.offset() == 0
            && (finding.subject().cache().isEmpty() || finding.subject().cache().equals(cache))) {
          List<Evidence> evidence = new ArrayList<>(finding.evidence());
          evidence.add(
              new Evidence.WordAt(
                  place.start(),
                  kernel.memory().physicalAddress(place.start()),
                  Evidence.UNKNOWN,
                  Evidence.UNKNOWN,
                  "%08x in the log is the hash of 0x%x, object %d of cache %s (%,d addresses were tried, of which chance would give %.2f)"
                      .formatted(
                          hash,
                          place.start(),
                          place.number(),
                          cache,
                          result.tried(),
                          result.expectedByChance())));
          return finding
              .withSubject(
                  Subject.cache(cache).withSlab(finding.subject().slab()).withObject(place.start()))
              .withEvidence(evidence);
        }
      }
    }
    return finding;
  }
}
