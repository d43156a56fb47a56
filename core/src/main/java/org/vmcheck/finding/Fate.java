package org.vmcheck.finding;

/// What became of the damage that a finding tells of.
public enum Fate {
  /// It is in the dump.
  LEFT("left in the dump"),
  /// The kernel reported it, and neither its log nor what was looked at in the dump says what
  /// became of it.
  UNTOLD("reported, and not repaired as far as the log tells"),
  /// The kernel put right what it reported: the log has the only trace.
  REPAIRED("repaired by the kernel as it reported it"),
  /// The kernel noticed before anything was damaged.
  STOPPED("stopped before it did damage");

  private final String words;

  Fate(String words) {
    this.words = words;
  }

  /// For example `left in the dump`.
  public String words() {
    return words;
  }
}
