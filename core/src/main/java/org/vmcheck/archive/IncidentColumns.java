package org.vmcheck.archive;

import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Note;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// The columns of table `incident`, as entries are written to and read from them.
final class IncidentColumns {
  private static final List<String> NAMES =
      List.of(
          "origin",
          "location",
          "id",
          "path",
          "state",
          "host",
          "named_time",
          "bytes",
          "identity",
          "head_hash",
          "tail_hash",
          "files",
          "tool",
          "judged_at",
          "seconds",
          "verdict",
          "summary",
          "problem_kind",
          "problem",
          "format",
          "release",
          "machine",
          "nodename",
          "crash_time",
          "panic",
          "panic_signature",
          "panic_text",
          "damage_signature",
          "damage_text",
          "remarks",
          "vanished");

  /// The first incident of the same content, if that is another one: equal in size, in the first
  /// and last 64 KiB, and in what the analysis said.
  private static final String FIRST_OF_CONTENT =
      // Concatenated, a column has no index: the one on the hashes finds a few rows, that on a
      // signature or on the location may find all.
      "(SELECT same.id FROM incident same WHERE same.head_hash = incident.head_hash"
          + " AND same.tail_hash = incident.tail_hash AND same.bytes = incident.bytes"
          + " AND same.verdict = incident.verdict AND same.summary = incident.summary"
          + " AND same.damage_signature || '' = incident.damage_signature"
          + " AND (same.location || '', same.origin) < (incident.location, incident.origin)"
          + " ORDER BY same.location || '', same.origin LIMIT 1)";

  /// Begins a query about many rows: which of them are copies of another one's dump, by what
  /// [#FIRST_OF_CONTENT] asks of one. Those whose content is there twice are found by one look
  /// through an index and sorted once, so that a million copies of one dump do not cost a million
  /// times a million comparisons.
  static final String WITH_COPIES =
      "WITH twice AS MATERIALIZED (SELECT head_hash, tail_hash FROM incident WHERE head_hash <> ''"
          + " GROUP BY head_hash, tail_hash HAVING count(*) > 1), copies AS MATERIALIZED"
          + " (SELECT number, original FROM (SELECT incident.number AS number,"
          + " row_number() OVER alike AS place, first_value(incident.id) OVER alike AS original"
          // SQLite goes through the tables of a cross join in their order.
          + " FROM twice CROSS JOIN incident WHERE incident.head_hash = twice.head_hash"
          + " AND incident.tail_hash = twice.tail_hash WINDOW alike AS (PARTITION BY"
          + " incident.head_hash, incident.tail_hash, incident.bytes, incident.verdict,"
          + " incident.summary, incident.damage_signature"
          + " ORDER BY incident.location, incident.origin)) ranked WHERE place > 1) ";

  /// The rows of a query that begins with [#WITH_COPIES].
  static final String FROM = from("");

  /// [#FROM], with what a database needs to be told of the index of lists.
  static String from(String hint) {
    return " FROM incident" + hint + " LEFT JOIN copies ON copies.number = incident.number ";
  }

  private static final String DUPLICATE = "copies.original AS duplicate_of";

  /// Whether a row is a copy of another one's dump.
  static final String IS_COPY = "copies.number IS NOT NULL";

  /// Whether a row counts: copies of one dump do once, kdump's own tests not at all.
  static final String COUNTED = "incident.state <> 'self-test' AND copies.number IS NULL";

  private static final String DUPLICATE_OF_ONE =
      "CASE WHEN incident.head_hash <> '' THEN " + FIRST_OF_CONTENT + " END AS duplicate_of";

  private static final String CAUSES =
      "(SELECT string_agg(cause.cause, ' ' ORDER BY cause.cause) FROM cause"
          + " WHERE cause.number = incident.number) AS causes";

  private static final String STORED =
      NAMES.stream().map(name -> "incident." + name).collect(Collectors.joining(", "))
          + ", "
          + CAUSES;

  /// What an entry is made of, where many are read.
  static final String SELECTED = STORED + ", " + DUPLICATE;

  /// [#SELECTED], where few are.
  static final String SELECTED_FEW = STORED + ", " + DUPLICATE_OF_ONE;

  static final String INSERT =
      "INSERT INTO incident (%s) VALUES (%s) RETURNING number"
          .formatted(
              String.join(", ", NAMES),
              Stream.generate(() -> "?").limit(NAMES.size()).collect(Collectors.joining(", ")));

  private IncidentColumns() {}

  /// The values of [#INSERT].
  static void bind(PreparedStatement row, CatalogueEntry entry) throws SQLException {
    List<Object> values =
        List.of(
            entry.origin(),
            entry.location().uri(),
            entry.id(),
            entry.path(),
            entry.state().word(),
            entry.host(),
            entry.namedTime(),
            entry.bytes(),
            entry.identity(),
            entry.headHash(),
            entry.tailHash(),
            String.join("\n", entry.files()),
            entry.tool(),
            entry.judgedAt(),
            entry.seconds(),
            entry.verdict(),
            entry.summary(),
            entry.problemKind().name(),
            entry.problem(),
            entry.format(),
            entry.release(),
            entry.machine(),
            entry.nodename(),
            entry.crashTime(),
            entry.panic(),
            entry.panicSignature().id(),
            entry.panicSignature().text(),
            entry.damageSignature().id(),
            entry.damageSignature().text(),
            remarks(entry.remarks()),
            entry.vanished() ? 1L : 0L);
    bind(row, values);
  }

