package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The conventions of `/var/crash`, without opening a dump.
class IncidentsTest {
  @TempDir private Path dir;
  private final List<String> problems = new ArrayList<>();

  private void file(String path, String content) throws IOException {
    Path file = dir.resolve(path);
    Files.createDirectories(file.getParent());
    Files.writeString(file, content, StandardCharsets.ISO_8859_1);
  }

  private void kdump(String path) throws IOException {
    file(path, "KDUMP   " + "\0".repeat(56));
  }

  private void flattened(String path) throws IOException {
    file(path, "makedumpfile\0\0\0\0" + "\0".repeat(48));
  }

  /// Incidents by the path of their main file.
  private Map<String, Incident> find() throws IOException {
    Map<String, Incident> found = new TreeMap<>();
    Path root = dir.toRealPath();
    Incidents.find(
        dir,
        new Incidents.Sink() {
          @Override
          public void incident(Incident incident) {
            try {
              found.put(root.relativize(incident.location().path()).toString(), incident);
            } catch (IOException e) {
              throw new AssertionError(e);
            }
          }

          @Override
          public void problem(FileUri where, String what, boolean complete) {
            problems.add(where.words() + ": " + what);
          }
        });
    return found;
  }

  @Test
  void redHatDirectory() throws Exception {
    kdump("127.0.0.1-2026-11-22-13:23:40/vmcore");
    file("127.0.0.1-2026-11-22-13:23:40/vmcore-dmesg.txt", "[    0.0] x\n");
    file("127.0.0.1-2026-11-22-13:23:40/kexec-dmesg.log", "x\n");

    Incident incident = find().get("127.0.0.1-2026-11-22-13:23:40/vmcore");

    assertThat(incident.host()).isEqualTo("127.0.0.1");
    assertThat(incident.namedTime()).isEqualTo("2026-11-22-13:23:40");
    assertThat(incident.sideCars())
        .extracting(SideCar::kind)
        .containsExactlyInAnyOrder(SideCar.Kind.DMESG, SideCar.Kind.CAPTURE_LOG);
    assertThat(incident.selfTest()).isFalse();
  }

  @Test
  void debianDirectoryAndFlatUpload() throws Exception {
    flattened("202611221323/dump.202611221323");
    file("202611221323/dmesg.202611221323", "x\n");
    flattened("ftp/dump.202601010000");
    flattened("ftp/dump.202602020000");
    file("ftp/dmesg.202601010000", "x\n");
    file("ftp/dmesg.202603030000", "x\n");
    file("ftp/kexec_cmd", "kexec -p\n");

    Map<String, Incident> found = find();

    assertThat(found)
        .containsOnlyKeys(
            "202611221323/dump.202611221323",
            "ftp/dump.202601010000",
            "ftp/dump.202602020000",
            "ftp/dmesg.202603030000");
    assertThat(found.get("202611221323/dump.202611221323").sideCars()).hasSize(1);
    assertThat(found.get("ftp/dump.202601010000").sideCars()).hasSize(1);
    assertThat(found.get("ftp/dump.202602020000").sideCars()).isEmpty();
    assertThat(found.get("ftp/dmesg.202603030000").parts()).isEmpty();
  }

  @Test
  void suseDirectoryWithHostThatHasHyphens() throws Exception {
    flattened("db-host-7-2026-11-22-13-23/vmcore");
    file("db-host-7-2026-11-22-13-23/dmesg", "x\n");
    file("db-host-7-2026-11-22-13-23/README.txt", "Kernel version: 6.4\n");

    Incident incident = find().get("db-host-7-2026-11-22-13-23/vmcore");

    assertThat(incident.host()).isEqualTo("db-host-7");
    assertThat(incident.sideCars()).hasSize(2);
  }

  @Test
  void selfTestAndIncompleteAreRecognised() throws Exception {
    kdump("kdump-test-17/vmcore");
    kdump("a/vmcore-incomplete");
    kdump("b/dump-incomplete.gz");

    Map<String, Incident> found = find();

    assertThat(found.get("kdump-test-17/vmcore").selfTest()).isTrue();
    assertThat(found.get("a/vmcore-incomplete").namedIncomplete()).isTrue();
    assertThat(found.get("b/dump-incomplete.gz").namedIncomplete()).isTrue();
  }

