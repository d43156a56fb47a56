package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.dump.Container;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;

/// Freelists that end at a page which the dump does not hold: many findings with one cause, and not
/// the kernel's. They become one.
final class MissingSlabs {
  private static final int MAX_EVIDENCE = 10;

  private MissingSlabs() {}

  /// The findings with those of each container cause folded into one.
  ///
  /// @param container no dump level leaves out slab pages, so where the writer says page by page
  ///   what it left out, it misread the kernel
  static List<Finding> fold(List<Finding> findings, Container container) {
    Map<Cause, List<Finding>> byCause = new LinkedHashMap<>();
    List<Finding> others = new ArrayList<>();
    for (Finding finding : findings) {
      switch (finding.cause()) {
        case PAGE_EXCLUDED, DUMP_TRUNCATED, PAGE_UNDECODABLE ->
            byCause.computeIfAbsent(finding.cause(), _ -> new ArrayList<>()).add(finding);
        default -> others.add(finding);
      }
    }
    byCause.forEach((cause, same) -> others.add(folded(cause, same, container)));
    return others;
  }

  private static Finding folded(Cause cause, List<Finding> same, Container container) {
    Finding first = same.getFirst();
    List<Evidence> evidence = new ArrayList<>();
    for (Finding finding : same.subList(0, Math.min(MAX_EVIDENCE, same.size()))) {
      evidence.add(finding.evidence().getFirst());
    }
    String state =
        switch (cause) {
          case PAGE_EXCLUDED -> "were left out of";
          case DUMP_TRUNCATED -> "are missing from";
          default -> "do not decode in";
        };
    return new Finding(
        first.check(),
        first.layer(),
        first.severity(),
        cause == Cause.PAGE_EXCLUDED && container.dumpLevel() >= 0
            ? Cause.DUMPER_EXCLUDED_SLAB
            : cause,
        "%s cannot be walked to the end: slab pages %s the dump"
            .formatted(Words.plural(same.size(), "freelist", "freelists"), state),
        same.size() == 1 ? first.subject() : Subject.NONE,
        evidence,
        List.of(),
        first.check() + "/" + cause.id());
  }
}
