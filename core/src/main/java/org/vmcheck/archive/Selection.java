package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.List;

/// Which incidents of a catalogue are meant; an empty word selects all.
///
/// @param verdict one of the verdicts, or `unreadable`
/// @param cause id of a cause among its findings
/// @param kernel release, or the start of one; it ends where a number does: 6.1.19 is not 6.1.190
/// @param host that crashed, by the dump's node name or the directory's, or that is the origin
/// @param since crashes at or after this time, seconds since 1970; 0 for all
/// @param until crashes before this time, seconds since 1970; 0 for all
/// @param signature id of a panic or damage signature
/// @param vanished whether only those that are gone are meant
public record Selection(
    String verdict,
    String cause,
    String kernel,
    String host,
    long since,
    long until,
    String signature,
    boolean vanished) {
  public static final Selection ALL = new Selection("", "", "", "", 0, 0, "", false);

  public static Selection ofVerdict(String verdict) {
    return new Selection(verdict, "", "", "", 0, 0, "", false);
  }

  public static Selection ofVanished() {
    return new Selection("", "", "", "", 0, 0, "", true);
  }

  /// The same, of one release.
  Selection ofRelease(String release) {
    return new Selection(verdict, cause, release, host, since, until, signature, vanished);
  }

  /// The SQL of this selection; its values are added to the list in order.
  String where(List<Object> values) {
    List<String> terms = new ArrayList<>();
    if (!verdict.isEmpty()) {
      terms.add("verdict = ?");
      values.add(verdict);
    }
    if (!cause.isEmpty()) {
      terms.add("incident.number IN (SELECT cause.number FROM cause WHERE cause.cause = ?)");
      values.add(cause);
    }
    if (!kernel.isEmpty()) {
      terms.add("substr(release, 1, length(?)) = ?");
      values.add(kernel);
      values.add(kernel);
      if (Character.isDigit(kernel.charAt(kernel.length() - 1))) {
        terms.add("NOT substr(release, length(?) + 1, 1) BETWEEN '0' AND '9'");
        values.add(kernel);
      }
    }
    if (!host.isEmpty()) {
      terms.add("? IN (nodename, host, origin)");
      values.add(host);
    }
    if (since > 0) {
      terms.add("crash_time >= ?");
      values.add(since);
    }
    if (until > 0) {
      // A crash of which no time is known is not known to be that old.
      terms.add("crash_time > 0 AND crash_time < ?");
      values.add(until);
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
