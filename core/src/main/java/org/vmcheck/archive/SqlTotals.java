package org.vmcheck.archive;

import java.sql.SQLException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.io.MalformedFileException;

/// Totals that the database makes itself: of a million rows no more than the sums come out.
final class SqlTotals {
  private static final int DAYS_A_WEEK = 7;

  /// Seconds by which the first Monday, 1970-01-05, is later than the start of 1970.
  private static final long FIRST_MONDAY = 4 * 86_400L;

  private static final long WEEK_SECONDS = DAYS_A_WEEK * 86_400L;

  /// Orders texts as numbers are ordered, and brings the id of the latest along.
  private static final String STAMPED_ID =
      "substr('000000000000' || crash_time, length('000000000000' || crash_time) - 11) || id";

  private static final int STAMP_CHARS = 12;

  private final Selection selection;
  private final List<Object> values = new ArrayList<>();

  SqlTotals(Selection selection) {
    this.selection = selection;
  }

  /// The values of the statement made last, in order.
  List<Object> values() {
    return List.copyOf(values);
  }

  private String where(String more) {
    String where = selection.where(values);
    return where.isEmpty() ? " WHERE " + more : " " + where + " AND " + more;
  }

  private static String key(CrashGroup.By by) {
    return switch (by) {
      case PANIC -> "panic_signature";
      case DAMAGE -> "damage_signature";
      case KERNEL -> "release";
      case HOST ->
          "CASE WHEN nodename <> '' THEN nodename WHEN host <> '' THEN host ELSE origin END";
      case VERDICT -> "verdict";
      case CAUSE -> "cause.cause";
    };
  }

  /// Of one of a cell: that of all would be read from all rows, and is the same.
  private static String of(String column) {
    return "(SELECT words." + column + " FROM incident words WHERE words.number = cells.sample)";
  }

  private static String text(CrashGroup.By by) {
    return switch (by) {
      case PANIC -> of("panic_text");
      case DAMAGE -> of("damage_text");
      case KERNEL, HOST, VERDICT, CAUSE -> "''";
    };
  }

  /// The largest groups, cell by cell of kernel and verdict.
  String groups(CrashGroup.By by, int top) {
    values.clear();
    String from =
        by == CrashGroup.By.CAUSE
            ? IncidentColumns.FROM + "JOIN cause ON cause.number = incident.number"
            : IncidentColumns.FROM;
    String sql =
        IncidentColumns.WITH_COPIES
            + ", cells AS MATERIALIZED (SELECT "
            + key(by)
            + " AS shared, max(incident.number) AS sample, release, verdict, count(*) AS members,"
            + " max(crash_time) AS crashed, max("
            + STAMPED_ID
            + ") AS stamped"
            + from
            + where(IncidentColumns.COUNTED)
            + (" AND " + key(by) + " <> ''")
            + " GROUP BY 1, release, verdict),"
            + " sums AS (SELECT shared, sum(members) AS everyone FROM cells GROUP BY shared),"
            + " tops AS (SELECT shared, everyone FROM sums ORDER BY everyone DESC, shared LIMIT ?)"
            + " SELECT cells.shared, release, verdict, members, crashed, stamped, "
            + text(by)
            + " AS words, (SELECT count(*) FROM sums) AS groups,"
            + " (SELECT sum(everyone) FROM sums) AS keyed"
            + " FROM tops JOIN cells ON cells.shared = tops.shared"
            + " ORDER BY tops.everyone DESC, tops.shared";
    values.add((long) top);
    return sql;
  }

  /// Puts the cells of [#groups] together.
  static final class Gatherer {
    private final List<CrashGroup> groups = new ArrayList<>();
    private final Set<String> kernels = new TreeSet<>();
    private final Set<String> verdicts = new TreeSet<>();
    private final List<String> stamped = new ArrayList<>();
    private String key = "";
    private String text = "";
    private long count;
    private long lastCrash;
    private long shown;
    private long all;
    private long keyed;

    void cell(CatalogueRow row) throws SQLException, MalformedFileException {
      String shared = row.text("shared");
      if (!shared.equals(key)) {
        end();
        key = shared;
      }
      text = row.text("words");
      if (!row.text("release").isEmpty() && kernels.size() < MAX_KERNELS) {
        kernels.add(row.text("release"));
      }
      verdicts.add(row.text("verdict"));
      stamped.add(row.text("stamped"));
      count += row.number("members", 0, Long.MAX_VALUE);
      lastCrash = Math.max(lastCrash, row.number("crashed", 0, Long.MAX_VALUE));
      all = row.number("groups", 0, Long.MAX_VALUE);
      keyed = row.sum("keyed");
    }

