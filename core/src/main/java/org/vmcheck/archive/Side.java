package org.vmcheck.archive;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.json.ReportReader;

/// One side of a comparison: one report, or many that are taken together.
///
/// @param name what the user called it
/// @param reports at least one
/// @param leftOut what was selected and could not be compared, and why
public record Side(String name, List<DumpReport> reports, List<String> leftOut) {
  /// The most reports that one side may hold in memory.
  private static final int MAX_REPORTS = 10_000;

  /// The text and what is made of it are in memory at once.
  private static final long MAX_BYTES = Math.min(256L << 20, Runtime.getRuntime().maxMemory() / 6);

  public Side {
    reports = List.copyOf(reports);
    leftOut = List.copyOf(leftOut);
    if (reports.isEmpty()) {
      throw new IllegalArgumentException("a side needs a report");
    }
  }

  public static Side of(String name, DumpReport report) {
    return new Side(name, List.of(report), List.of());
  }

  /// Whether a word asks for a selection of the catalogue: `kernel=6.1.190,verdict=intact`.
  public static boolean isSelection(String word) {
    return word.matches("(kernel|verdict|cause|host|since|until|signature)=.*");
  }

  /// Whether a file holds reports and not a dump: JSON begins with a brace, a dump never does.
  public static boolean isReport(Path file) throws IOException {
    try (var in = Files.newInputStream(file)) {
      for (int i = 0; i < 64; i++) {
        int c = in.read();
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
          return c == '{';
        }
      }
    }
    return false;
  }

  /// Reads a file of one report, or of one a line, as `check --format json` writes them.
  public static Side ofReports(Path file) throws IOException {
    if (Files.size(file) > MAX_BYTES) {
      throw new MalformedFileException(
          "[%s] reports: expected at most %d bytes, got %d"
              .formatted(file, MAX_BYTES, Files.size(file)));
    }
    String text;
    try {
      text = Files.readString(file);
    } catch (java.nio.charset.CharacterCodingException _) {
      throw new MalformedFileException("[" + file + "] reports: not UTF-8");
    }
    List<DumpReport> reports = new ArrayList<>();
    List<String> lines = text.lines().filter(line -> !line.isBlank()).toList();
    boolean isOneALine = lines.size() > 1 && lines.get(1).startsWith("{");
    if (isOneALine) {
      for (String line : lines.subList(0, Math.min(lines.size(), MAX_REPORTS))) {
        reports.add(ReportReader.read("%s, report %d".formatted(file, reports.size() + 1), line));
      }
    } else {
      reports.add(ReportReader.read(file.toString(), text));
    }
    return new Side(
        file.toString(),
        reports,
        reports.size() < lines.size() && isOneALine
            ? List.of("%d reports: only %d are compared".formatted(lines.size(), MAX_REPORTS))
            : List.of());
  }

  /// The reports of a catalogue's incidents.
  ///
  /// @param words `key=value` with a comma between: kernel (a release or the start of one),
  ///   verdict, cause, host, since and until (days, the last included), signature
  /// @throws SelectionException if the words make no sense or select nothing
  /// @throws IOException if the catalogue cannot be read
  public static Side ofCatalogue(Catalogue catalogue, String words)
      throws IOException, SelectionException {
    Map<String, String> terms = terms(words);
    String host = terms.getOrDefault("host", "");
    String kernel = terms.getOrDefault("kernel", "");
    long since = day(terms, "since");
    long until = day(terms, "until");
    Selection selection =
        new Selection(
            terms.getOrDefault("verdict", ""),
            terms.getOrDefault("cause", ""),
            kernel,
            host,
            since,
            until == 0 ? 0 : until + 86_400,
            terms.getOrDefault("signature", ""),
            false);
    List<DumpReport> reports = new ArrayList<>();
    List<String> leftOut = new ArrayList<>();
    for (CatalogueEntry entry : catalogue.entries(selection)) {
      String reason = "";
      Optional<DumpReport> report = Optional.empty();
      if (entry.vanished()) {
        reason = "no longer there";
      } else if (entry.state() == CatalogueEntry.State.SELF_TEST) {
        reason = "a self-test";
      } else if (!entry.duplicateOf().isEmpty()) {
        reason = "a copy of " + entry.duplicateOf();
      } else if (reports.size() == MAX_REPORTS) {
        reason = "more than %d dumps".formatted(MAX_REPORTS);
      } else {
        report = catalogue.report(entry);
        reason = entry.problem().isEmpty() ? "no report" : entry.problem();
      }
      if (report.isPresent()) {
        reports.add(report.get());
      } else {
        leftOut.add(entry.path() + ": " + reason);
      }
    }
    if (reports.isEmpty()) {
      throw new SelectionException(
          words + " selects no dump that was checked" + (leftOut.isEmpty() ? "" : ": " + leftOut));
    }
    return new Side(words, reports, leftOut);
  }

  private static Map<String, String> terms(String words) throws SelectionException {
    Map<String, String> terms = new LinkedHashMap<>();
    for (String term : words.split(",", -1)) {
      int sign = term.indexOf('=');
      if (!isSelection(term) || sign == term.length() - 1) {
        throw new SelectionException(
            "expected kernel=, verdict=, cause=, host=, since=, until= or signature= with a value,"
                + " got '"
                + term
                + "'");
      }
      if (terms.put(term.substring(0, sign), term.substring(sign + 1)) != null) {
        throw new SelectionException("'" + term.substring(0, sign) + "=' is there twice");
      }
    }
    return terms;
  }

  private static long day(Map<String, String> terms, String name) throws SelectionException {
    String text = terms.get(name);
    if (text == null) {
      return 0;
    }
    try {
      return LocalDate.parse(text).atStartOfDay(ZoneOffset.UTC).toEpochSecond();
    } catch (DateTimeException _) {
      throw new SelectionException(
          "'" + name + "=': expected a day such as 2026-11-22, got " + text);
    }
  }

  /// `the name`, or `12 dumps (kernel=6.1.190)`.
  public String words() {
    return reports.size() == 1 ? name : "%d dumps (%s)".formatted(reports.size(), name);
  }
}
