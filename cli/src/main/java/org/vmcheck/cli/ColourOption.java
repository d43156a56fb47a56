package org.vmcheck.cli;

import java.nio.file.Path;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/// Whether an answer has colours.
final class ColourOption {
  /// What the user can ask for.
  enum Choice {
    /// On a terminal, and never against NO_COLOR.
    AUTO,
    ALWAYS,
    NEVER
  }

  @Option(
      names = {"--color", "--colour"},
      paramLabel = "auto|always|never",
      description = "Colours: on a terminal without NO_COLOR, always, or never (default: auto).")
  private Choice choice = Choice.AUTO;

  /// @param file where the answer goes; null for standard output
  boolean isWanted(CommandSpec spec, Path file) {
    return switch (choice) {
      case AUTO -> Streams.isColourWanted(spec, file);
      case ALWAYS -> true;
      case NEVER -> false;
    };
  }
}
