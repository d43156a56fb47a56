package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Catalogues and policies of other people's making: refused in one line, in time and in memory.
class HostileFilesTest {
  private static final List<String> COLUMNS =
      Arrays.asList(
          ("location id path state host named_time bytes identity head_hash tail_hash files tool"
                  + " judged_at seconds verdict summary problem_kind problem format release machine"
                  + " nodename crash_time panic panic_signature panic_text damage_signature"
                  + " damage_text remarks vanished")
              .split(" "));

  @TempDir private Path dir;

  private Path catalogue(String... statements) throws Exception {
    Path file = dir.resolve("c.sqlite");
    List<String> all = new ArrayList<>(List.of(statements));
    all.add("CREATE TABLE cause(location, cause)");
    all.add("CREATE TABLE report(location, deflated)");
    all.add("PRAGMA application_id = " + 0x766d636b);
    all.add("PRAGMA user_version = 2");
    SqliteLibrary.load();
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        Statement statement = connection.createStatement()) {
      for (String one : all) {
        statement.execute(one);
      }
    }
    return file;
  }

  private static void assertRefused(Path file) {
    assertThatThrownBy(
            () -> {
              try (Catalogue catalogue = Catalogue.read(file)) {
                catalogue.entries(Selection.ALL);
              }
            })
        .isInstanceOf(IOException.class)
        .message()
        .hasLineCount(1)
        .hasSizeLessThan(500);
  }

  @Test
  void aCatalogueOfNothingButNulls() throws Exception {
    assertRefused(
        catalogue(
            "CREATE TABLE incident(" + String.join(",", COLUMNS) + ")",
            "INSERT INTO incident(location) VALUES('x')"));
  }

  @Test
  void aCatalogueThatIsAViewOfHugeValues() throws Exception {
    assertRefused(
        catalogue(
            "CREATE VIEW incident AS SELECT "
                + COLUMNS.stream()
                    .map(
                        name ->
                            (name.equals("summary") ? "CAST(zeroblob(300000000) AS TEXT)" : "'x'")
                                + " AS "
                                + name)
                    .collect(Collectors.joining(","))));
  }

  @Test
  void aPolicyThatNests() throws Exception {
    Path policy = dir.resolve("policy.yaml");
    Files.writeString(policy, "name: " + "[".repeat(200_000) + "]".repeat(200_000) + "\n");
    assertThatThrownBy(() -> PolicyReader.read(policy.toString()))
        .isInstanceOf(IOException.class)
        .message()
        .hasLineCount(1)
        .hasSizeLessThan(500);
  }
}
