package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.testing.PostgresServer;
import org.vmcheck.testing.TestData;

/// The catalogue in a real PostgreSQL.
class PostgresCatalogueTest extends CatalogueContract {
  private static final AtomicInteger SCHEMAS = new AtomicInteger();

  private PostgresServer server;
  private final Map<String, String> schemas = new HashMap<>();

  @BeforeEach
  void findServer() throws Exception {
    Optional<PostgresServer> running = PostgresServer.shared();
    assumeTrue(running.isPresent(), "PostgreSQL is not installed");
    server = running.get();
  }

  private String schema(String name) throws IOException {
    String schema = schemas.get(name);
    if (schema == null) {
      schema = "s" + SCHEMAS.incrementAndGet();
      schemas.put(name, schema);
      sql("CREATE SCHEMA " + schema);
    }
    return schema;
  }

  private void sql(String... statements) throws IOException {
    try {
      server.sql(statements);
    } catch (SQLException failure) {
      throw new IOException(failure);
    }
  }

  @Override
  Catalogue catalogue(String name) throws IOException {
    return Catalogue.write(server.url("owner", schema(name)));
  }

  @Override
  void endLeases(String name) throws IOException {
    sql("UPDATE " + schema(name) + ".work SET until = 0");
  }

  @Test
  void aLostConnectionCostsNothing() throws Exception {
    CatalogueEntry first = SampleEntries.damaged("a", "/srv/1/vmcore", "x", 1);
    CatalogueEntry second = SampleEntries.damaged("a", "/srv/2/vmcore", "y", 1);
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(first, Optional.empty());
      sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
              + " WHERE application_name = 'vmcheck'");

      catalogue.put(second, Optional.empty());

      assertThat(catalogue.entries(Selection.ALL)).containsExactly(first, second);
    }
  }

  /// The roles of `scripts/fleet`: who looks changes nothing, who scans makes no tables.
  @Test
  void rolesNeedNoMoreThanTheirWork() throws Exception {
    String schema = schema("one");
    String reader = "reader_" + schema;
    String worker = "worker_" + schema;
    String roles =
        Files.readString(
            TestData.named("healthy")
                .dump()
                .resolve("../../../scripts/fleet/postgresql-roles.sql")
                .normalize());
    sql("CREATE ROLE " + reader + " LOGIN PASSWORD", "CREATE ROLE " + worker + " LOGIN PASSWORD");
    assertThatThrownBy(() -> Catalogue.write(server.url(worker, schema)))
        .isInstanceOf(CatalogueException.class);
    catalogue("one").close();
    sql(
        roles
            .replaceAll("(?m)^--.*$", "")
            .replaceAll("(?m)^CREATE ROLE.*$", "")
            .replace("vmcheck_reader", reader)
            .replace("vmcheck_worker", worker)
            .replace("SCHEMA public", "SCHEMA " + schema));
    CatalogueEntry entry = SampleEntries.damaged("a", "/srv/1/vmcore", "x", 1);

    try (Catalogue catalogue = Catalogue.write(server.url(worker, schema))) {
      catalogue.put(entry, Optional.empty());
      assertThat(catalogue.claim(entry.key(), 1, Claimant.ofThisScan())).isTrue();
    }
    try (Catalogue catalogue = Catalogue.read(server.url(reader, schema))) {
      assertThat(catalogue.entries(Selection.ALL)).containsExactly(entry);
    }
    try (Catalogue catalogue = Catalogue.write(server.url(reader, schema))) {
      assertThatThrownBy(() -> catalogue.remove(List.of(entry.key())))
          .isInstanceOf(CatalogueException.class)
          .hasMessageContaining("this role has no right to do that");
    }
  }

  @Test
  void whatIsNoCatalogueIsRefusedAndLeft() throws Exception {
    String url = server.url("owner", schema("one"));
    assertThatThrownBy(() -> Catalogue.read(url))
        .isInstanceOf(CatalogueException.class)
        .hasMessageContaining("there is no catalogue in it: a scan makes one");
    sql("CREATE TABLE " + schema("one") + ".incident (theirs TEXT)");
    assertThatThrownBy(() -> Catalogue.write(url))
        .hasMessageContaining("has tables of another program, which are left as they are");
    sql("DROP TABLE " + schema("one") + ".incident");
    Catalogue.write(url).close();
    sql("UPDATE " + schema("one") + ".vmcheck_schema SET version = 99");
    assertThatThrownBy(() -> Catalogue.read(url))
        .hasMessageContaining("was written by a newer vmcheck (schema 99");
  }

  @ParameterizedTest
  @CsvSource({
    "postgresql://u:p@h/d, a password on a command line is seen by everybody",
    "postgresql://h, expected postgresql://USER@HOST:PORT/DATABASE",
    "postgresql://h/d?socketFactory=x, socketFactory: expected one of sslmode",
    "postgresql://h/d e, expected postgresql://USER@HOST:PORT/DATABASE",
  })
  void addressesThatAreNoneAreRefused(String place, String what) {
    assertThatThrownBy(() -> Catalogue.read(place))
        .isInstanceOf(CatalogueException.class)
        .hasMessageContaining(what);
  }

  @Test
  void aServerThatIsNotThereIsSaidInOneLine() {
    assertThatThrownBy(() -> Catalogue.read("postgresql://a@127.0.0.1:1/d"))
        .isInstanceOf(CatalogueException.class)
        .hasMessageContaining("the connection failed: ")
        .hasMessageNotContaining("\n");
  }

  @Test
  void sqliteIsRefusedOnTheFileSystemsOfOtherMachines() {
    for (String type : List.of("nfs4", "cifs", "lustre", "fuse.sshfs")) {
      assertThat(SqliteDatabase.isNetwork(type)).isTrue();
    }
    for (String type : List.of("ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs")) {
      assertThat(SqliteDatabase.isNetwork(type)).isFalse();
    }
  }

  @Test
  void catalogueFilesMoveIn() throws Exception {
    Path file = Files.createTempDirectory("vmcheck").resolve("c.sqlite");
    CatalogueEntry entry = SampleEntries.damaged("a", "/srv/1/vmcore", "x", 1);
    try (Catalogue local = Catalogue.write(file);
        Catalogue fleet = catalogue("one")) {
      local.put(entry, Optional.of(org.vmcheck.testing.SampleReports.damaged()));

      assertThat(fleet.merge(local)).isEqualTo(1);
      assertThat(fleet.entries(Selection.ALL)).containsExactly(entry);
      assertThat(fleet.report(entry)).isPresent();
      local.remove(List.of(entry.key()));
      assertThat(local.merge(fleet)).isEqualTo(1);
      assertThat(local.report(entry)).isPresent();
    }
  }
}
