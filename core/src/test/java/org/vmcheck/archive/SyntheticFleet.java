package org.vmcheck.archive;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Note;
import org.vmcheck.testing.SampleReports;

/// Any number of incidents of a fleet that is not there: hosts, kernels, faults and times in the
/// proportions of an archive, the same ones each time.
public final class SyntheticFleet {
  private static final int HOSTS = 5000;
  private static final int PANICS = 800;
  private static final long FIRST_CRASH = 1_730_000_000;
  private static final long TWO_YEARS = 2 * 365 * 86_400L;
  private static final List<String> CAUSES =
      List.of("bit-flip", "double-free", "use-after-free-write", "list-broken", "page-wiped");

  private SyntheticFleet() {}

  /// The incident of a number; one in a hundred is a copy of the one before.
  public static CatalogueEntry entry(int number) {
    int content = number % 100 == 99 ? number - 1 : number;
    // Spreads neighbours over hosts and times; a fixed odd factor makes it the same each time.
    int mixed = content * 0x9e3779b1;
    int host = Integer.remainderUnsigned(mixed, HOSTS);
    int panic = Integer.remainderUnsigned(mixed >>> 3, PANICS);
    int lot = Integer.remainderUnsigned(mixed >>> 7, 100);
    String verdict =
        lot < 12
            ? "kernel-damaged"
            : lot < 16
                ? "dump-damaged"
                : lot < 20 ? "undetermined" : lot < 22 ? "unreadable" : "intact";
    boolean damaged = verdict.equals("kernel-damaged");
    String cause = CAUSES.get(panic % CAUSES.size());
    FileUri location = new FileUri("file:///srv/crash/web%d/%07d/vmcore".formatted(host, number));
    return new CatalogueEntry(
        "archive",
        location,
        location.words(),
        CatalogueEntry.State.COMPLETE,
        "web" + host,
        "",
        800_000_000L + lot,
        "identity " + number,
        "%064x".formatted(content),
        "%064x".formatted(~content & 0xffffffffL),
        List.of(location.words()),
        "vmcheck 0.1.0",
        FIRST_CRASH + TWO_YEARS + number,
        1.5,
        verdict,
        damaged
            ? "1 finding: " + cause + " in kmalloc-" + (panic % 9 * 64)
            : verdict + ", they say",
        verdict.equals("unreadable") ? CatalogueEntry.Problem.FORMAT : CatalogueEntry.Problem.NONE,
        "",
        "kdump-compressed",
        "6.%d.%d-amd64".formatted(1 + panic % 3 * 5, 180 + Math.min(lot, 12)),
        "x86_64",
        "web" + host,
        FIRST_CRASH + Long.remainderUnsigned(mixed * 0x2545F4914F6CDD1DL >>> 11, TWO_YEARS),
        "BUG: kernel NULL pointer dereference in do_it_" + panic,
        new CrashSignature(
            "%012x".formatted(0xabc000000000L + panic), "NULL pointer | do_it_" + panic),
        damaged
            ? new CrashSignature(
                "%012x".formatted(0xdef000000000L + panic % 60), cause + " kmalloc-64")
            : CrashSignature.NONE,
        damaged ? List.of(cause) : List.of(),
        List.of(new Note("file", "a remark")),
        false,
        "");
  }

  /// The report of an incident: of those that are damaged, as a catalogue keeps them.
  public static Optional<DumpReport> report(CatalogueEntry entry) {
    return entry.causes().isEmpty()
        ? Optional.empty()
        : Optional.of(SampleReports.damaged(entry.path()));
  }

  /// A catalogue of the first incidents, to be merged into another one: it does nothing else.
  public static Catalogue catalogue(int count) {
    return (Catalogue)
        Proxy.newProxyInstance(
            Catalogue.class.getClassLoader(),
            new Class<?>[] {Catalogue.class},
            (_, method, arguments) -> {
              if (method.getName().equals("forEachStored")) {
                @SuppressWarnings("unchecked")
                Catalogue.Sink<Catalogue.Stored> sink =
                    (Catalogue.Sink<Catalogue.Stored>) arguments[0];
                for (int number = 0; number < count; number++) {
                  CatalogueEntry entry = entry(number);
                  sink.accept(new Catalogue.Stored(entry, StoredReport.of(report(entry))));
                }
              }
              return null;
            });
  }

  /// Puts incidents in, each in a transaction of its own, as a scan does.
  public static void fill(Catalogue catalogue, int from, int until) throws IOException {
    for (int number = from; number < until; number++) {
      CatalogueEntry entry = entry(number);
      catalogue.put(entry, report(entry));
    }
  }

  /// @param args the catalogue, the first incident and the one behind the last
  public static void main(String[] args) throws IOException {
    try (Catalogue catalogue = Catalogue.write(args[0])) {
      fill(catalogue, Integer.parseInt(args[1]), Integer.parseInt(args[2]));
    }
  }
}
