package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.testing.TestData;

/// Whoever may write into a scanned tree puts something else in a dump's place while a scan runs,
/// after it was found and before it is opened.
@Timeout(300)
class SwappedFilesTest {
  @TempDir private Path given;

  @Test
  void aLinkAndAPipeInADumpsPlaceAreNotOpened() throws Exception {
    Path dir = given.toRealPath();
    Path secret = Files.createDirectory(dir.resolve("secret"));
    Files.copy(TestData.named("use-after-free").dump(), secret.resolve("vmcore"));
    Files.writeString(secret.resolve("vmcore-dmesg.txt"), "[    1.0] the secret log\n");
    Path tree = Files.createDirectory(dir.resolve("crash"));
    for (String incident : List.of("link", "pipe", "directory", "log", "left")) {
      Path folder = Files.createDirectory(tree.resolve(incident));
      Files.copy(TestData.named("healthy").dump(), folder.resolve("vmcore"));
      Files.writeString(folder.resolve("vmcore-dmesg.txt"), "[    1.0] its own log\n");
    }

    Map<String, String> verdicts = new TreeMap<>();
    List<CatalogueEntry> entries;
    try (Catalogue catalogue = Catalogue.write(dir.resolve("c.sqlite"))) {
      BatchScanner.scan(
          catalogue,
          new BatchScanner.Options(
              List.of(tree), "host", 1, AnalysisOptions.DEFAULT, Shard.WHOLE, false, "t"),
          new BatchScanner.Listener() {
            @Override
            public void planned(int toJudge, long bytes, int unchanged) {
              try {
                swap(tree, secret);
              } catch (IOException failure) {
                throw new UncheckedIOException(failure);
              } catch (InterruptedException stopped) {
                throw new IllegalStateException(stopped);
              }
            }

            @Override
            public void judged(CatalogueEntry entry) {
              verdicts.put(Path.of(entry.path()).getParent().getFileName() + "", entry.verdict());
            }

            @Override
            public void problem(FileUri where, String what) {}
          });
      entries = catalogue.entries(Selection.ALL);
    }

    assertThat(verdicts)
        .containsEntry("link", "unreadable")
        .containsEntry("pipe", "unreadable")
        .containsEntry("directory", "unreadable")
        .containsEntry("log", "intact")
        .containsEntry("left", "intact");
    // Nothing of what the links lead to is in any row.
    assertThat(entries.toString()).doesNotContain("secret log", "use-after-free", "kernel-damaged");
  }

  private static void swap(Path tree, Path secret) throws IOException, InterruptedException {
    Path link = tree.resolve("link/vmcore");
    Files.delete(link);
    Files.createSymbolicLink(link, secret.resolve("vmcore"));
    Path pipe = tree.resolve("pipe/vmcore");
    Files.delete(pipe);
    new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor();
    Files.move(tree.resolve("directory"), tree.resolveSibling("moved"));
    Files.createSymbolicLink(tree.resolve("directory"), secret);
    Path log = tree.resolve("log/vmcore-dmesg.txt");
    Files.delete(log);
    Files.createSymbolicLink(log, secret.resolve("vmcore-dmesg.txt"));
  }
}
