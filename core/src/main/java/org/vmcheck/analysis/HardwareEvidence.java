package org.vmcheck.analysis;

import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.check.HardwarePages;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Origin;
import org.vmcheck.kernel.HardwareLog;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// Gathers from one dump what [HardwareRule] weighs.
final class HardwareEvidence {
  private HardwareEvidence() {}

  static Optional<Origin> origin(List<CheckOutcome> outcomes, Kernel kernel) {
    List<Finding> findings =
        outcomes.stream().flatMap(outcome -> outcome.findingsIfRan().stream()).toList();
    return HardwareRule.judge(new HardwareRule.Part(findings, signs(outcomes, findings, kernel)));
  }

  private static Origin.Signs signs(
      List<CheckOutcome> outcomes, List<Finding> findings, Kernel kernel) {
    long counted = kernel.variable64("num_poisoned_pages").orElse(0);
    Optional<MemMap> map = MemMap.of(kernel);
    boolean isCount = counted > 0 && map.isPresent() && counted < map.get().endPfn();
    long met =
        outcomes.stream()
            .filter(CheckOutcome.Ran.class::isInstance)
            .map(outcome -> ((CheckOutcome.Ran) outcome).facts().get(HardwarePages.FACT))
            .filter(Objects::nonNull)
            .mapToLong(Long::parseLong)
            .sum();
    int shift = kernel.memory().pageShift();
    Origin.Signs signs =
        HardwareLog.signs(
            kernel.log().kernelRecords(), isCount ? Math.max(met, counted) : met, shift);
    Set<Long> frames = new TreeSet<>(signs.frames());
    // Pages that were given up are few, and so are the pages with damage: those are asked.
    for (Finding finding : findings) {
      long physical = finding.subject().physical();
      if (physical != Evidence.UNKNOWN
          && met > 0
          && map.isPresent()
          && map.get().state(physical >>> shift).kind() == PageState.Kind.HWPOISON) {
        frames.add(physical >>> shift);
      }
    }
    return new Origin.Signs(
        signs.edac(),
        signs.machineChecks(),
        signs.firmware(),
        signs.injected(),
        signs.pagesGivenUp(),
        frames,
        shift,
        signs.isWatched(),
        signs.isGuest());
  }
}
