package org.vmcheck.cli;

import java.util.concurrent.Callable;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.Place;
import org.vmcheck.io.Printable;
import org.vmcheck.json.DeskWriter;
import org.vmcheck.report.HexDump;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The question that is asked most at a desk: what is this address?
@Command(
    name = "object",
    description = "Show the slab object that holds an address: cache, state, bytes, neighbours.",
    mixinStandardHelpOptions = true)
final class ObjectCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1",
      paramLabel = "ADDRESS",
      converter = AddressArgument.Converter.class,
      description = AddressArgument.FORMS)
  private AddressArgument place;

  @Option(names = "--unmask", description = DumpOptions.UNMASK)
  private boolean unmask;

  private final StringBuilder out = new StringBuilder();

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      if (unmask) {
        DumpOptions.unmask(spec, analyzer);
      }
      ObjectAnswer object = object(analyzer);
      if (form.isJson()) {
        Streams.write(spec, null, DeskWriter.object(object));
        return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
      }
      field("address", "0x%x, physical 0x%x".formatted(object.address(), object.physical()));
      field("cache", object.cache());
      field("slab", "0x%x, %s".formatted(object.slab(), object.place()));
      field(
          "object",
          "%d of %d at 0x%x, %d bytes; the address is %+d"
              .formatted(
                  object.index(),
                  object.objects(),
                  object.object(),
                  object.objectSize(),
                  object.offset()));
      field("state", object.state());
      if (object.pointedBy() != Evidence.UNKNOWN) {
        field("pointed by", "the word at 0x%x".formatted(object.pointedBy()));
      }
      if (object.pointedBy() != Evidence.UNKNOWN && object.slot() != Evidence.UNKNOWN) {
        field(
            "free ptr",
            "at 0x%x: 0x%016x, leads to 0x%x"
                .formatted(object.slot(), object.raw(), object.decoded()));
      }
      for (String event : object.history()) {
        field("history", event);
      }
      for (String neighbour : object.neighbours()) {
        field("neighbour", neighbour);
      }
      if (object.hex().length() / 2 > object.objectSize()) {
        field(
            "behind it",
            "from 0x%x on: red zone, free pointer and tracking"
                .formatted(object.object() + object.objectSize()));
      }
      int mark = Math.clamp(object.offset(), 0, Integer.MAX_VALUE);
      // A slab is one piece of physical memory.
      long first = object.physical() - object.offset();
      IntPredicate isGuessed = i -> analyzer.isGuessed(first + i);
      if (IntStream.range(0, object.hex().length() / 2).anyMatch(isGuessed)) {
        field("guessed", DumpOptions.GUESSED);
      }
      HexDump.append(out, object.object(), object.hex(), mark, mark + 1, "", isGuessed);
      Streams.write(spec, null, out.toString());
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  /// The object; where there is none, what else the address is.
  private ObjectAnswer object(Analyzer analyzer) throws Exception {
    long address = place.in(analyzer);
    try {
      return analyzer.object(address);
    } catch (UnansweredException none) {
      Place other = analyzer.desk().place(address);
      if (!other.isSomething() || other.kind() == Place.Kind.SLAB_OBJECT) {
        throw none;
      }
      throw new UnansweredException(none.getMessage() + "; it is " + other.words());
    }
  }

  private void field(String name, String value) {
    out.append("%-11s %s%n".formatted(name, Printable.of(value)));
  }
}
