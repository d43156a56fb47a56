package org.vmcheck.report;

import org.vmcheck.archive.Comparison;

/// The list of forms in which a comparison is drawn: adding one takes its file, a line here and the
/// line of [#render] without which this does not compile.
public enum ComparisonForm {
  TEXT,
  JSON,
  JUNIT,
  SARIF,
  MARKDOWN;

  /// @param verbose whether all checks and all caches are named, where the form may leave some out
  public String render(Comparison comparison, boolean verbose) {
    return switch (this) {
      case TEXT -> ComparisonText.render(comparison, verbose);
      case JSON -> ComparisonJson.render(comparison);
      case JUNIT -> ComparisonJUnit.render(comparison);
      case SARIF -> ComparisonSarif.render(comparison);
      case MARKDOWN -> ComparisonMarkdown.render(comparison);
    };
  }
}
