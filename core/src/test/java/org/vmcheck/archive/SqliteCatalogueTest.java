package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.TestData;

/// The catalogue in an SQLite file, and files of older versions.
class SqliteCatalogueTest extends CatalogueContract {
  /// What version 2 made, as it made it.
  private static final List<String> SECOND_VERSION =
      List.of(
          """
          CREATE TABLE incident (
            location TEXT PRIMARY KEY, id TEXT NOT NULL, path TEXT NOT NULL,
            state TEXT NOT NULL, host TEXT NOT NULL, named_time TEXT NOT NULL,
            bytes INTEGER NOT NULL, identity TEXT NOT NULL, head_hash TEXT NOT NULL,
            tail_hash TEXT NOT NULL, files TEXT NOT NULL, tool TEXT NOT NULL,
            judged_at INTEGER NOT NULL, seconds REAL NOT NULL, verdict TEXT NOT NULL,
            summary TEXT NOT NULL, problem_kind TEXT NOT NULL, problem TEXT NOT NULL,
            format TEXT NOT NULL, release TEXT NOT NULL, machine TEXT NOT NULL,
            nodename TEXT NOT NULL, crash_time INTEGER NOT NULL, panic TEXT NOT NULL,
            panic_signature TEXT NOT NULL, panic_text TEXT NOT NULL,
            damage_signature TEXT NOT NULL, damage_text TEXT NOT NULL,
            remarks TEXT NOT NULL, vanished INTEGER NOT NULL DEFAULT 0)
          """,
          """
          CREATE TABLE cause (
            location TEXT NOT NULL REFERENCES incident(location) ON DELETE CASCADE,
            cause TEXT NOT NULL, PRIMARY KEY (location, cause)) WITHOUT ROWID
          """,
          """
          CREATE TABLE report (
            location TEXT PRIMARY KEY REFERENCES incident(location) ON DELETE CASCADE,
            deflated BLOB NOT NULL)
          """,
          "CREATE INDEX incident_content ON incident(bytes, head_hash, tail_hash)",
          "CREATE INDEX incident_id ON incident(id)",
          "CREATE INDEX incident_panic ON incident(panic_signature)",
          "CREATE INDEX incident_damage ON incident(damage_signature)",
          "CREATE INDEX cause_cause ON cause(cause)",
          "PRAGMA application_id = 1986880363",
          "PRAGMA user_version = 2");

  @TempDir private Path dir;

  @Override
  Catalogue catalogue(String name) throws IOException {
    return Catalogue.write(dir.resolve(name));
  }

  @Override
  void endLeases(String name) throws Exception {
    sql(dir.resolve(name), List.of("UPDATE work SET until = 0"));
  }