    private void end() {
      if (key.isEmpty()) {
        return;
      }
      List<String> newest =
          stamped.stream()
              .sorted(Comparator.reverseOrder())
              .limit(CrashGroup.MAX_NEWEST)
              .map(stamp -> stamp.substring(STAMP_CHARS))
              .toList();
      groups.add(
          new CrashGroup(
              key,
              text,
              count,
              new TreeSet<>(kernels),
              new TreeSet<>(verdicts),
              lastCrash,
              newest));
      shown += count;
      count = 0;
      lastCrash = 0;
      kernels.clear();
      verdicts.clear();
      stamped.clear();
    }

    Tally.Groups result() {
      end();
      return new Tally.Groups(groups, all, keyed, shown);
    }
  }

  /// Kernels of a group that are named.
  private static final int MAX_KERNELS = 200;

  String tally() {
    values.clear();
    return IncidentColumns.WITH_COPIES
        + "SELECT count(*) AS selected, sum(CASE WHEN "
        + IncidentColumns.IS_COPY
        + " THEN 1 ELSE 0 END) AS copies, sum(CASE WHEN state = 'self-test' AND NOT ("
        + IncidentColumns.IS_COPY
        + ") THEN 1 ELSE 0 END) AS tests, sum(vanished) AS gone"
        + IncidentColumns.FROM
        + selection.where(values);
  }

  static Tally tally(CatalogueRow row) throws SQLException, MalformedFileException {
    return new Tally(
        row.number("selected", 0, Long.MAX_VALUE),
        row.sum("copies"),
        row.sum("tests"),
        row.sum("gone"));
  }

  /// Counts by week, kernel, and verdict or cause.
  String trend(boolean byCause) {
    values.clear();
    String counted = where(IncidentColumns.COUNTED);
    String sql =
        IncidentColumns.WITH_COPIES
            + ", tops AS MATERIALIZED (SELECT release"
            + IncidentColumns.FROM
            + counted
            + " GROUP BY release ORDER BY count(*) DESC, release LIMIT "
            + Trend.MAX_KERNELS
            + ") SELECT CASE WHEN crash_time > 0 THEN (crash_time - "
            + FIRST_MONDAY
            + " + "
            + WEEK_SECONDS
            + ") / "
            + WEEK_SECONDS
            + " ELSE -1 END AS week, CASE WHEN release IN (SELECT tops.release FROM tops)"
            + " THEN release ELSE '"
            + Trend.OTHERS
            + "' END AS kernel, "
            + (byCause ? "cause.cause" : "verdict")
            + " AS kind, count(*) AS members"
            + IncidentColumns.FROM
            + (byCause ? "JOIN cause ON cause.number = incident.number" : "")
            + counted
            + " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    List<Object> twice = List.copyOf(values);
    values.addAll(twice);
    return sql;
  }

  /// Puts the rows of both trends together.
  static final class Weeks {
    private record Cell(LocalDate week, String kernel) {}

    private final Map<Cell, Map<String, Long>> verdicts = new LinkedHashMap<>();
    private final Map<Cell, Map<String, Long>> causes = new LinkedHashMap<>();

    void verdict(CatalogueRow row) throws SQLException, MalformedFileException {
      add(verdicts, row);
    }

    void cause(CatalogueRow row) throws SQLException, MalformedFileException {
      add(causes, row);
    }

    private static void add(Map<Cell, Map<String, Long>> counts, CatalogueRow row)
        throws SQLException, MalformedFileException {
      long week = row.number("week", -1, Integer.MAX_VALUE);
      LocalDate monday =
          week < 0 ? Trend.UNKNOWN : LocalDate.ofEpochDay(4 + (week - 1) * DAYS_A_WEEK);
      counts
          .computeIfAbsent(new Cell(monday, row.text("kernel")), _ -> new TreeMap<>())
          .put(row.text("kind"), row.number("members", 0, Long.MAX_VALUE));
    }

    List<Trend> result() {
      List<Trend> trends = new ArrayList<>();
      verdicts.forEach(
          (cell, counts) ->
              trends.add(
                  Trend.of(cell.week, cell.kernel, counts, causes.getOrDefault(cell, Map.of()))));
      return trends;
    }
  }
}
