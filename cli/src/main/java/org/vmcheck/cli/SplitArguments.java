package org.vmcheck.cli;

import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.analysis.Analyzer;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;

/// Lets a command that takes one dump take the parts of a split one: files next to each other whose
/// headers say that they belong together stand for one argument.
final class SplitArguments {
  private SplitArguments() {}

  /// @param words the command's name and its arguments
  /// @return the words without the parts that follow another of their dump
  static String[] gather(CommandLine line, String[] words) {
    CommandSpec command = line.getSubcommands().get(words[0]).getCommandSpec();
    DumpOptions options = options(command);
    if (options == null
        || command.positionalParameters().stream().anyMatch(ArgSpec::isMultiValue)) {
      return words;
    }
    List<String> kept = new ArrayList<>();
    Map<Path, List<Path>> parts = new HashMap<>();
    for (int from = 0; from < words.length; ) {
      int to = from;
      while (to < words.length && isFile(words[to])) {
        to++;
      }
      if (to - from < 2) {
        kept.add(words[from++]);
        continue;
      }
      for (List<Path> dump : Analyzer.group(paths(words, from, to))) {
        kept.add(dump.getFirst().toString());
        if (dump.size() > 1) {
          parts.put(dump.getFirst(), dump);
        }
      }
      from = to;
    }
    if (parts.isEmpty()) {
      return words;
    }
    options.setParts(parts);
    return kept.toArray(String[]::new);
  }

  /// The options of reading a dump that a command has; null if it reads none.
  private static DumpOptions options(CommandSpec command) {
    for (CommandSpec mixin : command.mixins().values()) {
      if (mixin.userObject() instanceof DumpOptions options) {
        return options;
      }
    }
    return null;
  }

  private static List<Path> paths(String[] words, int from, int to) {
    List<Path> paths = new ArrayList<>();
    for (int i = from; i < to; i++) {
      paths.add(Path.of(words[i]));
    }
    return paths;
  }

  private static boolean isFile(String word) {
    try {
      return !word.isEmpty() && !word.startsWith("-") && Files.isRegularFile(Path.of(word));
    } catch (InvalidPathException _) {
      return false;
    }
  }
}
