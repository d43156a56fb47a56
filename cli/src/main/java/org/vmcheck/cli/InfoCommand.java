package org.vmcheck.cli;

import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.MachineState;
import org.vmcheck.io.Printable;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.report.MachineText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// What a dump is, at once.
@Command(
    name = "info",
    description = "Show the container, the kernel and the panic.",
    mixinStandardHelpOptions = true)
final class InfoCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Option(names = "--vmcoreinfo", description = "Print the text of VMCOREINFO as well.")
  private boolean vmcoreinfo;

  private final StringBuilder out = new StringBuilder();

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      Optional<KernelFacts> kernel = analyzer.kernelFacts();
      Optional<MachineState> state = analyzer.machineState();
      if (form.isJson()) {
        Streams.write(
            spec,
            null,
            ReportWriter.info(
                analyzer.dumpFacts(),
                kernel,
                analyzer.kernels(),
                state,
                analyzer.kernelProblems()));
        return exitCode(analyzer, kernel);
      }
      container(analyzer.dumpFacts(), analyzer.pagesInPart());
      kernel.ifPresent(this::kernel);
      analyzer.vmcoreinfoBasis().ifPresent(basis -> field("vmcoreinfo", "by " + basis));
      kernels(analyzer.kernels());
      state.ifPresent(this::state);
      for (String problem : analyzer.kernelProblems()) {
        field("problem", problem);
      }
      state.ifPresent(
          found -> {
            out.append('\n');
            MachineText.lines(found).forEach(line -> out.append(line).append('\n'));
          });
      if (vmcoreinfo) {
        out.append('\n');
        for (String line : analyzer.vmcoreinfo().lines().toList()) {
          out.append(Printable.of(line)).append('\n');
        }
      }
      Streams.write(spec, null, out.toString());
      return exitCode(analyzer, kernel);
    }
  }

  private int exitCode(Analyzer analyzer, Optional<KernelFacts> kernel) {
    return DumpOptions.exitCode(
        spec,
        analyzer,
        kernel.filter(KernelFacts::isFound).isPresent() ? ExitCode.INTACT : ExitCode.UNDETERMINED);
  }

  private void container(DumpFacts facts, long inPart) {
    out.append("%-11s %s%n".formatted("file", Printable.path(facts.path())));
    field("size", "%,d bytes".formatted(facts.fileBytes()));
    field(
        "format",
        facts.format()
            + (facts.version() > 0 ? ", header version " + facts.version() : "")
            + (facts.flattened() ? ", flattened" : ""));
    if (!facts.codecs().isEmpty()) {
      field("codecs", String.join(", ", facts.codecs()));
    }
    if (facts.dumpLevel() >= 0) {
      field("dump level", Integer.toString(facts.dumpLevel()));
    }
    DumpFacts.PageTotals pages = facts.pages();
    field(
        "pages",
        "%,d, of these %,d stored, %,d excluded, %,d missing%s"
            .formatted(
                pages.total(),
                pages.stored(),
                pages.excluded(),
                pages.missing(),
                inPart == 0 ? "" : ", %,d stored in part".formatted(inPart)));
    field("complete", facts.complete() ? "yes" : "NO");
  }

  /// Where there is more than one.
  private void kernels(List<KernelEntry> kernels) {
    for (KernelEntry entry : kernels) {
      if (kernels.size() > 1 || entry.capture()) {
        field("kernel " + entry.number(), entry.words() + (entry.judged() ? " (shown here)" : ""));
      }
    }
  }

  /// What the file says of a kernel that was not found.
  private void ofFile(KernelFacts kernel) {
    field("release", kernel.release());
    field("machine", kernel.machine().isEmpty() ? "not known" : kernel.machine());
    field("build id", kernel.buildId().isEmpty() ? "not known" : kernel.buildId());
    field("memory", "%,d MiB".formatted(kernel.memoryBytes() >> 20));
    if (kernel.panic().crashTime() > 0) {
      field("time", Instant.ofEpochSecond(kernel.panic().crashTime()).toString());
    }
    field("kernel", "not found; the lines above are from the file's header and VMCOREINFO");
  }

  private void kernel(KernelFacts kernel) {
    if (!kernel.isFound()) {
      ofFile(kernel);
      return;
    }
    field("release", kernel.release());
    field("version", kernel.version());
    field("machine", kernel.machine());
    field("nodename", kernel.nodename());
    field("build id", kernel.buildId());
    field("cpus", kernel.cpus() < 0 ? "not known" : kernel.cpus() + " online");
    field("memory", "%,d MiB".formatted(kernel.memoryBytes() >> 20));
    field("command", kernel.commandLine());
    field("taint", kernel.taint().isEmpty() ? "none" : kernel.taint());
    field("paging", kernel.pagingLevels() + " levels");
    field("kaslr", "0x" + Long.toHexString(kernel.kaslrOffset()));
    field("phys_base", "0x" + Long.toHexString(kernel.physBase()));
    field(
        "encryption",
        kernel.smeMask() == 0 ? "off" : "mask 0x" + Long.toHexString(kernel.smeMask()));
    field(
        "symbols",
        kernel.symbolCount() == 0
            ? "none"
            : "%,d from %s".formatted(kernel.symbolCount(), kernel.symbolSource()));
    field("types", kernel.typeSource().isEmpty() ? "none" : kernel.typeSource());
    field(
        "slab",
        kernel.allocator().isEmpty()
            ? "not known"
            : kernel.allocator()
                + (kernel.slabVariant().isEmpty() ? "" : ", " + kernel.slabVariant()));
    field("panic", kernel.panic().message().isEmpty() ? "none" : kernel.panic().message());
    field("panic cpu", kernel.panic().cpu() < 0 ? "none" : "" + kernel.panic().cpu());
    if (kernel.panic().crashTime() > 0) {
      field("time", Instant.ofEpochSecond(kernel.panic().crashTime()).toString());
    }
  }

  private void state(MachineState state) {
    field("task", MachineText.task(state));
    field("uptime", MachineText.machine(state));
    if (!state.others().isEmpty()) {
      field("other cpus", MachineText.others(state));
    }
  }

  private void field(String name, String value) {
    out.append("%-11s %s%n".formatted(name, Printable.of(value)));
  }
}
