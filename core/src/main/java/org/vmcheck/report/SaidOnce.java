package org.vmcheck.report;

import java.util.HashMap;
import java.util.Map;

/// Why checks had nothing to say: each reason once, for one cause often keeps many from it.
final class SaidOnce {
  private final String headline;
  private final Map<String, String> said = new HashMap<>();

  /// @param headline what the reader has read already
  SaidOnce(String headline) {
    this.headline = headline;
  }

  /// The reason, or where it stands; as it is in the report, unescaped.
  String of(String check, String reason) {
    if (reason.isEmpty()) {
      return reason;
    }
    if (headline.contains(reason)) {
      return "the verdict says why";
    }
    String first = said.putIfAbsent(reason, check);
    return first == null ? reason : "the same reason as " + first;
  }
}