  private static void sql(Path file, List<String> statements) throws Exception {
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        Statement statement = connection.createStatement()) {
      for (String sql : statements) {
        statement.execute(sql);
      }
    }
  }

  private static void old(Path file, String... rows) throws Exception {
    List<String> statements = new ArrayList<>(SECOND_VERSION);
    for (String row : rows) {
      statements.add(row);
    }
    sql(file, statements);
  }

  private static String row(FileUri location, String identity, String verdict) {
    return "INSERT INTO incident VALUES ('"
        + location.uri()
        + "', '0', '"
        + location.words()
        + "', 'complete', '', '', 1, '"
        + identity
        + "', 'h', 't', '', 'old', 1, 1.0, '"
        + verdict
        + "', 's', 'NONE', '', '', '', '', '', 0, '', '', '', '', '', '', 0)";
  }

  /// How SQLite goes about a query.
  private List<String> plan(String query) throws Exception {
    catalogue("one").close();
    List<String> plan = new ArrayList<>();
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + dir.resolve("one"));
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("EXPLAIN QUERY PLAN " + query)) {
      while (row.next()) {
        plan.add(row.getString("detail"));
      }
    }
    return plan;
  }

  /// A signature may be that of half a million rows; equal hashes are of few.
  @Test
  void copiesAreLookedForByTheirContent() throws Exception {
    assertThat(
            plan(
                IncidentColumns.WITH_COPIES
                    + "SELECT "
                    + IncidentColumns.SELECTED
                    + IncidentColumns.FROM))
        .filteredOn(step -> step.contains("SEARCH incident "))
        .isNotEmpty()
        .allMatch(step -> step.contains("USING INDEX incident_content"));
  }

  @Test
  void aListIsReadFromItsIndexAlone() throws Exception {
    List<String> plan =
        plan(
            IncidentColumns.WITH_COPIES
                + "SELECT "
                + IncidentColumns.LINE
                + IncidentColumns.from(" INDEXED BY incident_list")
                + "ORDER BY incident.location, incident.origin");
    // The only sort is that of the copies.
    assertThat(plan).contains("SCAN incident USING COVERING INDEX incident_list");
    assertThat(plan.getLast()).startsWith("SEARCH copies");
  }

  @Test
  void aStoredIdThatIsNoneIsRefused() throws Exception {
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(SyntheticFleet.entry(1), Optional.empty());
    }
    for (String change :
        List.of("id = 'f00'", "id = '\u001b[2Jabcdefgh'", "crash_time = 'now'", "vanished = 2")) {
      try (Connection connection =
              DriverManager.getConnection("jdbc:sqlite:" + dir.resolve("one"));
          Statement statement = connection.createStatement()) {
        statement.execute("UPDATE incident SET " + change);
      }
      try (Catalogue catalogue = catalogue("one")) {
        assertThatThrownBy(() -> catalogue.forEachLine(Selection.ALL, _ -> {}))
            .isInstanceOf(MalformedFileException.class);
      }
    }
  }

  @Test
  void aReleaseWithALineEndIsListed() throws Exception {
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(SyntheticFleet.entry(1), Optional.empty());
    }
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + dir.resolve("one"));
        Statement statement = connection.createStatement()) {
      statement.execute("UPDATE incident SET release = '6.1' || char(10) || '0'");
    }
    List<String> releases = new ArrayList<>();
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.forEachLine(Selection.ALL, line -> releases.add(line.release()));
    }
    assertThat(releases).containsExactly("6.1\n0");
  }

  @Test
  void rowsOfAnOlderVersionStayAndGetAnOriginThatSaysSo() throws Exception {
    FileUri location = FileUri.of(Path.of("/var/crash/1/vmcore"));
    Path one = dir.resolve("one.sqlite");
    Path two = dir.resolve("two.sqlite");
    String causes = "INSERT INTO cause VALUES ('" + location.uri() + "', 'bit-flip')";
    old(one, row(location, "i", "kernel-damaged"), causes);
    old(two, row(location, "j", "intact"));

    try (Catalogue first = Catalogue.write(one);
        Catalogue second = Catalogue.write(two)) {
      CatalogueEntry damaged = first.entries(Selection.ALL).getFirst();
      assertThat(damaged.origin()).matches("unrecorded-[0-9a-f]{8}");
      assertThat(damaged.causes()).containsExactly("bit-flip");
      assertThat(first.find(damaged.id())).containsExactly(damaged);

      // Two hosts of the same minute, neither of which is written down.
      assertThat(first.merge(second)).isEqualTo(1);
      assertThat(first.entries(Selection.ALL))
          .extracting(CatalogueEntry::verdict)
          .containsExactlyInAnyOrder("kernel-damaged", "intact");
    }
    Catalogue.read(one).close();
  }

  @Test
  void aScanThatMeetsTheSameFilesKnowsWhoseTheyAre() throws Exception {
    Path tree = Files.createDirectories(dir.resolve("crash/a"));
    Files.copy(TestData.named("healthy").dump(), tree.resolve("vmcore"));
    List<Incident> found = new ArrayList<>();
    Incidents.find(
        dir.resolve("crash"),
        new Incidents.Sink() {
          @Override
          public void incident(Incident incident) {
            found.add(incident);
          }

          @Override
          public void problem(FileUri where, String what, boolean complete) {}
        });
    Incident incident = found.getFirst();
    FileUri elsewhere = FileUri.of(tree.resolve("other"));
    Path file = dir.resolve("c.sqlite");
    old(
        file,
        row(incident.location(), incident.identity(), "intact"),
        row(elsewhere, "x", "intact"));

    BatchScanner.Summary summary;
    try (Catalogue catalogue = Catalogue.write(file)) {
      summary =
          BatchScanner.scan(
              catalogue,
              new BatchScanner.Options(
                  List.of(dir.resolve("crash")),
                  "host-a",
                  1,
                  AnalysisOptions.DEFAULT,
                  Shard.WHOLE,
                  false,
                  "t"),
              new BatchScanner.Listener() {
                @Override
                public void planned(int toJudge, long bytes, int unchanged) {}

                @Override
                public void judged(CatalogueEntry entry) {}

                @Override
                public void problem(FileUri where, String what) {}
              });
      assertThat(summary.unchanged()).isEqualTo(1);
      assertThat(summary.vanished()).isZero();
      assertThat(catalogue.entries(Selection.ALL))
          .extracting(entry -> entry.origin().replaceFirst("-[0-9a-f]{8}", ""))
          .containsExactly("unrecorded", "host-a");
    }
  }
}
