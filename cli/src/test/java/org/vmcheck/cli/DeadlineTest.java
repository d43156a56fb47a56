package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.json.ReportReader;
import org.vmcheck.testing.LongUnpacking;

/// A deadline that comes while a dump is opened is an answer in every form of the report.
class DeadlineTest {
  @TempDir private Path dir;

  record Result(int code, String out, String err) {}

  private Result run(String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  @Test
  void aDumpThatWasNotOpenedInTimeIsUndetermined() throws Exception {
    String dump = LongUnpacking.write(dir.resolve("vmcore.gz")).toString();

    Result json = run("check", "--deadline", "200ms", "--format", "json", dump);

    assertThat(json.code).isEqualTo(ExitCode.UNDETERMINED);
    assertThat(json.err)
        .contains("vmcore.gz: stopped by the deadline of 200 ms before there was an answer");
    DumpReport report = ReportReader.read("json", json.out);
    assertThat(report.verdict().kind()).isEqualTo("undetermined");
    assertThat(report.verdict().reasons()).anyMatch(reason -> reason.contains("200 ms"));
    assertThat(report.checks()).isNotEmpty().allMatch(CheckOutcome.Skipped.class::isInstance);
    assertThat(report.dump().path()).isEqualTo(dump);

    for (String format : new String[] {"text", "html", "sarif", "junit"}) {
      Result other = run("check", "--deadline", "50ms", "--format", format, dump);
      assertThat(other.code).as(format).isEqualTo(ExitCode.UNDETERMINED);
      assertThat(other.out).as(format).contains("the deadline of 50 ms");
    }
  }
}
