package org.vmcheck.cli;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Help;

/// The commands in the order in which they are met, for `vmcheck --help`.
final class CommandGroups {
  /// A heading, and the commands under it.
  private record Group(String heading, List<String> commands) {}

  static final String REST = "Others";

  private static final List<Group> GROUPS =
      List.of(
          new Group("One dump", List.of("check", "info", "explain", "map")),
          new Group("What was running", List.of("bt", "tasks", "dmesg")),
          new Group("Memory", List.of("word", "object", "refs", "find", "slabs", "leaks", "read")),
          new Group("Many dumps", List.of("scan", "catalogue", "compare")),
          new Group("Evidence and this machine", List.of("evidence", "verify", "doctor")));

  private CommandGroups() {}

  /// The list of commands, by groups; a command of none comes last.
  static String render(Help help) {
    Map<String, Help> all = new LinkedHashMap<>(help.subcommands());
    StringBuilder out = new StringBuilder();
    for (Group group : GROUPS) {
      List<String> names = group.commands.stream().filter(all::containsKey).toList();
      append(out, group.heading, names, all);
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
