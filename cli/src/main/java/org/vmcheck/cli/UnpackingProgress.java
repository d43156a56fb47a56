package org.vmcheck.cli;

import java.util.Locale;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.io.Printable;

/// A line on the terminal's standard error while a packed dump is unpacked; nothing anywhere else.
final class UnpackingProgress implements AnalysisOptions.Progress {
  private static final long NANOS_BETWEEN = 200_000_000L;

  private final long start = System.nanoTime();
  private long next = start + NANOS_BETWEEN;
  private boolean shown;

  @Override
  public synchronized void at(String what, long done, long total) {
    long now = System.nanoTime();
    if (now < next || !Streams.isTerminal()) {
      return;
    }
    next = now + NANOS_BETWEEN;
    shown = true;
    String part =
        total > 0
            ? String.format(Locale.ROOT, "%d %%", 100 * done / total)
            : String.format(Locale.ROOT, "%,d MiB", done >> 20);
    System.err.print("\r" + Printable.of(what, 60) + ": " + part + "\u001b[K");
    System.err.flush();
  }

  synchronized void clear() {
    if (shown) {
      System.err.print("\r\u001b[K");
      System.err.flush();
      shown = false;
    }
  }
}
