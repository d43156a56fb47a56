package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.vmcheck.analysis.Analyzer;
import picocli.CommandLine.Parameters;

/// The dump that a question is about, which stands first, with the options of reading it.
final class OneDump extends DumpOptions {
  @Parameters(index = "0", paramLabel = "DUMP", description = "A crash dump.")
  private Path dump;

  Path path() {
    return dump;
  }

  /// The dump's files: more than one where it is split.
  List<Path> files() {
    return files(dump);
  }

  Analyzer open() throws IOException, Failures.UsageException {
    return open(dump);
  }
}
