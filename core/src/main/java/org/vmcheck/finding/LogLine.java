package org.vmcheck.finding;

/// One record of the kernel log.
///
/// @param timestampNanos since boot
/// @param level 0 (emergency) to 7 (debug)
/// @param text as the kernel stored it, unescaped; may hold several lines
public record LogLine(long timestampNanos, int level, String text) {}
