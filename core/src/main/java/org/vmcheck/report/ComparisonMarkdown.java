package org.vmcheck.report;

import java.util.Locale;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.archive.Comparison.Change;
import org.vmcheck.archive.Comparison.CheckChange;
import org.vmcheck.archive.Comparison.FindingChange;
import org.vmcheck.archive.Comparison.Regression;
import org.vmcheck.io.Printable;

/// A comparison as Markdown, for a pull request or a ticket. Whatever comes from a dump is escaped,
/// so that it cannot become a link, an image, a mention or markup.
public final class ComparisonMarkdown {
  private static final int ROWS = 20;

  private ComparisonMarkdown() {}

  public static String render(Comparison comparison) {
    StringBuilder out = new StringBuilder();
    out.append(comparison.isRegression() ? "## Regression" : "## No regression").append("\n\n");
    out.append(safe(comparison.base().words()))
        .append(" &rarr; ")
        .append(safe(comparison.next().words()))
        .append(", policy ")
        .append(safe(comparison.policy()))
        .append("\n");
    if (comparison.isRegression()) {
      out.append('\n');
      for (Regression regression : comparison.regressions()) {
        row(out, "- **%s**: %s", regression.rule().word(), regression.sentence());
      }
    }
    if (!comparison.findings().isEmpty()) {
      out.append("\n### Findings\n\n| | cause | claim | dumps |\n|---|---|---|---|\n");
      for (FindingChange change : comparison.findings()) {
        row(
            out,
            "| %s | %s | %s | %s |",
            ComparisonText.word(change.state())
                + (change.accepted().isEmpty() ? "" : ", accepted: " + change.accepted()),
            change.finding().cause().id(),
            change.finding().claim(),
            ComparisonText.dumps(comparison, change));
      }
    }
    if (comparison.checks().stream().anyMatch(check -> check.base() != check.next())) {
      out.append("\n### Checks\n\n| check | before | now | |\n|---|---|---|---|\n");
      for (CheckChange check : comparison.checks()) {
        if (check.base() != check.next()) {
          row(
              out,
              "| %s | %s | %s | %s |",
              check.id(),
              check.base().word(),
              check.next().word(),
              check.nextWords());
        }
      }
    }
    if (!comparison.changes().isEmpty()) {
      out.append("\n### Changes\n\n| | before | now |\n|---|---|---|\n");
      for (Change change : comparison.changes()) {
        row(out, "| %s | %s | %s |", change.subject(), change.before(), change.after());
      }
    }
    caches(out, comparison);
    if (!comparison.notes().isEmpty()) {
      out.append("\n### Notes\n\n");
      comparison.notes().forEach(note -> row(out, "- %s", note));
    }
    return out.toString();
  }

  private static void caches(StringBuilder out, Comparison comparison) {
    int rows = 0;
    for (CacheChange cache : comparison.caches()) {
      if (cache.growth() <= 0 || (rows >= ROWS && !cache.isLeak())) {
        continue;
      }
      if (rows++ == 0) {
        out.append("\n### Caches that grew\n\n| cache | objects | now | bytes | |\n");
        out.append("|---|---:|---:|---:|---|\n");
      }
      row(
          out,
          "| %s | %s | %s | %s | %s |",
          cache.name(),
          number("%,d", cache.baseObjects()),
          number("%,d", cache.nextObjects()),
          number("%,+d", cache.growth()),
          cache.isLeak() ? "likely leak" : cache.reclaimable() ? "reclaimable" : "");
    }
  }

  private static String number(String format, long value) {
    return String.format(Locale.ROOT, format, value);
  }

  private static void row(StringBuilder out, String format, String... words) {
    Object[] safe = new Object[words.length];
    for (int i = 0; i < words.length; i++) {
      safe[i] = safe(words[i]);
    }
    out.append(String.format(Locale.ROOT, format, safe)).append('\n');
  }

  /// Escapes every character that Markdown or HTML gives a meaning. Mentions and bare links have no
  /// escape in Markdown, so `@`, `:` before a slash and `www.` become character references.
  static String safe(String untrusted) {
    String printable = Printable.of(untrusted);
    StringBuilder out = new StringBuilder(printable.length() + 16);
    for (int i = 0; i < printable.length(); i++) {
      char c = printable.charAt(i);
      switch (c) {
        case '&' -> out.append("&amp;");
        case '<' -> out.append("&lt;");
        case '>' -> out.append("&gt;");
        case '@' -> out.append("&#64;");
        case '#' -> out.append("&#35;");
        case ':' ->
            out.append(
                i + 1 < printable.length() && printable.charAt(i + 1) == '/' ? "&#58;" : ":");
        case '.' -> out.append(i >= 3 && printable.startsWith("www", i - 3) ? "&#46;" : ".");
        case '\\', '`', '*', '_', '{', '}', '[', ']', '(', ')', '!', '|', '~' ->
            out.append('\\').append(c);
        default -> out.append(c);
      }
    }
    return out.toString();
  }
}
