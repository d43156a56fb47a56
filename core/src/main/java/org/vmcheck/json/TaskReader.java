package org.vmcheck.json;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskTrace;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// Reads back what [TaskWriter] writes into a report.
final class TaskReader {
  private static final Pattern REGISTER = Pattern.compile("[A-Za-z0-9_]{1,16}");

  private TaskReader() {}

  static MachineState state(JsonObject json) throws MalformedFileException {
    List<LogLine> log = new ArrayList<>();
    for (JsonObject line : json.objects("log")) {
      log.add(
          new LogLine(line.number("timestampNanos"), line.integer("level"), line.string("text")));
    }
    return new MachineState(
        json.has("panicking") ? Optional.of(trace(json.object("panicking"))) : Optional.empty(),
        counts(json.object("otherCpus")),
        json.isNull("uptimeSeconds") ? -1 : json.decimal("uptimeSeconds"),
        json.decimals("load"),
        json.number("memoryBytes"),
        counts(json.object("tasks")),
        log);
  }

  private static SortedMap<String, Integer> counts(JsonObject json) throws MalformedFileException {
    SortedMap<String, Integer> counts = new TreeMap<>();
    for (String name : json.names()) {
      counts.put(Printable.of(name), json.integer(name));
    }
    return counts;
  }

  private static TaskTrace trace(JsonObject json) throws MalformedFileException {
    List<Backtrace.Frame> frames = new ArrayList<>();
    for (JsonObject frame : json.objects("frames")) {
      frames.add(
          new Backtrace.Frame(
              frame.word("slot"),
              frame.word("ip"),
              frame.string("text"),
              constant(frame, "mark", Backtrace.Mark.class),
              frame.string("stack"),
              frame.has("registers")
                  ? Optional.of(registers(frame.object("registers")))
                  : Optional.empty()));
    }
    return new TaskTrace(
        task(json.object("task")),
        json.has("onCpu") ? json.integer("onCpu") : -1,
        frames.isEmpty() ? Optional.empty() : frames.getFirst().registers(),
        new Backtrace(frames, constant(json, "end", Backtrace.End.class), json.string("why")));
  }

  private static Task task(JsonObject json) throws MalformedFileException {
    String state = json.string("state");
    if (state.length() != 1) {
      throw json.wrong("state", "a letter");
    }
    return new Task(
        json.word("address"),
        json.integer("pid"),
        json.integer("tgid"),
        json.string("comm"),
        state.charAt(0),
        json.flag("kernelThread"),
        json.integer("cpu"),
        json.isNull("residentPages") ? -1 : json.number("residentPages"),
        json.word("stack"),
        0);
  }

  private static Registers registers(JsonObject json) throws MalformedFileException {
    Map<String, Long> words = new LinkedHashMap<>();
    for (Object name : json.members().keySet()) {
      // It is printed as it is.
      if (!REGISTER.matcher(name.toString()).matches()) {
        throw json.wrong("registers", "the names of registers");
      }
      words.put(name.toString(), json.word(name.toString()));
    }
    if (!words.containsKey("RIP") && !words.containsKey("pc")) {
      throw json.wrong("RIP", "a register that says where the processor was");
    }
    return Registers.of(words);
  }

  private static <E extends Enum<E>> E constant(JsonObject json, String name, Class<E> type)
      throws MalformedFileException {
    String text = json.string(name);
    for (E constant : type.getEnumConstants()) {
      if (constant.name().toLowerCase(Locale.ROOT).equals(text)) {
        return constant;
      }
    }
    throw json.wrong(name, "one of the words of the schema");
  }
}
