package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskList;
import org.vmcheck.finding.TaskTrace;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// Stacks of real dumps, unwound: the kernel's own Call Trace is the judge.
class BacktraceTest {
  static List<TestData> dumps() throws Exception {
    return TestData.small();
  }

  private static Analyzer open(Path dump) throws Exception {
    return Analyzer.open(dump, AnalysisOptions.DEFAULT);
  }

  /// The proven lines of the Call Trace of the panic, from the caller of `panic` outwards.
  private static List<String> callTrace(List<LogLine> log) {
    return wholeCallTrace(log).stream().filter(line -> !line.startsWith("?")).toList();
  }

  /// The same with the lines behind a question mark.
  private static List<String> wholeCallTrace(List<LogLine> log) {
    List<String> lines = new ArrayList<>();
    boolean isPanic = false;
    boolean isTrace = false;
    boolean isBehind = false;
    for (LogLine line : log) {
      String text = line.text().strip();
      isPanic |= text.startsWith("Kernel panic - not syncing");
      if (isPanic && text.equals("Call Trace:")) {
        isTrace = true;
      } else if (isTrace && (text.startsWith("RIP:") || text.equals("</TASK>"))) {
        break;
      } else if (isTrace && isBehind && !text.startsWith("<")) {
        lines.add(text);
      } else if (isTrace && text.startsWith("panic+")) {
        isBehind = true;
      }
    }
    return lines;
  }

  static List<TestData> allDumps() throws Exception {
    return TestData.all();
  }

  @ParameterizedTest
  @MethodSource("allDumps")
  void whatElseIsOnTheStackIsWhatTheKernelPrinted(TestData data) throws Exception {
    try (Analyzer analyzer = open(data.dump())) {
      List<String> expected = wholeCallTrace(analyzer.log());
      TaskQuestions questions = analyzer.tasks();
      Task task = questions.panicking().orElseThrow();
      List<Backtrace.Frame> frames = questions.traceWithSeen(task).backtrace().frames();

      assertThat(frames.stream().filter(frame -> frame.mark() != Backtrace.Mark.SEEN).toList())
          .isEqualTo(
              questions.trace(task).backtrace().frames().stream()
                  .filter(frame -> frame.mark() != Backtrace.Mark.SEEN)
                  .toList());
      if (expected.isEmpty()) {
        return; // A guest that its host dumped while it ran.
      }
      int panic = 0;
      while (!frames.get(panic).text().startsWith("panic+")
          || frames.get(panic).mark() == Backtrace.Mark.SEEN) {
        panic++;
      }
      assertThat(
              frames.subList(panic + 1, frames.size()).stream()
                  .filter(frame -> frame.registers().isEmpty())
                  .map(f -> (f.mark() == Backtrace.Mark.SEEN ? "? " : "") + f.text()))
          .containsExactlyElementsOf(expected);
    }
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void thePanicIsUnwoundAsTheKernelDid(TestData data) throws Exception {
    try (Analyzer analyzer = open(data.dump())) {
      List<String> expected = callTrace(analyzer.log());
      TaskQuestions questions = analyzer.tasks();
      TaskTrace trace = questions.trace(questions.panicking().orElseThrow());

      assertThat(trace.backtrace().end()).isNotEqualTo(Backtrace.End.INCOMPLETE);
      if (expected.isEmpty()) {
        return; // A guest that its host dumped while it ran.
      }
      List<Backtrace.Frame> frames = trace.backtrace().frames();
      int panic = 0;
      while (!frames.get(panic).text().startsWith("panic+")) {
        panic++;
      }
      assertThat(
              frames.subList(panic + 1, frames.size()).stream()
                  .filter(frame -> frame.registers().isEmpty())
                  .map(Backtrace.Frame::text))
          .containsExactlyElementsOf(expected);
    }
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void everyTaskIsUnwoundToItsEnd(TestData data) throws Exception {
    try (Analyzer analyzer = open(data.dump())) {
      TaskQuestions questions = analyzer.tasks();
      TaskList list = questions.list();

      assertThat(list.problems()).isEmpty();
      assertThat(list.tasks()).hasSizeGreaterThan(20);
      assertThat(list.tasks()).extracting(Task::comm).contains("swapper/0", "kthreadd");
      for (Task task : list.tasks()) {
        Backtrace trace = questions.trace(task).backtrace();
        if (task.stack() == 0) {
          assertThat(trace.why()).isEqualTo("the task's stack was freed when it exited");
        } else {
          assertThat(trace.isComplete()).as("%s: %s", task, trace).isTrue();
        }
      }
    }
  }

  @Test
  void aStackOfRandomBytesIsNoTrace(@TempDir Path directory) throws Exception {
    TestData data = TestData.named("debian-cloud");
    DumpCopy copy = DumpCopy.of(data.dump());
    Task task;
    try (Analyzer analyzer = open(data.dump())) {
      TaskQuestions questions = analyzer.tasks();
      task = questions.panicking().orElseThrow();
      Random random = new Random(5);
      for (long page = 0; page < 4; page++) {
        byte[] noise = new byte[4096];
        random.nextBytes(noise);
        copy.pages()
            .put(analyzer.read(task.stack() + page * 4096, 8, false).physical() >>> 12, noise);
      }
    }
    try (Analyzer analyzer = open(copy.write(directory, Packer.ZLIB))) {
      TaskQuestions questions = analyzer.tasks();
      Backtrace trace = questions.trace(questions.panicking().orElseThrow()).backtrace();

      assertThat(trace.isComplete()).isFalse();
      assertThat(trace.why()).contains("__crash_kexec has no unwind data");
      assertThat(trace.frames()).hasSize(1);
    }
  }

  @Test
  void aStackThatIsNotInTheDumpIsSaidToBeSo(@TempDir Path directory) throws Exception {
    TestData data = TestData.named("debian-cloud");
    DumpCopy copy = DumpCopy.of(data.dump());
    int pid;
    try (Analyzer analyzer = open(data.dump())) {
      Task sleeper = analyzer.tasks().list().tasks().get(3);
      pid = sleeper.pid();
      for (long page = 0; page < 4; page++) {
        copy.pages()
            .remove(analyzer.read(sleeper.stack() + page * 4096, 8, false).physical() >>> 12);
      }
    }
    try (Analyzer analyzer = open(copy.write(directory, Packer.ZLIB))) {
      TaskQuestions questions = analyzer.tasks();
      Backtrace trace = questions.trace(questions.find(pid).orElseThrow()).backtrace();

      assertThat(trace.isComplete()).isFalse();
      assertThat(trace.why()).contains("cannot be read");
    }
  }
}