  /// Values in order; of text, only what every database keeps.
  static void bind(PreparedStatement statement, List<?> values) throws SQLException {
    for (int i = 0; i < values.size(); i++) {
      Object value = values.get(i);
      statement.setObject(i + 1, value instanceof String text ? kept(text) : value);
    }
  }

  /// A text without the characters that UTF-8 or a database has no place for.
  private static String kept(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) == 0 || Character.isSurrogate(text.charAt(i))) {
        return text.codePoints()
            .map(c -> c == 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c)
            .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
            .toString();
      }
    }
    return text;
  }

  /// Remarks hold printable text only, so a tab and a line end can part them.
  private static String remarks(List<Note> remarks) {
    List<String> lines = new ArrayList<>();
    for (Note note : remarks) {
      lines.add(Printable.of(note.topic()) + "\t" + Printable.of(note.text()));
    }
    return String.join("\n", lines);
  }

  /// The entry of a row of [#SELECTED].
  static CatalogueEntry entry(CatalogueRow row) throws SQLException, MalformedFileException {
    List<Note> remarks = new ArrayList<>();
    for (String line : lines(row.text("remarks"))) {
      int tab = line.indexOf('\t');
      remarks.add(new Note(line.substring(0, Math.max(0, tab)), line.substring(tab + 1)));
    }
    String causes = row.textOrNone("causes");
    return new CatalogueEntry(
        row.text("origin"),
        new FileUri(row.text("location")),
        row.text("path"),
        CatalogueEntry.State.of(row.text("state")),
        row.text("host"),
        row.text("named_time"),
        row.number("bytes", 0, Long.MAX_VALUE),
        row.text("identity"),
        row.text("head_hash"),
        row.text("tail_hash"),
        lines(row.text("files")),
        row.text("tool"),
        row.number("judged_at", 0, KernelFacts.PanicFacts.LAST_SECOND),
        row.seconds("seconds"),
        row.text("verdict"),
        row.text("summary"),
        problem(row.text("problem_kind")),
        row.text("problem"),
        row.text("format"),
        row.text("release"),
        row.text("machine"),
        row.text("nodename"),
        // What an older version took from a dump as it was.
        time(row.number("crash_time", Long.MIN_VALUE, Long.MAX_VALUE)),
        row.text("panic"),
        new CrashSignature(row.text("panic_signature"), row.text("panic_text")),
        new CrashSignature(row.text("damage_signature"), row.text("damage_text")),
        causes.isEmpty() ? List.of() : List.of(causes.split(" ")),
        remarks,
        row.number("vanished", 0, 1) != 0,
        row.textOrNone("duplicate_of"));
  }

  /// The columns of a list, which all stand in the index `incident_list` of SQLite, in the order of
  /// the list, as one text: of a million rows, each value by itself costs more than finding it. The
  /// release comes last: of all these it alone is a dump's word and may hold a line end.
  static final String LINE =
      Stream.of(
              "incident.location",
              "incident.origin",
              "incident.id",
              "incident.state",
              "incident.verdict",
              "incident.crash_time",
              "incident.vanished",
              "coalesce(copies.original, '')",
              "incident.release")
          .collect(Collectors.joining(" || '\n' || ", "", " AS line"));

  /// A row of [#LINE].
  static Catalogue.Line line(CatalogueRow row) throws SQLException, MalformedFileException {
    CatalogueRow.Parts parts = row.parts("line", 9);
    IncidentKey key = new IncidentKey(parts.text(1), new FileUri(parts.text(0)));
    return new Catalogue.Line(
        key,
        parts.id(2),
        CatalogueEntry.State.of(parts.text(3)),
        parts.text(4),
        parts.text(8),
        time(parts.number(5, Long.MIN_VALUE, Long.MAX_VALUE)),
        parts.number(6, 0, 1) != 0,
        parts.text(7).isEmpty() ? "" : parts.id(7));
  }

  /// The columns that a rescan needs.
  static final String KNOWN =
      "origin, location, identity, tool, verdict, problem_kind, state, vanished, judged_at";

  /// A row of [#KNOWN].
  static Catalogue.Known known(CatalogueRow row) throws SQLException, MalformedFileException {
    return new Catalogue.Known(
        new IncidentKey(row.text("origin"), new FileUri(row.text("location"))),
        row.text("identity"),
        row.text("tool"),
        row.text("verdict"),
        problem(row.text("problem_kind")),
        CatalogueEntry.State.of(row.text("state")).isWithoutDump(),
        row.number("vanished", 0, 1) != 0,
        row.number("judged_at", 0, KernelFacts.PanicFacts.LAST_SECOND));
  }

  private static CatalogueEntry.Problem problem(String name) {
    for (CatalogueEntry.Problem problem : CatalogueEntry.Problem.values()) {
      if (problem.name().equals(name)) {
        return problem;
      }
    }
    return CatalogueEntry.Problem.BUG;
  }

  private static long time(long seconds) {
    return seconds < 0 || seconds > KernelFacts.PanicFacts.LAST_SECOND ? 0 : seconds;
  }

  private static List<String> lines(String text) {
    return text.isEmpty() ? List.of() : List.of(text.split("\n"));
  }
}
