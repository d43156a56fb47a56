package org.vmcheck.cli;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.io.Printable;
import org.vmcheck.report.CatalogueJson;

/// Tells somebody: runs a command for each new verdict that was asked for, with the incident as
/// JSON on its standard input. Nothing of the incident is on its command line, and no shell reads
/// any of it.
final class Notifier {
  /// Where what the command prints goes, and why it failed.
  interface Listener {
    void printed(String line);

    void failed(CatalogueEntry entry, String why);
  }

  private static final Duration TIME = Duration.ofSeconds(30);
  private static final int MAX_PRINTED = 64 << 10;

  private final List<String> command;
  private final Set<String> verdicts;
  private final Duration time;
  private final Listener listener;

  Notifier(List<String> command, Set<String> verdicts, Listener listener) {
    this(command, verdicts, TIME, listener);
  }

  /// @param time that one run may take
  Notifier(List<String> command, Set<String> verdicts, Duration time, Listener listener) {
    this.command = List.copyOf(command);
    this.verdicts = Set.copyOf(verdicts);
    this.time = time;
    this.listener = listener;
  }

  /// The words of a command: between blanks, or between quotes of either kind.
  ///
  /// @throws Failures.UsageException if a quote is not closed, or its program is not there
  static List<String> words(String text) throws Failures.UsageException {
    List<String> words = new ArrayList<>();
    StringBuilder word = new StringBuilder();
    boolean inWord = false;
    char quote = 0;
    for (int at = 0; at < text.length(); at++) {
      char c = text.charAt(at);
      if (quote != 0 && c == quote) {
        quote = 0;
      } else if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
        inWord = true;
      } else if (quote == 0 && Character.isWhitespace(c)) {
        if (inWord) {
          words.add(word.toString());
        }
        word.setLength(0);
        inWord = false;
      } else {
        word.append(c);
        inWord = true;
      }
    }
    if (inWord) {
      words.add(word.toString());
    }
    if (quote != 0 || words.isEmpty()) {
      throw new Failures.UsageException(
          "--notify: " + (quote != 0 ? "a quote is not closed" : "expected a command"));
    }
    if (!isProgram(words.getFirst())) {
      throw new Failures.UsageException("--notify: no program " + words.getFirst());
    }
    return words;
  }

  private static boolean isProgram(String name) {
    if (name.contains("/")) {
      return Files.isExecutable(Path.of(name)) && !Files.isDirectory(Path.of(name));
    }
    String path = System.getenv("PATH");
    for (String directory : (path == null ? "/usr/bin:/bin" : path).split(":")) {
      if (!directory.isEmpty() && Files.isExecutable(Path.of(directory, name))) {
        return true;
      }
    }
    return false;
  }

  /// Tells of an incident whose verdict is new; copies of another dump and kdump's own tests are no
  /// news.
  void newVerdict(CatalogueEntry entry) {
    if (!verdicts.contains(entry.verdict()) || !entry.isCounted()) {
      return;
    }
    try {
      run(entry);
    } catch (IOException failure) {
      listener.failed(entry, String.valueOf(failure.getMessage()));
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  private void run(CatalogueEntry entry) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    try {
      byte[] json = CatalogueJson.incident(entry).getBytes(StandardCharsets.UTF_8);
      // A command that reads nothing, or prints without end, must not hold the scan.
      Thread writer = Thread.ofPlatform().daemon().start(() -> write(process, json));
      Thread reader = Thread.ofPlatform().daemon().start(() -> read(process));
      if (!process.waitFor(time.toMillis(), TimeUnit.MILLISECONDS)) {
        listener.failed(entry, "took more than %d s, and was ended".formatted(time.toSeconds()));
        return;
      }
      // Something that it left behind may hold the pipes open.
      reader.join(Duration.ofSeconds(1));
      writer.join(Duration.ofSeconds(1));
      if (process.exitValue() != 0) {
        listener.failed(entry, "exit code " + process.exitValue());
      }
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
  }

  private static void write(Process process, byte[] json) {
    try (OutputStream in = process.getOutputStream()) {
      in.write(json);
    } catch (IOException _) {
      // It did not want to know.
    }
  }

  private void read(Process process) {
    try {
      String printed =
          new String(process.getInputStream().readNBytes(MAX_PRINTED), StandardCharsets.UTF_8);
      printed.lines().forEach(line -> listener.printed(Printable.of(line)));
      process.getInputStream().transferTo(OutputStream.nullOutputStream());
    } catch (IOException _) {
      // It was ended.
    }
  }
}
