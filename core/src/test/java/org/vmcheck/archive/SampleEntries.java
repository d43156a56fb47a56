package org.vmcheck.archive;

import java.nio.file.Path;
import java.util.List;
import org.vmcheck.finding.Note;

/// Rows for catalogues, without dumps behind them.
public final class SampleEntries {
  /// 2026-10-01 00:00 UTC.
  public static final long FIRST_CRASH = 1_790_812_800;

  private SampleEntries() {}

  /// A damaged kernel.
  ///
  /// @param content equal for copies of one dump
  public static CatalogueEntry damaged(String origin, String path, String content, long judgedAt) {
    return entry(origin, path, content, "kernel-damaged", "6.1.190", FIRST_CRASH, judgedAt);
  }

  public static CatalogueEntry entry(
      String origin,
      String path,
      String content,
      String verdict,
      String release,
      long crashTime,
      long judgedAt) {
    boolean damaged = verdict.equals("kernel-damaged");
    FileUri location = FileUri.of(Path.of(path));
    return new CatalogueEntry(
        origin,
        location,
        location.words(),
        CatalogueEntry.State.COMPLETE,
        "",
        "",
        4096,
        "identity of " + content,
        content.isEmpty() ? "" : "head of " + content,
        content.isEmpty() ? "" : "tail of " + content,
        List.of(location.words()),
        "vmcheck 0.1.0",
        judgedAt,
        1.5,
        verdict,
        verdict + ", they say",
        CatalogueEntry.Problem.NONE,
        "",
        "kdump-compressed",
        release,
        "x86_64",
        "node-of-" + origin,
        crashTime,
        "Oops",
        new CrashSignature("0123456789ab", "Oops | do_it"),
        damaged ? new CrashSignature("ba9876543210", "bit-flip kmalloc-64") : CrashSignature.NONE,
        damaged ? List.of("bit-flip", "list-broken") : List.of(),
        List.of(new Note("file", "a remark")),
        false,
        "");
  }
}
