package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.List;

/// Which incidents of a catalogue are meant; an empty word selects all.
///
/// @param verdict one of the verdicts, or `unreadable`
/// @param cause id of a cause among its findings
/// @param kernel release, or the start of one
/// @param since crashes at or after this time, seconds since 1970; 0 for all
/// @param signature id of a panic or damage signature
/// @param vanished whether only those that are gone are meant
public record Selection(
    String verdict, String cause, String kernel, long since, String signature, boolean vanished) {
  public static final Selection ALL = new Selection("", "", "", 0, "", false);

  /// The SQL of this selection; its values are added to the list in order.
  String where(List<Object> values) {
    List<String> terms = new ArrayList<>();
    if (!verdict.isEmpty()) {
      terms.add("verdict = ?");
      values.add(verdict);
    }
    if (!cause.isEmpty()) {
      terms.add("location IN (SELECT location FROM cause WHERE cause = ?)");
      values.add(cause);
    }
    if (!kernel.isEmpty()) {
      terms.add("substr(release, 1, length(?)) = ?");
      values.add(kernel);
      values.add(kernel);
    }
    if (since > 0) {
      terms.add("crash_time >= ?");
      values.add(since);
    }
    if (!signature.isEmpty()) {
      terms.add("? IN (panic_signature, damage_signature)");
      values.add(signature);
    }
    if (vanished) {
      terms.add("vanished = 1");
    }
    return terms.isEmpty() ? "" : "WHERE " + String.join(" AND ", terms);
  }
}
