package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.finding.Note;
import org.vmcheck.testing.TestData;
import org.vmcheck.testing.Work;

/// Text beside a dump that was written to harm: every incident of the tree is still judged.
class HostileTextTest {
  private static final String OOPS = "Kernel panic - not syncing: x\nCall Trace:\n";

  @TempDir private Path dir;

  @Test
  void endsNoScan() throws Exception {
    Path tree = Files.createDirectory(dir.resolve("crash"));
    Map<String, String> texts =
        Map.of(
            "suffix/vmcore-dmesg.txt", OOPS + " a.isra" + ".1".repeat(50_000) + "x+0x1/0x1\n",
            "frame/vmcore-dmesg.txt", OOPS + " a+0x1/0x1 [" + "m".repeat(100_000) + "\n",
            "lines/vmcore-dmesg.txt", OOPS + "\n".repeat(200_000),
            "127.0.0.1-2026-11-22-10:00:00/README.txt", "\n".repeat(100_000));
    for (Map.Entry<String, String> text : texts.entrySet()) {
      Path file = tree.resolve(text.getKey());
      Files.createDirectories(file.getParent());
      Files.writeString(file, text.getValue());
    }
    Files.createDirectories(tree.resolve("good"));
    Files.copy(TestData.named("healthy").dump(), tree.resolve("good/vmcore"));
    List<CatalogueEntry> judged = new ArrayList<>();

    try (Catalogue catalogue = Catalogue.write(dir.resolve("c.sqlite"))) {
      BatchScanner.scan(
          catalogue,
          new BatchScanner.Options(
              List.of(tree), "host-a", 1, AnalysisOptions.DEFAULT, Shard.WHOLE, false, "t"),
          new BatchScanner.Listener() {
            @Override
            public void planned(int toJudge, long bytes, int unchanged) {}

            @Override
            public void judged(CatalogueEntry entry) {
              judged.add(entry);
            }

            @Override
            public void problem(FileUri where, String what) {}
          });
      assertThat(catalogue.entries(Selection.ALL)).hasSize(5);
    }

    assertThat(judged).allMatch(entry -> entry.problem().isEmpty());
    assertThat(judged).extracting(CatalogueEntry::verdict).containsOnlyOnce("intact");
  }

  @Test
  void isReadInTimeThatItsLengthGives() throws Exception {
    Work.growsLinearly(2000, "\n"::repeat, text -> CrashSignature.ofPanic(lines(text)));
    Work.growsLinearly(
        2000,
        size -> OOPS + "a+0x1/0x1\n".repeat(size),
        text -> CrashSignature.ofPanic(lines(text)));
  }

  private List<String> lines(String text) throws Exception {
    Path file = dir.resolve("text");
    Files.writeString(file, text, StandardCharsets.ISO_8859_1);
    return SideCarCheck.lines(file);
  }

  @Test
  void namesLoseWhatACompilerAdded() {
    assertThat(CrashSignature.symbol("a.isra.0.part.3")).isEqualTo("a");
    assertThat(CrashSignature.symbol("a.5.cold")).isEqualTo("a.5");
    assertThat(CrashSignature.symbol("a.b.constprop.0")).isEqualTo("a.b");
    assertThat(CrashSignature.symbol("a.1.2")).isEqualTo("a.1.2");
    assertThat(CrashSignature.symbol("a.isra" + ".1".repeat(100_000))).isEqualTo("a");
    assertThat(CrashSignature.symbol(".isra")).isEqualTo(".isra");
  }

  /// The healthy twin: a README of SUSE's, as kdump writes it.
  @Test
  void theKernelOfAReadmeIsReadAsBefore() throws Exception {
    Path readme = dir.resolve("README.txt");
    Files.writeString(
        readme, "Kernel crashdump\n----\nCrash time     : now\nKernel version : 6.4.0\n");

    assertThat(remarks(readme, "6.4.0")).isEmpty();
    assertThat(remarks(readme, "6.5.0"))
        .containsExactly(new Note("readme", "README.txt names kernel 6.4.0, the dump is of 6.5.0"));
  }

  private List<Note> remarks(Path readme, String release) throws Exception {
    return SideCarCheck.compare(
        new Incident(
            FileUri.of(readme),
            List.of(),
            List.of(new SideCar(SideCar.Kind.README, readme, Files.size(readme))),
            0,
            "",
            "",
            "",
            false,
            false,
            ""),
        List.of(),
        release,
        0);
  }
}
