package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/// Errors that end a command: none may end with code 1, which says that a kernel is damaged.
class FailuresTest {
  private final StringWriter err = new StringWriter();

  private int handle(Error error) {
    return Failures.handle(error, new PrintWriter(err, true));
  }

  @Test
  void aFullHeapIsOneLineAndWorthAnotherTry() {
    assertThat(handle(new OutOfMemoryError("Java heap space"))).isEqualTo(ExitCode.IO);
    assertThat(err.toString())
        .startsWith("vmcheck: not enough memory")
        .contains("no verdict was reached")
        .hasLineCount(1);
  }

  @Test
  void aFullHeapNamesTheDump() {
    Exception failure = new Failures.OutOfMemory(Path.of("vmcore"));
    assertThat(Failures.exitCode(failure)).isEqualTo(ExitCode.IO);
    assertThat(Failures.message(failure)).startsWith("vmcore: not enough memory");
  }

  @Test
  void anyOtherErrorIsABug() {
    assertThat(handle(new StackOverflowError())).isEqualTo(ExitCode.BUG);
    assertThat(err.toString()).startsWith("vmcheck: a bug of vmcheck");
  }

  @Test
  void anInternalErrorThatIsNoLostMapIsABug() {
    assertThat(handle(new InternalError("something else"))).isEqualTo(ExitCode.BUG);
  }
}
