package org.vmcheck.cli;

import java.io.IOException;
import java.util.concurrent.Callable;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Selection;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

/// A question about the selected incidents of a catalogue, whose answer fits into memory.
abstract class CatalogueQuestion implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @ParentCommand private CatalogueCommand parent;
  @Mixin private CatalogueFilter filter;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "json: one object a line, for each that text has a line or a paragraph for.")
  private CatalogueCommand.Format format = CatalogueCommand.Format.TEXT;

  /// The answer for people.
  abstract String text(Catalogue catalogue, Selection selection) throws IOException;

  /// The answer as JSON Lines.
  abstract String json(Catalogue catalogue, Selection selection) throws IOException;

  @Override
  public final Integer call() throws Exception {
    try (Catalogue catalogue = parent.open()) {
      Selection selection = filter.selection();
      Streams.write(
          spec,
          null,
          switch (format) {
            case TEXT -> text(catalogue, selection);
            case JSON -> json(catalogue, selection);
          });
      return ExitCode.INTACT;
    }
  }
}
