package org.vmcheck.finding;

/// Something worth knowing that is no finding.
///
/// @param topic what it is about, one or two words
/// @param lead whether whoever looks for the cause of the crash must know it first: the headline
///   says it too
public record Note(String topic, String text, boolean lead) {
  /// The topic of a note on what a report leaves out: every form of the report shows it.
  public static final String NOT_SHOWN = "not shown";

  public Note(String topic, String text) {
    this(topic, text, false);
  }

  /// A note of the first rank.
  public static Note lead(String topic, String text) {
    return new Note(topic, text, true);
  }
}
