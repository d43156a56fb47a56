package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.SampleEntries;

/// Commands that are told of verdicts, and what they may do.
class NotifierTest {
  @TempDir private Path dir;
  private final List<String> printed = Collections.synchronizedList(new ArrayList<>());
  private final List<String> failures = new ArrayList<>();

  private Notifier notifier(String command) throws Exception {
    return new Notifier(
        Notifier.words(command),
        Set.of("kernel-damaged"),
        Duration.ofSeconds(2),
        new Notifier.Listener() {
          @Override
          public void printed(String line) {
            printed.add(line);
          }

          @Override
          public void failed(CatalogueEntry entry, String why) {
            failures.add(why);
          }
        });
  }

  private static CatalogueEntry entry(String path, String verdict) {
    return SampleEntries.entry("a", path, "x", verdict, "6.1.0", 0, 1);
  }

  @Test
  void theIncidentIsOnStandardInputAndNoShellReadsIt() throws Exception {
    String hostile = "/srv/$(touch " + dir.resolve("owned") + ")/;`id`/vmcore";

    notifier("cat").newVerdict(entry(hostile, "kernel-damaged"));
    notifier("cat").newVerdict(entry("/srv/b/vmcore", "intact"));

    assertThat(printed)
        .singleElement()
        .asString()
        .startsWith("{")
        .contains("\"verdict\":\"kernel-damaged\"", "$(touch ");
    assertThat(failures).isEmpty();
    assertThat(Files.exists(dir.resolve("owned"))).isFalse();
  }

  @Test
  void whatFailsHangsOrPrintsWithoutEndHoldsNobody() throws Exception {
    CatalogueEntry entry = entry("/srv/a/vmcore", "kernel-damaged");
    notifier("sh -c 'exit 3'").newVerdict(entry);
    assertThat(failures).containsExactly("exit code 3");

    long start = System.nanoTime();
    notifier("sleep 100").newVerdict(entry);
    notifier("sh -c 'sleep 100 & wait'").newVerdict(entry);
    notifier("yes").newVerdict(entry);
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(30));
    assertThat(failures.subList(1, 4)).containsOnly("took more than 2 s, and was ended");
    // One that leaves its pipes to a child, and one that reads nothing.
    notifier("sh -c 'sleep 100 &'").newVerdict(entry);
    notifier("true").newVerdict(entry);
    assertThat(failures).hasSize(4);
  }

  @Test
  void wordsAreThoseBetweenBlanksOrQuotes() throws Exception {
    assertThat(Notifier.words(" sh -c 'a \"b\"' \"it's\" x\"y\"z ''"))
        .containsExactly("sh", "-c", "a \"b\"", "it's", "xyz", "");
    for (String bad : List.of("", " ", "sh 'x", "no-such-program-here", dir.toString())) {
      assertThatThrownBy(() -> Notifier.words(bad))
          .isInstanceOf(Failures.UsageException.class)
          .hasMessageStartingWith("--notify: ");
    }
  }
}
