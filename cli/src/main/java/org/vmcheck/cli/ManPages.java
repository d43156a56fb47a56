package org.vmcheck.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;
import picocli.CommandLine.Model.UsageMessageSpec;

/// Writes a manual page a command and the shell completions from the commands themselves, so that
/// they cannot say anything else than `--help`. Run when the package is made, not by users.
final class ManPages {
  private static final Pattern VALUES =
      Pattern.compile("(?m)^(  local \\w+_option_args=)(\\(.*\\))");

  private ManPages() {}

  /// @param args a directory: gets `man1`, `bash` and `zsh`
  public static void main(String[] args) throws IOException {
    PrintWriter nowhere = new PrintWriter(java.io.Writer.nullWriter());
    CommandLine line = Main.commandLine(nowhere, nowhere);
    Path directory = Path.of(args[0]);
    Path pages = Files.createDirectories(directory.resolve("man1"));
    for (CommandLine command : all(line)) {
      String name = command.getCommandSpec().qualifiedName("-");
      Files.writeString(pages.resolve(name + ".1"), page(command));
    }
    String bash = AutoComplete.bash("vmcheck", line);
    // It is read and not run, and picocli writes the date of the build in a comment.
    bash = bash.replaceFirst("^#!.*\\R", "").replaceAll("(?m)^# Date:.*\\R", "");
    // Values as they are documented and typed: TEXT is text, KERNEL_DAMAGED is kernel-damaged.
    bash =
        VALUES
            .matcher(bash)
            .replaceAll(
                match ->
                    Matcher.quoteReplacement(
                        match.group(1)
                            + match.group(2).toLowerCase(Locale.ROOT).replace('_', '-')));
    Files.writeString(Files.createDirectories(directory.resolve("bash")).resolve("vmcheck"), bash);
    Files.writeString(
        Files.createDirectories(directory.resolve("zsh")).resolve("_vmcheck"), zsh(bash));
  }

  /// What zsh needs to read bash's completion: it has no `compopt`, and only `filenames` from the
  /// start makes it go on behind a directory instead of ending the word there.
  private static String zsh(String bash) {
    return """
    #compdef vmcheck
    # zsh reads bash's completion.
    autoload -U +X bashcompinit && bashcompinit
    """
        + bash.replaceAll("(?m)^.*\\bcompopt\\b.*\\R", "")
            .replace("-o default vmcheck", "-o filenames -o default vmcheck")
        + """
        # zsh loads this file at the first TAB, which is to be answered, too.
        [ "${funcstack[1]}" = _vmcheck ] && _bash_complete -o filenames -o default -F _complete_vmcheck
        """;
  }

  private static List<CommandLine> all(CommandLine line) {
    List<CommandLine> commands = new ArrayList<>(List.of(line));
    line.getSubcommands().values().forEach(command -> commands.addAll(all(command)));
    return commands;
  }

