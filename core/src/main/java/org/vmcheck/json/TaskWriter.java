package org.vmcheck.json;

import java.io.StringWriter;
import java.util.List;
import java.util.Locale;
import java.util.function.BiConsumer;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskTrace;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// Tasks, their stacks and the machine at a glance as JSON, with the definitions `task`, `trace`
/// and `state` of the report's schema.
public final class TaskWriter extends JsonWriter {
  TaskWriter(JsonGenerator json) {
    super(json);
  }

  /// A JSON array, one task a line.
  public static String tasks(List<Task> tasks) {
    return array(tasks, TaskWriter::task);
  }

  /// A JSON array, one stack a line.
  public static String traces(List<TaskTrace> traces) {
    return array(traces, TaskWriter::trace);
  }

  /// The kernel log as a JSON array, one record a line.
  public static String log(List<LogLine> lines) {
    return array(lines, TaskWriter::line);
  }

  private static <T> String array(List<T> all, BiConsumer<TaskWriter, T> one) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator =
        new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      TaskWriter writer = new TaskWriter(generator);
      generator.writeStartArray();
      for (T element : all) {
        generator.writeRaw('\n');
        one.accept(writer, element);
      }
      generator.writeEndArray();
    }
    return out.append('\n').toString();
  }

  /// The property `state` of a report.
  void state(MachineState state) {
    json.writeObjectPropertyStart("state");
    if (state.panicking().isPresent()) {
      json.writeName("panicking");
      trace(state.panicking().get());
    }
    json.writeObjectPropertyStart("otherCpus");
    state.others().forEach((name, count) -> json.writeNumberProperty(Printable.of(name), count));
    json.writeEndObject();
    if (state.uptimeSeconds() < 0) {
      json.writeNullProperty("uptimeSeconds");
    } else {
      json.writeNumberProperty("uptimeSeconds", Math.round(state.uptimeSeconds() * 1000) / 1000.0);
    }
    json.writeArrayPropertyStart("load");
    state.load().forEach(average -> json.writeNumber(Math.round(average * 100) / 100.0));
    json.writeEndArray();
    json.writeNumberProperty("memoryBytes", state.memoryBytes());
    json.writeObjectPropertyStart("tasks");
    state.taskStates().forEach(json::writeNumberProperty);
    json.writeEndObject();
    json.writeArrayPropertyStart("log");
    state.lastLines().forEach(this::line);
    json.writeEndArray();
    json.writeEndObject();
  }

  private void line(LogLine line) {
    json.writeStartObject();
    json.writeNumberProperty("timestampNanos", line.timestampNanos());
    json.writeNumberProperty("level", line.level());
    text("text", line.text());
    json.writeEndObject();
  }

  private void task(Task task) {
    json.writeStartObject();
    members(task);
    json.writeEndObject();
  }

  private void members(Task task) {
    hex("address", task.address());
    json.writeNumberProperty("pid", task.pid());
    json.writeNumberProperty("tgid", task.tgid());
    text("comm", task.comm());
    text("state", String.valueOf(task.letter()));
    json.writeNumberProperty("cpu", task.cpu());
    json.writeBooleanProperty("kernelThread", task.isKernelThread());
    if (task.residentPages() < 0) {
      json.writeNullProperty("residentPages");
    } else {
      json.writeNumberProperty("residentPages", task.residentPages());
    }
    hex("stack", task.stack());
  }

  private void trace(TaskTrace trace) {
    json.writeStartObject();
    json.writeObjectPropertyStart("task");
    members(trace.task());
    json.writeEndObject();
    if (trace.cpu() >= 0) {
      json.writeNumberProperty("onCpu", trace.cpu());
    }
    Backtrace backtrace = trace.backtrace();
    json.writeArrayPropertyStart("frames");
    for (Backtrace.Frame frame : backtrace.frames()) {
      json.writeStartObject();
      hex("slot", frame.slot());
      hex("ip", frame.ip());
      text("text", frame.text());
      text("mark", frame.mark().name().toLowerCase(Locale.ROOT));
      text("stack", frame.stack());
      if (frame.registers().isPresent()) {
        registers(frame.registers().get());
      }
      json.writeEndObject();
    }
    json.writeEndArray();
    text("end", backtrace.end().name().toLowerCase(Locale.ROOT));
    text("why", backtrace.why());
    json.writeEndObject();
  }

  private void registers(Registers registers) {
    json.writeObjectPropertyStart("registers");
    registers.words().forEach(this::hex);
    json.writeEndObject();
  }
}
