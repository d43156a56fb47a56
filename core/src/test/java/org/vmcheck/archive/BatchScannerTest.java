package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.Note;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// Scans of real dumps into real catalogues.
class BatchScannerTest {
  @TempDir private Path dir;
  private Path tree;
  private Path file;
  private final List<CatalogueEntry> judged = new ArrayList<>();
  private final List<String> problems = new ArrayList<>();

  @BeforeEach
  void makeTree() throws IOException {
    tree = Files.createDirectory(dir.resolve("crash"));
    file = dir.resolve("c.sqlite");
  }

  private Path dump(String path, String name) throws Exception {
    Path copy = tree.resolve(path);
    Files.createDirectories(copy.getParent());
    return Files.copy(TestData.named(name).dump(), copy);
  }

  private BatchScanner.Summary scan() throws IOException {
    return scan(file, Shard.WHOLE, "t1", false);
  }

  private BatchScanner.Summary scan(Path catalogueFile, Shard shard, String tool, boolean refresh)
      throws IOException {
    return scan(
        catalogueFile,
        new BatchScanner.Options(
            List.of(tree), "host-a", 2, AnalysisOptions.DEFAULT, shard, refresh, tool));
  }

  private BatchScanner.Summary scan(Path catalogueFile, BatchScanner.Options options)
      throws IOException {
    judged.clear();
    problems.clear();
    try (Catalogue catalogue = Catalogue.write(catalogueFile)) {
      return BatchScanner.scan(
          catalogue,
          options,
          new BatchScanner.Listener() {
            @Override
            public void planned(int toJudge, long bytes, int unchanged) {}

            @Override
            public void judged(CatalogueEntry entry) {
              judged.add(entry);
            }

            @Override
            public void problem(FileUri where, String what) {
              problems.add(where.words() + ": " + what);
            }
          });
    }
  }

  private List<CatalogueEntry> entries(Selection selection) throws IOException {
    try (Catalogue catalogue = Catalogue.read(file)) {
      return catalogue.entries(selection);
    }
  }

  @Test
  void verdictsAreTrueAndABadDumpStopsNothing() throws Exception {
    Map<String, String> truth = new TreeMap<>();
    for (String name : List.of("healthy", "use-after-free", "bit-flip")) {
      dump(name + "/vmcore", name);
      truth.put(name, TestData.named(name).verdict());
    }
    Path cut = dump("cut/vmcore", "healthy");
    Files.write(cut, java.util.Arrays.copyOf(Files.readAllBytes(cut), 300));
    Files.createDirectory(tree.resolve("empty"));
    Files.createFile(tree.resolve("empty/vmcore"));

    BatchScanner.Summary summary = scan();

    assertThat(summary.incidents()).isEqualTo(5);
    assertThat(summary.verdicts())
        .isEqualTo(Map.of("intact", 1, "kernel-damaged", 2, "unreadable", 2));
    for (CatalogueEntry entry : entries(Selection.ALL)) {
      String folder = entry.location().path().getParent().getFileName().toString();
      assertThat(entry.verdict()).isEqualTo(truth.getOrDefault(folder, "unreadable"));
      assertThat(entry.headHash()).hasSize(64);
    }
    assertThat(Files.getPosixFilePermissions(file))
        .isEqualTo(PosixFilePermissions.fromString("rw-------"));
    try (Catalogue catalogue = Catalogue.read(file)) {
      CatalogueEntry damaged = catalogue.find("use-after-free/vmcore").getFirst();
      assertThat(catalogue.report(damaged).orElseThrow().verdict().kind())
          .isEqualTo("kernel-damaged");
      assertThat(catalogue.find(damaged.id())).containsExactly(damaged);
      for (String nothing : List.of("", "/", "..", "x\u0000y", "\ufffd")) {
        assertThat(catalogue.find(nothing)).isEmpty();
      }
    }
  }

  @Test
  void rescanSkipsWhatIsUnchangedAndNoticesTheRest() throws Exception {
    Path healthy = dump("a/vmcore", "healthy");
    dump("b/vmcore", "use-after-free");
    scan();

    assertThat(scan().judged()).isZero();
    assertThat(judged).isEmpty();

    Files.setLastModifiedTime(healthy, FileTime.fromMillis(1_000_000_000_000L));
    assertThat(scan().judged()).isEqualTo(1);
    assertThat(scan(file, Shard.WHOLE, "t2", false).judged()).isZero();
    assertThat(scan(file, Shard.WHOLE, "t2", true).judged()).isEqualTo(2);

    Files.writeString(tree.resolve("b/vmcore-dmesg.txt"), "[    1.000000] of another machine\n");
    assertThat(scan(file, Shard.WHOLE, "t2", true).judged()).isEqualTo(1);
    assertThat(judged.getFirst().remarks())
        .extracting(Note::text)
        .containsExactly(
            "vmcore-dmesg.txt is of another crash: none of its last lines is in the dump's log");

    Files.delete(healthy);
    BatchScanner.Summary summary = scan(file, Shard.WHOLE, "t2", false);
    assertThat(summary.vanished()).isEqualTo(1);
    assertThat(entries(Selection.ofVanished()))
        .singleElement()
        .extracting(CatalogueEntry::verdict)
        .isEqualTo("intact");
    dump("a/vmcore", "healthy");
    assertThat(scan(file, Shard.WHOLE, "t2", false).vanished()).isZero();
    assertThat(entries(Selection.ofVanished())).isEmpty();
  }

