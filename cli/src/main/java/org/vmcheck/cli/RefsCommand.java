package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Holder;
import org.vmcheck.finding.RefsAnswer;
import org.vmcheck.io.Printable;
import org.vmcheck.json.DeskWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// Who holds an object.
@Command(
    name = "refs",
    description = {
      "List the words of memory that lead to an address, or into the object that has it.",
      "",
      "Pages that are free, a user's or page tables are not searched. Who holds the object live"
          + " stands first; free objects and unused parts of stacks come last, as stale."
    },
    mixinStandardHelpOptions = true)
final class RefsCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1",
      paramLabel = "ADDRESS",
      converter = AddressArgument.Converter.class,
      description = AddressArgument.FORMS)
  private AddressArgument address;

  @Option(
      names = "--exact",
      description = "Only words that are the address itself, not those that lead into its object.")
  private boolean exact;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      RefsAnswer answer = analyzer.desk().refs(address.in(analyzer), exact);
      dump.clearProgress();
      form.write(spec, () -> DeskWriter.refs(answer), () -> text(answer));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  private static String text(RefsAnswer answer) {
    StringBuilder out = new StringBuilder();
    out.append(
        "0x%x: %s%n".formatted(answer.target().address(), Printable.of(answer.target().words())));
    if (answer.size() > 1) {
      out.append("words that lead to 0x%x, %,d bytes:%n".formatted(answer.start(), answer.size()));
    }
    Holder.Rank rank = null;
    for (Holder holder : answer.holders()) {
      if (rank == null || !rank.words().equals(holder.rank().words())) {
        rank = holder.rank();
        out.append(rank.words()).append('\n');
      }
      out.append(
          "  %016x -> %s  %s%n"
              .formatted(
                  holder.address(),
                  inTarget(holder.word() - answer.start()),
                  Printable.of(holder.place().words())));
    }
    long unlisted = answer.total() - answer.holders().size();
    if (unlisted > 0) {
      out.append("and %,d more%n".formatted(unlisted));
    }
    out.append(
        "%s in %s of the kernel; %,d free pages, users' pages and page tables not searched%s%n"
            .formatted(
                Counted.of(answer.total(), "words"),
                Counted.of(answer.pages(), "pages"),
                answer.passedOver(),
                answer.unread() == 0
                    ? ""
                    : "; not read: " + Counted.of(answer.unread(), "stored pages")));
    return out.toString();
  }

  private static String inTarget(long offset) {
    return "%-7s".formatted(offset == 0 ? "start" : "+0x%x".formatted(offset));
  }
}