  static String page(CommandLine command) {
    CommandSpec spec = command.getCommandSpec();
    UsageMessageSpec usage = spec.usageMessage();
    String name = spec.qualifiedName("-");
    List<String> description = List.of(usage.description());
    StringBuilder out = new StringBuilder();
    out.append(".TH ").append(name.toUpperCase(Locale.ROOT)).append(" 1 \"\" \"");
    out.append(Version.text()).append("\" \"User Commands\"\n.nh\n.ad l\n");
    section(out, "NAME");
    out.append(roff(name))
        .append(" \\- ")
        .append(roff(description.getFirst().replaceFirst("\\.$", "")))
        .append('\n');
    section(out, "SYNOPSIS");
    out.append(roff(plain(command.getHelp().synopsis(0)).strip().replaceAll("\\s+", " ")))
        .append('\n');
    section(out, "DESCRIPTION");
    for (String paragraph : description) {
      out.append(paragraph.isEmpty() ? ".PP\n" : roff(plain(paragraph)) + "\n");
    }
    if (!spec.positionalParameters().isEmpty() || !spec.options().isEmpty()) {
      section(out, "OPTIONS");
    }
    for (PositionalParamSpec parameter : spec.positionalParameters()) {
      argument(out, parameter.paramLabel(), parameter);
    }
    for (OptionSpec option : spec.options()) {
      if (!option.hidden()) {
        String names = String.join(", ", option.names());
        argument(
            out, option.arity().max() == 0 ? names : names + "=" + option.paramLabel(), option);
      }
    }
    if (!spec.subcommands().isEmpty()) {
      section(out, "COMMANDS");
      for (CommandLine sub : spec.subcommands().values()) {
        out.append(".TP\n\\fB").append(roff(sub.getCommandName())).append("\\fR\n");
        out.append(roff(plain(sub.getCommandSpec().usageMessage().description()[0]))).append('\n');
      }
    }
    Map<String, String> codes = usage.exitCodeList();
    if (codes.isEmpty()) {
      codes = command.getParent() == null ? codes : parents(command);
    }
    section(out, "EXIT STATUS");
    codes.forEach(
        (code, meaning) ->
            out.append(".TP\n")
                .append(code.strip())
                .append('\n')
                .append(roff(meaning))
                .append('\n'));
    examples(out, name);
    out.append(ManNotes.of(name));
    boolean isOfAll = command.getParent() == null;
    if (isOfAll || name.equals("vmcheck-check")) {
      entries(out, "MARKS OF THE REPORT", ManText.marks());
    }
    if (isOfAll) {
      entries(out, "FILES", ManText.files());
      entries(out, "ENVIRONMENT", ManText.environment());
    }
    section(out, "SEE ALSO");
    List<String> others = new ArrayList<>();
    if (command.getParent() != null) {
      others.add(command.getParent().getCommandSpec().qualifiedName("-"));
    }
    spec.subcommands().values().forEach(c -> others.add(c.getCommandSpec().qualifiedName("-")));
    out.append(String.join(", ", others.stream().map(o -> "\\fB" + roff(o) + "\\fR(1)").toList()));
    return out.append('\n').toString();
  }

  private static void examples(StringBuilder out, String name) {
    if (!ManText.examples(name).isEmpty()) {
      section(out, "EXAMPLES");
    }
    for (ManText.Example example : ManText.examples(name)) {
      out.append(".TP\n\\fBvmcheck ").append(roff(example.words())).append("\\fR\n");
      out.append(roff(example.what())).append('\n');
    }
  }

  private static void entries(StringBuilder out, String title, List<ManText.Entry> entries) {
    section(out, title);
    for (ManText.Entry entry : entries) {
      out.append(".TP\n\\fB").append(roff(entry.name())).append("\\fR\n");
      out.append(roff(entry.what())).append('\n');
    }
  }

  private static Map<String, String> parents(CommandLine command) {
    CommandLine at = command;
    while (at.getParent() != null && at.getCommandSpec().usageMessage().exitCodeList().isEmpty()) {
      at = at.getParent();
    }
    return at.getCommandSpec().usageMessage().exitCodeList();
  }

  private static void section(StringBuilder out, String title) {
    out.append(".SH ").append(title).append('\n');
  }

  private static void argument(StringBuilder out, String names, ArgSpec argument) {
    out.append(".TP\n\\fB").append(roff(names)).append("\\fR\n");
    for (String text : argument.description()) {
      out.append(roff(plain(text))).append('\n');
    }
  }

  /// Picocli's own markup and format characters resolved, without colour.
  private static String plain(String text) {
    return Help.Ansi.OFF.string(text.replace("%n", "\n").replace("%%", "%"));
  }

  /// A hyphen is a minus to be copied; a line must not begin with a request.
  static String roff(String text) {
    return text.replace("\\", "\\e").replace("-", "\\-").replaceAll("(?m)^([.'])", "\\\\&$1");
  }
}