  @Test
  void hardLinksAndCopiesAreRecognised() throws Exception {
    Path first = dump("a/vmcore", "healthy");
    Files.createDirectory(tree.resolve("b"));
    Files.createLink(tree.resolve("b/vmcore"), first);
    dump("c/vmcore", "healthy");
    dump("d/vmcore", "use-after-free");

    scan();

    List<CatalogueEntry> entries = entries(Selection.ALL);
    String id = entries.getFirst().id();
    assertThat(entries).extracting(CatalogueEntry::duplicateOf).containsExactly("", id, id, "");
    try (Catalogue catalogue = Catalogue.read(file)) {
      assertThat(catalogue.groups(Selection.ALL, CrashGroup.By.VERDICT, 9).groups())
          .extracting(group -> group.key() + " " + group.count())
          .containsExactly("intact 1", "kernel-damaged 1");
    }
  }

  @Test
  void realCrashesHaveTellingSignatures() throws Exception {
    List<String> faults = List.of("use-after-free", "bit-flip", "double-free", "redzone");
    for (String name : faults) {
      dump(name + "/vmcore", name);
    }
    scan();

    List<CatalogueEntry> entries = entries(Selection.ALL);
    // All four were dumped by the same deliberate panic, and each has a fault of its own.
    assertThat(entries)
        .extracting(CatalogueEntry::panicSignature)
        .containsOnly(entries.getFirst().panicSignature());
    assertThat(entries.getFirst().panicSignature().text())
        .isEqualTo(
            "Kernel panic - not syncing: vmcheck lab: the dump is wanted here"
                + " | with_all_stopped [vmcheck_lab] < multi_cpu_stop < cpu_stopper_thread"
                + " < smpboot_thread_fn < kthread < ret_from_fork");
    assertThat(entries)
        .extracting(entry -> entry.damageSignature().text())
        .containsExactly(
            "bit-flip vmcheck_lab_192 +0x60",
            "double-free kmalloc-512 +0x100",
            "redzone-overwritten vmcheck_lab_124 +0x7c",
            "use-after-free-write vmcheck_lab_1024 +0x200");
  }

  /// Whoever may write to /dev/kmsg can write a panic: it is none, and groups no crashes.
  @Test
  void thePanicThatAProgramWroteIsNoSignature() throws Exception {
    List<String> words =
        List.of(
            "kernel BUG at mm/slub.c:294!",
            "RIP: 0010:forged+0x1/0x2",
            "Kernel panic - not syncing: forged");
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).log(List.of("Linux version 6.1.0"));
    Files.createDirectories(tree.resolve("a"));
    Files.createDirectories(tree.resolve("b"));
    kernel.logOfPrograms(words).build().writeKdump(tree.resolve("a"), "vmcore");
    FakeKernel.of(Layout.V6_1).log(words).build().writeKdump(tree.resolve("b"), "vmcore");
    scan();

