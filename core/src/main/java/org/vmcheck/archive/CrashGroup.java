package org.vmcheck.archive;

import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/// Incidents that have something in common. Copies of one dump count once, and kdump's own tests
/// not at all.
///
/// @param key what they share: a signature's id, a release, a host, a verdict or a cause
/// @param text the key in words; empty where the key is words
/// @param count of its incidents
/// @param kernels releases met
/// @param verdicts verdicts met
/// @param lastCrash of them, seconds since 1970; 0 if no time is known
/// @param newest ids of its latest incidents by kernel and verdict, latest first, at most
///   [#MAX_NEWEST]
public record CrashGroup(
    String key,
    String text,
    long count,
    SortedSet<String> kernels,
    SortedSet<String> verdicts,
    long lastCrash,
    List<String> newest) {
  public static final int MAX_NEWEST = 8;

  public CrashGroup {
    kernels = new TreeSet<>(kernels);
    verdicts = new TreeSet<>(verdicts);
    newest = List.copyOf(newest);
  }

  /// What incidents can be grouped by.
  public enum By {
    PANIC,
    DAMAGE,
    KERNEL,
    /// The dump's name for the host, else its directory's, else the origin.
    HOST,
    VERDICT,
    CAUSE
  }
}
