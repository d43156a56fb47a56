package org.vmcheck.finding;

import java.util.List;

/// Whether a machine can run vmcheck, and with what.
///
/// @param items what was looked at, in the order in which it is shown
public record DoctorReport(List<Item> items) {
  public DoctorReport {
    items = List.copyOf(items);
  }

  /// How one thing is.
  public enum State {
    OK,
    /// Some commands or some dumps will not work, or not as well.
    LACKING,
    /// No command can be trusted.
    FAILED
  }

  /// One thing that was looked at.
  ///
  /// @param topic what it is, one or two words
  /// @param text what was found, and what it means where that is not good
  public record Item(String topic, State state, String text) {}

  public boolean isFit() {
    return items.stream().noneMatch(item -> item.state() == State.FAILED);
  }
}
