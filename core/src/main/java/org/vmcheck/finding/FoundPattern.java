package org.vmcheck.finding;

/// A place where a pattern was found.
///
/// @param physical address of its first byte
/// @param place what lies there
public record FoundPattern(long physical, Place place) {}
