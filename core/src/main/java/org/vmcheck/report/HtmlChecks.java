package org.vmcheck.report;

import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Note;

/// The checks as a table: what came of each by sign, colour and word, what needs a look first.
final class HtmlChecks {
  /// What came of a check, in the order in which it is shown.
  private enum Status {
    DAMAGE("&#10007;", "damage", "kernel-damaged"),
    DUMP("&#10007;", "dump", "dump-damaged"),
    FAILED("!", "bug", "unreadable"),
    PARTLY("?", "partly", "undetermined"),
    SKIPPED("?", "skipped", "undetermined"),
    DECLINED("&#8211;", "declined", "none"),
    FINE("&#10003;", "fine", "intact"),
    NOTHING("&#8211;", "nothing", "none");

    /// As HTML has it.
    private final String sign;

    private final String word;
    private final String style;

    Status(String sign, String word, String style) {
      this.sign = sign;
      this.word = word;
      this.style = style;
    }

    static Status of(CheckOutcome outcome) {
      return switch (outcome) {
        case CheckOutcome.Ran ran -> {
          if (ran.findings().isEmpty()) {
            yield ran.coverage().gaps().isEmpty() ? FINE : PARTLY;
          }
          yield ran.findings().stream().allMatch(finding -> finding.cause().isArtefact())
              ? DUMP
              : DAMAGE;
        }
        case CheckOutcome.NothingToLookAt nothing ->
            nothing.coverage().gaps().isEmpty() ? NOTHING : PARTLY;
        case CheckOutcome.Skipped _ -> SKIPPED;
        case CheckOutcome.Declined _ -> DECLINED;
        case CheckOutcome.Failed _ -> FAILED;
      };
    }
  }

  private final Markup page;
  private final SaidOnce said;

  private HtmlChecks(Markup page, SaidOnce said) {
    this.page = page;
    this.said = said;
  }

  static void write(Markup page, List<CheckOutcome> checks, SaidOnce said) {
    page.raw("<table class=\"checks\">\n");
    page.raw("<tr><th>status</th><th>check</th><th>answer</th></tr>\n");
    HtmlChecks table = new HtmlChecks(page, said);
    checks.stream().sorted(Comparator.comparing(Status::of)).forEach(table::row);
    page.raw("</table>\n");
  }

  private void row(CheckOutcome outcome) {
    Status status = Status.of(outcome);
    page.open("tr").open("td", "class", "status " + status.style);
    page.open("span", "class", "word").raw(status.sign).text(" " + status.word);
    page.close("span").close("td");
    page.element("td", outcome.id(), "class", "mono id").open("td");
    switch (outcome) {
      case CheckOutcome.Ran ran -> {
        page.text(CheckTopics.answer(ran.id(), ran.answer()));
        ran.coverage().gaps().forEach(gap -> page.element("div", "not looked at: " + gap));
        behind(ran.facts(), ran.notes());
      }
      case CheckOutcome.NothingToLookAt nothing -> {
        page.text("nothing to look at: " + said.of(nothing.id(), nothing.why()));
        behind(nothing.facts(), nothing.notes());
      }
      case CheckOutcome.Skipped skipped ->
          page.text("skipped: " + said.of(skipped.id(), String.join("; ", skipped.unmet())));
      case CheckOutcome.Declined declined -> page.text("declined: " + declined.why());
      case CheckOutcome.Failed failed -> page.text("failed, a bug of vmcheck: " + failed.reason());
    }
    page.close("td").close("tr").newline();
  }

  private void behind(Map<String, String> facts, List<Note> notes) {
    for (Note note : notes) {
      page.element("div", "note: " + note.text(), "class", "faint");
    }
    if (!facts.isEmpty()) {
      page.open("details").element("summary", "facts", "class", "faint").open("ul");
      facts.forEach((name, value) -> page.element("li", name + ": " + value));
      page.close("ul").close("details");
    }
  }
}
