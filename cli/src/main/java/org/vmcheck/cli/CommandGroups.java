package org.vmcheck.cli;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Help;

/// The commands by groups, for `vmcheck --help`.
final class CommandGroups {
  static final String REST = "Others";

  private CommandGroups() {}

  /// The list of commands, by groups; a command of none comes last.
  static String render(Help help) {
    Map<String, Help> all = new LinkedHashMap<>(help.subcommands());
    StringBuilder out = new StringBuilder();
    for (Commands.Group group : Commands.Group.values()) {
      List<String> names =
          group.commands().stream().map(Commands::word).filter(all::containsKey).toList();
      append(out, group.heading(), names, all);
      names.forEach(all::remove);
    }
    append(out, REST, List.copyOf(all.keySet()), all);
    return out.toString();
  }

  private static void append(
      StringBuilder out, String heading, List<String> names, Map<String, Help> all) {
    if (names.isEmpty()) {
      return;
    }
    out.append("%n%s:%n".formatted(heading));
    for (String name : names) {
      String[] description = all.get(name).commandSpec().usageMessage().description();
      out.append("  %-10s %s%n".formatted(name, description.length == 0 ? "" : description[0]));
    }
  }
}