  @Test
  void whatADumperSaysOfItselfIsAnIncidentWithoutADump() throws Exception {
    file("kdump-test-17/vmcore-creation.status", "fail kdump_test_id=17\n");
    file("2026-11-22-13-25/README.txt", "vmcore status: failed\n");
    file("127.0.0.1-2026-11-22-13:23:40/vmcore-dmesg.txt", "x\n");
    file("127.0.0.1-2026-11-22-13:23:40/kexec-dmesg.log", "x\n");
    file("sources/README.txt", "read me\n");

    Map<String, Incident> found = find();

    assertThat(found)
        .containsOnlyKeys(
            "kdump-test-17/vmcore-creation.status",
            "2026-11-22-13-25/README.txt",
            "127.0.0.1-2026-11-22-13:23:40/vmcore-dmesg.txt");
    assertThat(found.get("kdump-test-17/vmcore-creation.status").selfTest()).isTrue();
    assertThat(found.get("127.0.0.1-2026-11-22-13:23:40/vmcore-dmesg.txt").sideCars()).hasSize(2);
  }

  @Test
  void contentDecidesAndNamesHint() throws Exception {
    kdump("x/some-upload");
    file("x/notes.txt", "a long text that is no dump at all, only words\n");
    file(
        "x/vmlinux",
        "\u007fELF\u0002\u0001\u0001" + "\0".repeat(9) + "\u0002\0>\0" + "\0".repeat(64));
    file("y/vmcore", "");
    file("y/photos.gz", "\u001f\u008b" + "\0".repeat(30));
    file("y/vmcore2.gz", "\u001f\u008b" + "\0".repeat(30));
    file("y/vmcore.sha256", "0123456789abcdef0123456789abcdef  vmcore\n");

    assertThat(find()).containsOnlyKeys("x/some-upload", "y/vmcore", "y/vmcore2.gz");
  }

  @Test
  void linksAreNotFollowedAndLoopsEnd() throws Exception {
    kdump("a/vmcore");
    Files.createSymbolicLink(dir.resolve("a/loop"), dir);
    Files.createSymbolicLink(dir.resolve("out"), Path.of("/"));
    Files.createSymbolicLink(dir.resolve("b.vmcore"), dir.resolve("a/vmcore"));

    assertThat(find()).containsOnlyKeys("a/vmcore");
    assertThat(problems).isEmpty();
  }

  @Test
  void tooDeepIsSaidAndTheRestGoesOn() throws Exception {
    kdump("d/".repeat(70) + "vmcore");
    kdump("e/vmcore");

    assertThat(find()).containsOnlyKeys("e/vmcore");
    assertThat(problems).singleElement().asString().contains("more than 64 directories deep");
  }

  @Test
  void hostileNamesAreKeptApartAndPrintable() throws Exception {
    kdump("a\n<b>\"&'\u001b[2J/vmcore");
    kdump("100%41/vmcore");
    kdump("100A/vmcore");

    Map<String, Incident> found = find();

    assertThat(found).hasSize(3);
    for (Incident incident : found.values()) {
      assertThat(incident.location().words()).matches("[ -~]+");
      assertThat(Files.exists(incident.location().path())).isTrue();
    }
    assertThat(found.values().stream().map(i -> i.location().uri()).distinct()).hasSize(3);
  }

  @Test
  void rootThatIsNotThere() {
    assertThatThrownBy(() -> Incidents.find(dir.resolve("none"), null))
        .isInstanceOf(NoSuchFileException.class);
  }

  @Test
  void thousandsOfEmptyDirectoriesAreWalked() throws Exception {
    for (int i = 0; i < 300; i++) {
      Path parent = Files.createDirectory(dir.resolve("p" + i));
      for (int j = 0; j < 30; j++) {
        Files.createDirectory(parent.resolve("c" + j));
      }
    }
    kdump("z/vmcore");

    assertThat(find()).hasSize(1);
  }

  @Test
  void shardsCoverEverythingOnce() {
    for (int i = 0; i < 200; i++) {
      FileUri location = FileUri.of(Path.of("/var/crash/" + i + "/vmcore"));
      int owners = 0;
      for (int index = 0; index < 7; index++) {
        owners += new Shard(index, 7).has(location) ? 1 : 0;
      }
      assertThat(owners).isEqualTo(1);
    }
  }
}
