package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.SequenceInputStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.TestData;

/// The commands of the desk as a user types them.
class DeskCommandsTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... words) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Main.run(new PrintWriter(out), new PrintWriter(err), words);
  }

  private String answer(String... words) {
    assertThat(run(words)).as("%s", err).isEqualTo(ExitCode.INTACT);
    return out.toString();
  }

  /// The first line of what is said of a command line.
  private String error(int code, String... words) {
    err.getBuffer().setLength(0);
    assertThat(run(words)).isEqualTo(code);
    return err.toString().lines().findFirst().orElse("");
  }

  private static String dump() throws Exception {
    return TestData.named("healthy").dump().toString();
  }

  @Test
  void aWordIsExplained() throws Exception {
    assertThat(answer("word", dump(), "0xdead000000000100"))
        .startsWith("0xdead000000000100\n  likely  LIST_POISON1");
    assertThat(answer("word", dump(), "schedule+0x10")).contains("kernel text schedule+0x10");
    assertThat(answer("word", dump(), "runqueues:0")).contains("per-CPU runqueues of cpu 0");
    AnswerSchema.assertFits("word", answer("word", dump(), "init_task", "--format", "json"));
    AnswerSchema.assertFits("word", answer("word", dump(), "41424344", "--format", "json"));
  }

  @Test
  void manyWordsComeFromStandardInput() throws Exception {
    InputStream before = System.in;
    try {
      System.setIn(input("init_task\n\n0xdead000000000100  init_task+0x8\n"));
      assertThat(answer("word", dump(), "-", "--format", "json").lines())
          .hasSize(2)
          .allSatisfy(line -> AnswerSchema.assertFits("word", line));
      System.setIn(input("init_task\n1 2 3\n"));
      assertThat(run("word", dump(), "-")).isEqualTo(ExitCode.USAGE);
      assertThat(err.toString()).contains("line 2 of standard input: expected a value");
      System.setIn(input("init_task\n" + "f".repeat(4096) + "\n"));
      assertThat(run("word", dump(), "-")).isEqualTo(ExitCode.USAGE);
      assertThat(err.toString()).hasSizeLessThan(1000).contains("got fffff").contains("...");
      // Of what never ends no more is read than tells that.
      InputStream endless = new SequenceInputStream(input("init_task\n"), new EndlessInput('f'));
      System.setIn(endless);
      assertThat(run("word", dump(), "-")).isEqualTo(ExitCode.USAGE);
      assertThat(err.toString()).contains("line 2 of standard input: longer than 4096 characters");
      assertThat(run("word", dump(), "-", "--at", "init_task")).isEqualTo(ExitCode.USAGE);
      assertThat(run("word", dump(), "+5")).isEqualTo(ExitCode.USAGE);
      assertThat(err.toString()).contains("VALUE: expected a hexadecimal address");
    } finally {
      System.setIn(before);
    }
  }

  private static final class EndlessInput extends InputStream {
    private final int each;

    EndlessInput(int each) {
      this.each = each;
    }

    @Override
    public int read() {
      return each;
    }

    @Override
    public int read(byte[] bytes, int from, int count) {
      Arrays.fill(bytes, from, from + count, (byte) each);
      return count;
    }
  }

  private static InputStream input(String text) {
    return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void symbolsAreAddresses() throws Exception {
    String bySymbol = answer("read", dump(), "linux_banner", "0x20");
    String address = bySymbol.replaceFirst("(?s)^0x([0-9a-f]+) .*$", "$1");

    assertThat(bySymbol).contains("<linux_banner>").contains("Linux version");
    assertThat(answer("read", dump(), address, "32")).isEqualTo(bySymbol);
    assertThat(answer("read", dump(), "linux_banner+0x6", "2")).contains("76 65");
    assertThat(answer("bt", dump(), "init_task")).contains("swapper/0");
    assertThat(run("object", dump(), "linux_banner")).isEqualTo(ExitCode.UNDETERMINED);
    assertThat(err.toString()).contains("is not in the direct map");
  }

  @Test
  void whatIsNoAddressIsRefused() throws Exception {
    assertThat(run("read", dump(), "no_such_symbol")).isEqualTo(ExitCode.UNDETERMINED);
    assertThat(err.toString()).contains("the kernel has no symbol no_such_symbol");
    assertThat(run("read", dump(), "runqueues:4711")).isEqualTo(ExitCode.UNDETERMINED);
    assertThat(err.toString()).contains("no symbol runqueues for cpu 4711");
    assertThat(run("read", dump(), "+5")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString())
        .contains("expected a hexadecimal address, symbol or symbol+0x10, got +5");
  }

  @Test
  void lengthsAreNumbersOfBytes() throws Exception {
    assertThat(answer("read", dump(), "linux_banner", "0x40"))
        .isEqualTo(answer("read", dump(), "linux_banner", "64"));
    assertThat(answer("read", dump(), "_text", "1K").lines()).hasSize(1 + 64);
    for (String wrong : new String[] {"0", "2M", "x", "-1", "0x", "99999999999"}) {
      assertThat(run("read", dump(), "_text", wrong)).as(wrong).isEqualTo(ExitCode.USAGE);
    }
  }

  @Test
  void memoryIsAnnotated() throws Exception {
    // The list of tasks leads to objects of their cache.
    String first = answer("tasks", dump(), "--format", "json");
    String task = first.replaceFirst("(?s)^.*\"address\":\"(0x[0-9a-f]+)\",\"pid\":2,.*$", "$1");

    assertThat(answer("read", dump(), task, "0x800", "--annotate"))
        .contains("stack of PID 2 \"kthreadd\"")
        .contains("task_struct object")
        .doesNotContain("NULL");
    assertThat(run("read", dump(), "0", "--phys", "--annotate")).isEqualTo(ExitCode.USAGE);
  }

  @Test
  void theLogComesAsJson() throws Exception {
    AnswerSchema.assertFits("log", answer("dmesg", dump(), "--format", "json"));
  }

  @Test
  void pointersOfTheLogAreTurnedBackWhereThereIsAKey() throws Exception {
    // This kernel crashed before it had made one.
    assertThat(run("dmesg", dump(), "--unhash")).isEqualTo(ExitCode.UNDETERMINED);
    assertThat(err.toString()).contains("ptr_key cannot be read, or was not made yet");
    String packed = TestData.named("debian-7.2").dump().toString();
    assertThat(answer("dmesg", packed, "--unhash")).isEqualTo(answer("dmesg", packed));
  }

  @Test
  void holdersAreListed() throws Exception {
    assertThat(answer("refs", dump(), "init_task"))
        .contains("kernel data init_task")
        .contains("held by\n")
        .contains("words in ");
    AnswerSchema.assertFits("refs", answer("refs", dump(), "init_task", "--format", "json"));
    assertThat(answer("refs", dump(), "init_task+0x1", "--exact")).contains("\n0 words in ");
  }

  @Test
  void patternsAreFound() throws Exception {
    assertThat(answer("find", dump(), "Linux version ")).contains("kernel data linux_banner");
    assertThat(answer("find", dump(), "--hex", "4c696e75782076657273696f6e20"))
        .contains("kernel data linux_banner");
    assertThat(answer("find", dump(), "0x57ac6e9d", "--mask", "0xffffffff", "--most", "1"))
        .contains(" more\n");
    AnswerSchema.assertFits("find", answer("find", dump(), "0x57ac6e9d", "--format", "json"));
    assertThat(run("find", dump(), "")).isEqualTo(ExitCode.USAGE);
    assertThat(run("find", dump(), "--hex", "4c6")).isEqualTo(ExitCode.USAGE);
    assertThat(run("find", dump(), "0xzz")).isEqualTo(ExitCode.USAGE);
    assertThat(run("find", dump(), "text", "--mask", "ff")).isEqualTo(ExitCode.USAGE);
    assertThat(run("find", dump(), "x", "--most", "0")).isEqualTo(ExitCode.USAGE);
  }

  @Test
  void answersComeAsJsonThatFitsTheSchema() throws Exception {
    AnswerSchema.assertFits("info", answer("info", dump(), "--format", "json"));
    AnswerSchema.assertFits("slabs", answer("slabs", dump(), "--format", "json"));
    AnswerSchema.assertFits("tasks", answer("tasks", dump(), "--format", "json"));
    AnswerSchema.assertFits("bt", answer("bt", dump(), "--format", "json"));
    String task = answer("bt", dump(), "2").replaceFirst("(?s)^.*?TASK: ([0-9a-f]{16}).*$", "0x$1");
    String object = answer("object", dump(), task, "--format", "json");
    AnswerSchema.assertFits("object", object);
    assertThat(object).contains("\"cache\":\"task_struct\"").contains("\"raw\":null");
  }

  @Test
  void aStrangersCommandLinesAreAnsweredOrExplained() throws Exception {
    String dump = dump();
    assertThat(answer("word", dump, "-22", "0x6b6b6b6b6b6b6b6b").lines())
        .contains("0xffffffffffffffea", "0x6b6b6b6b6b6b6b6b")
        .anyMatch(line -> line.contains("error -22"));
    assertThat(answer("word", dump, "1", "2", "--format", "json").lines()).hasSize(2);
    assertThat(error(ExitCode.USAGE, "word", dump, "1", "2", "--at", "0x10"))
        .isEqualTo("vmcheck: --at is the place of one value, and there are 2");
    assertThat(error(ExitCode.USAGE, "read", dump, "-1", "16"))
        .isEqualTo(
            "vmcheck: ADDRESS: expected a hexadecimal address, symbol or symbol+0x10, got -1");
    assertThat(error(ExitCode.USAGE, "slabs", dump, "--sort", "size"))
        .startsWith("vmcheck: --sort: expected one of [memory, ");
    assertThat(error(ExitCode.USAGE, "map", dump, "0x1000"))
        .isEqualTo("vmcheck: one argument too many: 0x1000");
    assertThat(error(ExitCode.USAGE, "refs", dump, "--exacly", "0x1000"))
        .isEqualTo("vmcheck: no such option: --exacly");
    assertThat(error(ExitCode.USAGE, "chek", dump)).isEqualTo("vmcheck: no such command: chek");
    assertThat(error(ExitCode.UNDETERMINED, "object", dump, "init_task"))
        .endsWith(
            " is not in the direct map: no slab object is there; it is kernel data init_task");
    assertThat(
            error(
                ExitCode.INTACT,
                "dmesg",
                TestData.named("debian-6.12").dump().toString(),
                "--unhash"))
        .isEqualTo("vmcheck: the log has no hashed pointer");
    assertThat(error(ExitCode.UNDETERMINED, "read", dump, "--phys", "0xfffffffffffff000", "64"))
        .endsWith("the page frame is not in the dump");
    assertThat(answer("slabs", dump, "kmalloc-64", "--top", "1"))
        .containsPattern("(?m)^[0-9,]+ of [0-9,]+ objects in use, [0-9,]+ slabs, ");
  }

  @Test
  void cachesAreSortedAndCounted() throws Exception {
    String largest = answer("slabs", dump(), "--sort", "memory", "--top", "3");
    List<String> lines = largest.lines().toList();
    // Whoever asks for the top and not of what means what takes most memory.
    assertThat(answer("slabs", dump(), "--top", "3")).isEqualTo(largest);

    assertThat(lines).hasSize(5);
    List<Long> memory =
        lines.subList(1, 4).stream()
            .map(line -> line.trim().split(" +"))
            .map(c -> Long.parseLong(c[4]) * Long.parseLong(c[5].replace("k", "")))
            .toList();
    assertThat(memory).isSortedAccordingTo(Comparator.reverseOrder());
    assertThat(lines.getLast()).matches("3 of [0-9]+ caches; all of them: .* KiB not in use");
    // The totals are those of the whole table.
    long slabs =
        answer("slabs", dump())
            .lines()
            .skip(1)
            .mapToLong(line -> Long.parseLong(line.trim().split(" +")[4]))
            .sum();
    assertThat(lines.getLast()).contains(", %,d slabs,".formatted(slabs));
    assertThat(run("slabs", dump(), "--top", "0")).isEqualTo(ExitCode.USAGE);
  }

  @Test
  void leaksListsWhatNothingLeadsTo() throws Exception {
    AnswerSchema.assertFits("leaks", answer("leaks", dump(), "--format", "json"));
    assertThat(answer("leaks", dump(), "--top", "1"))
        .contains("BYTES LOST", "kmalloc-96", "objects in use", "pages of the kernel that were");
  }

  /// A machine whose memory begins at 1 GiB has no low 1 MiB to draw: a page of empty cells.
  @Test
  void noLowMemoryIsDrawnWhereThereIsNone() throws Exception {
    String dump = TestData.named("debian-7.2-arm64").dump().toString();
    assertThat(run("check", "--format", "html", dump)).isEqualTo(ExitCode.KERNEL_DAMAGED);
    assertThat(out.toString())
        .doesNotContain("low 1 MiB of", "id=\"low-memory\"")
        .hasSizeLessThan(100_000);
    assertThat(answer("map", "--format", "svg", dump))
        .contains("memory of ")
        .doesNotContain("low 1 MiB");
  }
}
