package org.vmcheck.report;

/// A dump that was asked for and could not be opened: in a report on several it must not be passed
/// over in silence.
///
/// @param dump its path
/// @param reason the message that a user would see
public record Unopened(String dump, String reason) {}
