package org.vmcheck.cli;

import java.io.PrintWriter;
import java.util.Locale;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.FileUri;
import org.vmcheck.io.Printable;
import org.vmcheck.report.CatalogueJson;
import org.vmcheck.report.CatalogueText;

/// Shows how far a scan is: a bar on a terminal, a line an incident elsewhere, or JSON Lines.
final class ScanProgress implements BatchScanner.Listener, Notifier.Listener {
  /// How it is shown.
  enum Style {
    BAR,
    LINES,
    JSON,
    NONE
  }

  private static final int BAR_WIDTH = 30;

  private final Style style;
  private final PrintWriter out;
  private final PrintWriter err;
  private final long startNanos = System.nanoTime();
  private Notifier notifier;
  private boolean anyUntold;
  private int total;
  private int done;
  private long totalBytes;
  private long doneBytes;

  ScanProgress(Style style, PrintWriter out, PrintWriter err) {
    this.style = style;
    this.out = out;
    this.err = err;
  }

  /// Has verdicts told to others as well.
  void notify(Notifier told) {
    notifier = told;
  }

  /// Whether some verdict could not be told.
  boolean anyUntold() {
    return anyUntold;
  }

  @Override
  public void newVerdict(CatalogueEntry entry) {
    if (notifier != null) {
      notifier.newVerdict(entry);
    }
  }

  @Override
  public synchronized void printed(String line) {
    clear();
    err.println(line);
    bar();
  }

  @Override
  public synchronized void failed(CatalogueEntry entry, String why) {
    anyUntold = true;
    problem(entry.location(), "--notify: " + why);
  }

  @Override
  public synchronized void planned(int toJudge, long bytes, int unchanged) {
    total = toJudge;
    totalBytes = bytes;
    bar();
  }

  @Override
  public synchronized void judged(CatalogueEntry entry) {
    done++;
    doneBytes += entry.bytes();
    switch (style) {
      case BAR -> bar();
      case LINES -> out.print(CatalogueText.judged(entry));
      case JSON -> out.print(CatalogueJson.judged(entry));
      case NONE -> {}
    }
    // A line that was printed survives whatever happens next.
    out.flush();
  }

  @Override
  public synchronized void problem(FileUri where, String what) {
    if (style == Style.JSON) {
      out.print(CatalogueJson.problem(where, what));
      out.flush();
      return;
    }
    clear();
    err.println("vmcheck: " + where.words() + ": " + Printable.of(what));
    bar();
  }

  void finished(BatchScanner.Summary summary) {
    clear();
    out.print(
        style == Style.JSON ? CatalogueJson.summary(summary) : CatalogueText.summary(summary));
    out.flush();
  }

  private void bar() {
    if (style != Style.BAR || total == 0) {
      return;
    }
    double seconds = (System.nanoTime() - startNanos) / 1e9;
    double part = totalBytes == 0 ? 0 : Math.min(1, (double) doneBytes / totalBytes);
    int filled = (int) (part * BAR_WIDTH);
    err.print(
        String.format(
            Locale.ROOT,
            "\r[%s%s] %d/%d  %.1f/s  %s\u001b[K",
            "#".repeat(filled),
            " ".repeat(BAR_WIDTH - filled),
            done,
            total,
            seconds > 0 ? done / seconds : 0,
            part > 0 && part < 1 ? "about %.0f s left".formatted(seconds / part - seconds) : ""));
    err.flush();
  }

  private void clear() {
    if (style == Style.BAR) {
      err.print("\r\u001b[K");
      err.flush();
    }
  }
}
