package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.check.Check;
import org.vmcheck.check.Checks;
import org.vmcheck.check.KnownDumpers;
import org.vmcheck.finding.Cause;

/// The texts behind the ids of checks and causes.
public final class Explanations {
  /// The id under which all known bad dumpers are listed.
  private static final String KNOWN_BAD_DUMPERS = "known-bad-dumpers";

  /// How what only -v shows begins.
  private static final String DETAIL = "In detail: ";

  private Explanations() {}

  public static boolean isCheck(String id) {
    return Checks.byId(id).isPresent();
  }

  /// Every id with its question or its first sentence.
  public static String list() {
    StringBuilder out = new StringBuilder("Checks\n");
    for (Check check : Checks.all()) {
      out.append("  %-24s %s%n".formatted(check.id(), check.question()));
    }
    out.append("\nCauses: the dump's fault\n");
    for (Cause cause : Cause.values()) {
      if (cause.isArtefact()) {
        out.append("  %-24s %s%n".formatted(cause.id(), firstSentence(cause.explanation())));
      }
    }
    out.append("\nCauses: real damage\n");
    for (Cause cause : Cause.values()) {
      if (!cause.isArtefact()) {
        out.append("  %-24s %s%n".formatted(cause.id(), firstSentence(cause.explanation())));
      }
    }
    return out.append("\nTables\n")
        .append(
            "  %-24s %s%n"
                .formatted(KNOWN_BAD_DUMPERS, "Programs that are known to write wrong dumps."))
        .toString();
  }

  /// The text of one id; empty if there is none of that name.
  ///
  /// @param verbose whether with the details
  public static Optional<String> of(String id, boolean verbose) {
    if (id.equals(KNOWN_BAD_DUMPERS)) {
      return Optional.of(KNOWN_BAD_DUMPERS + "\n" + knownDumpers(KnownDumpers.all()));
    }
    Optional<Check> check = Checks.byId(id);
    if (check.isPresent()) {
      return Optional.of(
          check.get().id()
              + "\n"
              + check.get().question()
              + "\n\n"
              + paragraphs(check.get().explanation(), verbose)
              + "\n");
    }
    return Cause.byId(id)
        .map(
            cause ->
                cause.id()
                    + (cause.isArtefact() ? " (the dump's fault)" : " (real damage)")
                    + "\n"
                    + cause.explanation()
                    + "\n\nWhat to do: "
                    + cause.whatToDo()
                    + "\n"
                    + (cause.reference().isEmpty() ? "" : "See: " + cause.reference() + "\n")
                    + knownDumpers(KnownDumpers.of(cause)));
  }

  /// The text with a paragraph for what it can mislead in and for what is next.
  private static String paragraphs(String text, boolean verbose) {
    List<String> lines = new ArrayList<>();
    boolean isDetail = false;
    boolean isCut = false;
    for (String line : text.lines().toList()) {
      boolean isHead = line.startsWith("It can mislead: ") || line.startsWith("Next: ");
      isDetail = line.startsWith(DETAIL) || (isDetail && !isHead);
      if (isDetail && !verbose) {
        isCut = true;
        continue;
      }
      if (isHead && !lines.isEmpty() && !lines.getLast().isEmpty()) {
        lines.add("");
      }
      lines.add(line);
    }
    return String.join("\n", lines) + (isCut ? "\n\n(-v: in detail)" : "");
  }

  /// @return empty if there are none
  private static String knownDumpers(List<KnownDumpers.KnownDumper> dumpers) {
    StringBuilder out = new StringBuilder();
    for (KnownDumpers.KnownDumper dumper : dumpers) {
      out.append(out.isEmpty() ? "\nKnown bad dumpers\n" : "")
          .append("  %s%n".formatted(dumper.name()))
          .append("    recognised by: %s%n".formatted(dumper.recognisedBy()))
          .append("    affected: %s%n".formatted(dumper.affected()))
          .append("    cure: %s%n".formatted(dumper.cure()))
          .append("    see: %s (as of %s)%n".formatted(dumper.reference(), dumper.dated()));
    }
    return out.toString();
  }

  private static String firstSentence(String text) {
    int end = text.indexOf(". ");
    return end < 0 ? text : text.substring(0, end + 1);
  }
}
