package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.io.Cancellation;

/// Whatever comes of one incident, there is an entry that says so.
class WatchdogTest {
  private static final Incident INCIDENT =
      new Incident(
          FileUri.of(Path.of("/crash/vmcore")),
          List.of(Path.of("/crash/vmcore")),
          List.of(),
          0,
          "",
          "",
          "",
          false,
          false,
          "");

  private static CatalogueEntry judged(
      Function<Incident, Judge.Judged> work, Optional<Duration> deadline) {
    Judge judge = new Judge(AnalysisOptions.DEFAULT, "host-a", "t", Clock.systemUTC());
    return new Watchdog(judge, work, deadline).judge(INCIDENT).entry();
  }

  @ParameterizedTest
  @ValueSource(
      classes = {StackOverflowError.class, IllegalStateException.class, AssertionError.class})
  void whatIsThrownIsABugOfThisProgram(Class<? extends Throwable> type) {
    CatalogueEntry entry = judged(_ -> thrown(type), Optional.empty());

    assertThat(entry.verdict()).isEqualTo("unreadable");
    assertThat(entry.problemKind()).isEqualTo(CatalogueEntry.Problem.BUG);
    assertThat(entry.problem()).contains(type.getSimpleName());
  }

  @Test
  void memoryThatIsFullIsTriedAgain() {
    CatalogueEntry entry = judged(_ -> thrown(OutOfMemoryError.class), Optional.empty());

    assertThat(entry.problemKind()).isEqualTo(CatalogueEntry.Problem.IO);
    assertThat(entry.problem()).contains("not enough memory");
  }

  private static Judge.Judged thrown(Class<? extends Throwable> type) {
    try {
      throw type.getDeclaredConstructor().newInstance();
    } catch (RuntimeException | Error itself) {
      throw itself;
    } catch (Throwable other) {
      throw new AssertionError(other);
    }
  }

  @Test
  void aLoopThatAsksIsEndedByTheDeadline() {
    CatalogueEntry entry =
        judged(
            incident -> {
              try {
                while (true) {
                  Cancellation.check();
                }
              } finally {
                assertThat(incident).isSameAs(INCIDENT);
              }
            },
            Optional.of(Duration.ofMillis(50)));

    assertThat(entry.summary()).contains("CancelledException");
  }

  @Test
  void whatHangsIsLeftBehind() {
    CatalogueEntry entry =
        judged(
            _ -> {
              try {
                Thread.sleep(Duration.ofHours(1));
              } catch (InterruptedException _) {
                Thread.currentThread().interrupt();
              }
              return null;
            },
            Optional.of(Duration.ofMillis(50)));

    assertThat(entry.verdict()).isEqualTo("undetermined");
    assertThat(entry.summary())
        .isEqualTo(
            "stopped by the deadline of 50 ms, which it did not keep to by itself, before there was"
                + " an answer: nothing is said of this dump");
    assertThat(entry.problemKind()).isEqualTo(CatalogueEntry.Problem.NONE);
  }
}
