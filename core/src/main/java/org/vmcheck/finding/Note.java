package org.vmcheck.finding;

/// Something worth knowing that is no finding.
///
/// @param topic what it is about, one or two words
public record Note(String topic, String text) {}
