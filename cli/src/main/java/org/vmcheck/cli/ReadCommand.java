package org.vmcheck.cli;

import java.util.concurrent.Callable;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.MemoryAnswer;
import org.vmcheck.io.Printable;
import org.vmcheck.report.HexDump;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// Bytes of memory.
@Command(
    name = "read",
    description = "Dump memory in hexadecimal, with what the page is.",
    mixinStandardHelpOptions = true)
final class ReadCommand implements Callable<Integer> {
  private static final int MAX_BYTES = 1 << 20;

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;

  @Parameters(
      index = "1",
      paramLabel = "ADDRESS",
      converter = AddressArgument.Converter.class,
      description = AddressArgument.FORMS)
  private AddressArgument place;

  @Parameters(
      index = "2",
      paramLabel = "LEN",
      arity = "0..1",
      converter = ByteCount.class,
      description = "Number of " + ByteCount.FORMS + " (default: 64).")
  private int length = 64;

  @Option(names = "--unmask", description = DumpOptions.UNMASK)
  private boolean unmask;

  @Option(names = "--phys", description = "The address is physical.")
  private boolean physical;

  @Option(
      names = "--annotate",
      description = "One word of 8 bytes a line, with what it is (see vmcheck word).")
  private boolean annotate;

  @Override
  public Integer call() throws Exception {
    if (length < 1 || length > MAX_BYTES) {
      throw new Failures.UsageException("LEN: expected 1 to " + MAX_BYTES + ", got " + length);
    }
    if (annotate && physical) {
      throw new Failures.UsageException("--annotate needs a virtual address, without --phys");
    }
    try (Analyzer analyzer = dump.open()) {
      if (unmask) {
        DumpOptions.unmask(spec, analyzer);
      }
      long address = place.in(analyzer);
      MemoryAnswer answer = analyzer.read(address, length, physical);
      StringBuilder out = new StringBuilder();
      out.append(physical ? "physical " : "").append("0x").append(Long.toHexString(address));
      if (!answer.symbol().isEmpty()) {
        out.append(" <").append(Printable.of(answer.symbol())).append('>');
      }
      if (!physical && answer.physical() != -1) {
        out.append(", physical 0x").append(Long.toHexString(answer.physical()));
      }
      if (!answer.page().isEmpty()) {
        out.append(", page: ").append(Printable.of(answer.page()));
      }
      out.append('\n');
      if (!answer.caution().isEmpty()) {
        out.append(answer.caution()).append('\n');
      }
      StringBuilder hex = new StringBuilder();
      answer.bytes().forEach(b -> hex.append("%02x".formatted(b)));
      // Beyond a page's end the physical address of the next is another.
      long paddr = physical ? address : answer.physical();
      IntPredicate isGuessed =
          i ->
              paddr != -1
                  && analyzer.isGuessed(
                      physical ? paddr + i : analyzer.physical(address + i).orElse(-1));
      if (IntStream.range(0, answer.bytes().size()).anyMatch(isGuessed)) {
        out.append(DumpOptions.GUESSED).append('\n');
      }
      if (annotate) {
        WordText.annotate(out, analyzer.desk(), address, answer.bytes());
      } else {
        HexDump.append(out, address, hex.toString(), 0, 0, "", isGuessed);
      }
      if (!answer.end().isEmpty()) {
        out.append("ends here: ").append(Printable.of(answer.end())).append('\n');
      }
      Streams.write(spec, null, out.toString());
      return DumpOptions.exitCode(
          spec, analyzer, answer.end().isEmpty() ? ExitCode.INTACT : ExitCode.UNDETERMINED);
    }
  }
}