    assertThat(entries(Selection.ALL))
        .extracting(entry -> entry.panicSignature().text())
        .containsExactly("", "Kernel panic - not syncing: forged");
  }

  @Test
  void savedLogSpeaksForADumpThatIsCutShort() throws Exception {
    Path whole = dump("whole/vmcore", "healthy");
    List<String> log;
    try (Analyzer analyzer = Analyzer.open(List.of(whole), AnalysisOptions.DEFAULT)) {
      log = analyzer.log().stream().map(LogLine::text).toList();
    }
    Files.createDirectory(tree.resolve("cut"));
    byte[] bytes = Files.readAllBytes(whole);
    Path cut = tree.resolve("cut/vmcore-incomplete");
    Files.write(cut, java.util.Arrays.copyOf(bytes, bytes.length / 4));
    Files.write(tree.resolve("cut/vmcore-dmesg.txt"), log);
    Files.createDirectory(tree.resolve("log"));
    Files.write(tree.resolve("log/dmesg.202611221323"), log);

    scan();

    assertThat(entries(Selection.ALL))
        .extracting(entry -> entry.state().word() + " " + entry.verdict())
        .containsExactly(
            "being-written dump-damaged", "dmesg-only undetermined", "complete intact");
    assertThat(entries(Selection.ALL))
        .extracting(CatalogueEntry::panicSignature)
        .containsOnly(entries(Selection.ALL).getFirst().panicSignature());
    assertThat(entries(Selection.ALL).getLast().remarks()).isEmpty();
    Files.setLastModifiedTime(cut, FileTime.fromMillis(1_000_000_000_000L));
    scan();
    assertThat(judged)
        .singleElement()
        .extracting(CatalogueEntry::state)
        .isEqualTo(CatalogueEntry.State.INCOMPLETE);
  }

  @Test
  void mergedShardsEqualOneScan() throws Exception {
    for (String name : List.of("healthy", "use-after-free", "bit-flip", "double-free")) {
      dump(name + "/vmcore", name);
    }
    dump("copy/vmcore", "healthy");
    scan();
    Path merged = dir.resolve("merged.sqlite");
    int judgedInShards = 0;
    try (Catalogue all = Catalogue.write(merged)) {
      for (int i = 0; i < 3; i++) {
        Path part = dir.resolve("part" + i);
        judgedInShards += scan(part, new Shard(i, 3), "t1", false).judged();
        try (Catalogue shard = Catalogue.read(part)) {
          all.merge(shard);
        }
      }
      assertThat(judgedInShards).isEqualTo(5);
      List<CatalogueEntry> joined = all.entries(Selection.ALL);
      List<CatalogueEntry> whole = entries(Selection.ALL);
      assertThat(joined).hasSameSizeAs(whole);
      for (int i = 0; i < whole.size(); i++) {
        assertThat(joined.get(i))
            .usingRecursiveComparison()
            .ignoringFields("judgedAt", "seconds")
            .isEqualTo(whole.get(i));
        assertThat(all.report(joined.get(i)).orElseThrow().verdict().kind())
            .isEqualTo(whole.get(i).verdict());
      }
    }
  }

  @Test
  void selections() throws Exception {
    dump("a/vmcore", "healthy");
    dump("b/vmcore", "use-after-free");
    dump("c/vmcore", "debian-cloud");
    scan();

    assertThat(entries(Selection.ofVerdict("kernel-damaged"))).hasSize(1);
    assertThat(entries(new Selection("", "use-after-free-write", "", "", 0, 0, "", false)))
        .hasSize(1);
    assertThat(entries(new Selection("", "", "6.1.0-", "", 0, 0, "", false))).hasSize(1);
    assertThat(entries(new Selection("", "", "", "", 4_000_000_000L, 0, "", false))).isEmpty();
    String damage =
        entries(Selection.ofVerdict("kernel-damaged")).getFirst().damageSignature().id();
    assertThat(entries(new Selection("", "", "", "", 0, 0, damage, false))).hasSize(1);
    assertThat(entries(Selection.ofVerdict("' OR 1=1 --"))).isEmpty();
  }

  @Test
  void twoScansOfOneCatalogueAtOnceShareTheWork() throws Exception {
    for (int i = 0; i < 4; i++) {
      dump("a" + i + "/vmcore", "healthy");
    }
    AtomicReference<Object> theirs = new AtomicReference<>();
    Thread other =
        Thread.ofPlatform()
            .start(
                () -> {
                  try {
                    theirs.set(new BatchScannerTest().scan(tree, file));
                  } catch (IOException e) {
                    theirs.set(e);
                  }
                });
    BatchScanner.Summary ours = new BatchScannerTest().scan(tree, file);
    other.join();

    assertThat(theirs.get()).isInstanceOf(BatchScanner.Summary.class);
    BatchScanner.Summary another = (BatchScanner.Summary) theirs.get();
    // Each dump was judged once, and both scans know of all.
    assertThat(ours.judged() + another.judged()).isEqualTo(4);
    for (BatchScanner.Summary summary : List.of(ours, another)) {
      assertThat(summary.judged() + summary.unchanged()).isEqualTo(4);
      assertThat(summary.verdicts()).isEqualTo(Map.of("intact", 4));
    }
    assertThat(entries(Selection.ALL)).hasSize(4).allMatch(e -> e.verdict().equals("intact"));
  }

  private BatchScanner.Summary scan(Path where, Path catalogueFile) throws IOException {
    tree = where;
    return scan(catalogueFile, Shard.WHOLE, "t1", false);
  }

  @Test
  void processKilledAtAnyMomentLeavesASoundCatalogue() throws Exception {
    for (int i = 0; i < 6; i++) {
      dump("a" + i + "/vmcore", "healthy");
    }
    List<String> command =
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            ScanMain.class.getName(),
            tree.toString(),
            file.toString());
    int known = 0;
    for (int round = 0; round < 4; round++) {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      // Killed after its first line, later in each round.
      int lines = 0;
      while (lines <= round && process.getInputStream().read() >= 0) {
        lines++;
      }
      process.destroyForcibly().waitFor();
      if (Files.exists(file) && Files.size(file) > 0) {
        List<CatalogueEntry> entries = entries(Selection.ALL);
        assertThat(entries.size()).isGreaterThanOrEqualTo(known);
        known = entries.size();
      }
    }
    BatchScanner.Summary summary = scan();
    assertThat(summary.unchanged()).isEqualTo(known);
    assertThat(summary.verdicts()).isEqualTo(Map.of("intact", 6));
  }

  /// A scan in a process of its own, which prints a dot an incident.
  static final class ScanMain {
    private ScanMain() {}

    public static void main(String[] args) throws IOException {
      try (Catalogue catalogue = Catalogue.write(Path.of(args[1]))) {
        BatchScanner.scan(
            catalogue,
            new BatchScanner.Options(
                List.of(Path.of(args[0])),
                "host-a",
                2,
                AnalysisOptions.DEFAULT,
                Shard.WHOLE,
                false,
                "t1"),
            new BatchScanner.Listener() {
              @Override
              public void planned(int toJudge, long bytes, int unchanged) {}

              @Override
              public void judged(CatalogueEntry entry) {
                System.out.write('.');
                System.out.flush();
              }

              @Override
              public void problem(FileUri where, String what) {}
            });
      }
    }
  }

  @Test
  void aDumpThatNeedsMoreMemoryThanThereIsIsNamedAndTheOthersAreJudged() throws Exception {
    dump("one/vmcore", "healthy");
    dump("two/vmcore", "bit-flip");
    Path packed = Files.createDirectories(tree.resolve("three")).resolve("vmcore.gz");
    try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      Files.copy(TestData.named("healthy").dump(), out);
    }
    AnalysisOptions.Spool spool =
        new AnalysisOptions.Spool(
            Optional.of(dir),
            1L << 30,
            (what, done, total) -> {
              throw new OutOfMemoryError("planted");
            });
    AnalysisOptions analysis =
        new AnalysisOptions(
            List.of(), false, Optional.empty(), 1, AnalysisOptions.Debug.DEFAULT, spool);
    BatchScanner.Summary summary =
        scan(
            file,
            new BatchScanner.Options(
                List.of(tree), "host-a", 2, analysis, Shard.WHOLE, false, "t1"));
    assertThat(judged).hasSize(3);
    assertThat(summary.verdicts()).containsEntry("intact", 1).containsEntry("kernel-damaged", 1);
    assertThat(judged)
        .filteredOn(entry -> entry.problem().contains("not enough memory"))
        .singleElement()
        .extracting(CatalogueEntry::path)
        .asString()
        .contains("three");
  }

  // ---- catalogues that cannot be used

  private void assertRefusedUntouched(String what) throws IOException {
    String before = HexFormat.of().formatHex(Files.readAllBytes(file));
    assertThatThrownBy(this::scan)
        .isInstanceOf(CatalogueException.class)
        .hasMessageContaining("catalogue " + file)
        .hasMessageContaining(what);
    assertThat(HexFormat.of().formatHex(Files.readAllBytes(file))).isEqualTo(before);
  }

  @Test
  void fileThatIsNoCatalogueIsRefused() throws Exception {
    Files.writeString(file, "my notes, worth more than any catalogue");
    assertRefusedUntouched("is not a catalogue; it is left as it is");
  }

  @Test
  void databaseOfAnotherProgramIsRefused() throws Exception {
    sql("CREATE TABLE theirs (x)");
    assertRefusedUntouched("is a database of another program");
  }

  @Test
  void newerCatalogueIsRefused() throws Exception {
    scan();
    sql("PRAGMA user_version = 99");
    assertRefusedUntouched("was written by a newer vmcheck");
  }

  @Test
  void corruptCatalogueIsRefused() throws Exception {
    dump("a/vmcore", "healthy");
    scan();
    byte[] bytes = Files.readAllBytes(file);
    java.util.Arrays.fill(bytes, 4096, bytes.length, (byte) 0x5a);
    Files.write(file, bytes);
    assertRefusedUntouched("is corrupt");
  }

  @Test
  void readOnlyCatalogueIsRefusedAndStillRead() throws Exception {
    dump("a/vmcore", "healthy");
    scan();
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--------"));
    assertRefusedUntouched("is read-only");
    assertThat(entries(Selection.ALL)).hasSize(1);
  }

  private void sql(String... statements) throws Exception {
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        Statement statement = connection.createStatement()) {
      for (String sql : statements) {
        statement.execute(sql);
      }
    }
  }
}
