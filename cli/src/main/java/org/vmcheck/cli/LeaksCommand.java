package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.json.DeskWriter;
import org.vmcheck.report.LeaksText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// What was lost.
@Command(
    name = "leaks",
    description = {
      "List slab objects in use that nothing in memory leads to, by cache and by who allocated"
          + " them.",
      "",
      "A pointer to any byte of an object counts, wherever it stands in the kernel's memory. Who"
          + " allocated an object is known where its cache keeps that (slub_debug=U); else what it"
          + " holds is shown.",
      "",
      "Listed wrongly: what is known only by its page frame, by a physical or DMA address, or by a"
          + " pointer that is encoded, lies in hardware, in a program's page or in one that is not"
          + " in the dump, and what is registered for good and whose pointer was thrown away, as"
          + " some sysctl tables are. Not listed: lost objects that lead to each other, and such as"
          + " an old word on a stack or in a buffer still leads to. A few are a curiosity;"
          + " thousands of one kind are an answer."
    },
    mixinStandardHelpOptions = true)
final class LeaksCommand implements Callable<Integer> {
  private static final int MOST = 1 << 20;

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Option(
      names = "--top",
      paramLabel = "N",
      description = "Only the first N caches; the totals count all.")
  private int top = Integer.MAX_VALUE;

  @Option(
      names = "--examples",
      paramLabel = "N",
      description = "How many addresses of each kind are listed (default: 3).")
  private int examples = 3;

  @Override
  public Integer call() throws Exception {
    if (top < 1) {
      throw new Failures.UsageException("--top: expected 1 or more, got " + top);
    }
    if (examples < 1 || examples > MOST) {
      throw new Failures.UsageException("--examples: expected 1 to " + MOST + ", got " + examples);
    }
    try (Analyzer analyzer = dump.open()) {
      LeaksAnswer answer = analyzer.leaks(examples);
      dump.clearProgress();
      form.write(spec, () -> DeskWriter.leaks(answer, top), () -> LeaksText.render(answer, top));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
