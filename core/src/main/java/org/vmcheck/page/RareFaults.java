package org.vmcheck.page;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Faults by the rule that they break. A rule that is broken in many places is no rule of this
/// kernel: then its faults are counted and none is reported. Descriptors that share a page of
/// memory count as one place, for one write may spoil them all.
final class RareFaults {
  private static final int MAX_KEPT = 256;

  private final Map<String, Rule> rules = new LinkedHashMap<>();
  private final int pageShift;

  private static final class Rule {
    private final List<PageFault> faults = new ArrayList<>();
    private final Set<Long> places = new HashSet<>();
    private int most;
    private long count;
  }

  RareFaults(int pageShift) {
    this.pageShift = pageShift;
  }

  /// @param most places that may break the rule
  void add(int most, PageFault fault) {
    Rule rule =
        rules.computeIfAbsent(
            fault.reason() + " " + fault.place() + " " + fault.member(), _ -> new Rule());
    rule.most = most;
    rule.count++;
    if (rule.places.size() <= most) {
      rule.places.add(fault.address() >>> pageShift);
    }
    if (rule.faults.size() < MAX_KEPT) {
      rule.faults.add(fault);
    }
  }

  /// @param remarks get a sentence for each rule that is not one of this kernel
  void addTo(Collection<PageFault> faults, List<String> remarks) {
    for (Rule rule : rules.values()) {
      if (rule.places.size() <= rule.most) {
        faults.addAll(rule.faults);
      } else {
        PageFault first = rule.faults.getFirst();
        remarks.add(
            "%s of %s is not as expected in %d page descriptors: not judged"
                .formatted(first.member(), first.place(), rule.count));
      }
    }
  }
}
