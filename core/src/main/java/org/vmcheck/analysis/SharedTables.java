package org.vmcheck.analysis;

import org.vmcheck.debuginfo.KnownTables;

/// Symbol names and types of kernels read before, kept for the next dump that has the same: one for
/// all analyses of many dumps ([AnalysisOptions#forManyDumps]).
public final class SharedTables {
  /// Keeps nothing.
  public static final SharedTables NONE = new SharedTables(KnownTables.NONE);

  private final KnownTables tables;

  private SharedTables(KnownTables tables) {
    this.tables = tables;
  }

  /// @param kernels how many kernels' tables are kept; the one used longest ago goes first
  public static SharedTables of(int kernels) {
    return new SharedTables(new KnownTables(kernels));
  }

  KnownTables tables() {
    return tables;
  }
}
