package org.vmcheck.archive;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
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
            ? "1 finding: " + cause + " in kmalloc-" + (panic % 9) * 64
            : verdict + ", they say",
        verdict.equals("unreadable") ? CatalogueEntry.Problem.FORMAT : CatalogueEntry.Problem.NONE,
        "",
        "kdump-compressed",
        "6.%d.%d-amd64".formatted(1 + (panic % 3) * 5, 180 + Math.min(lot, 12)),
        "x86_64",
        "web" + host,
        FIRST_CRASH + Long.remainderUnsigned((mixed * 0x2545F4914F6CDD1DL) >>> 11, TWO_YEARS),
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

  /// Reads every row, and throws at the first that is not whole.
  ///
  /// @return how many there are
  static int check(Catalogue catalogue) throws IOException {
    int[] next = {0};
    catalogue.forEachStored(
        row -> {
          String path = row.entry().path();
          int number = Integer.parseInt(path.replaceFirst(".*/(\\d+)/vmcore$", "$1"));
          boolean hasReport = row.report().length > 0;
          if (!entry(number).causes().equals(row.entry().causes())
              || hasReport == row.entry().causes().isEmpty()) {
            throw new IOException("half a row: " + path);
          }
          next[0]++;
        });
    return next[0];
  }

  /// Kills what fills a catalogue again and again: what it had told of must be there, and of what
  /// it had not, nothing or all.
  private static void kill(String place, int trials) throws Exception {
    Random random = new Random(1);
    int told = 0;
    for (int trial = 0; trial < trials; trial++) {
      Process process =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-XX:TieredStopAtLevel=1",
                  "-XX:+UseSerialGC",
                  "--enable-native-access=ALL-UNNAMED",
                  "-cp",
                  System.getProperty("java.class.path"),
                  SyntheticFleet.class.getName(),
                  "fill",
                  place,
                  "" + told,
                  "1000000")
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      int last = told + 1 + random.nextInt(200);
      try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          told = Integer.parseInt(line) + 1;
          if (told == last) {
            Thread.sleep(0, random.nextInt(900_000));
            // That of the process itself would close what it has told as well.
            process.toHandle().destroyForcibly();
          }
        }
      }
      process.waitFor();
      try (Catalogue catalogue = Catalogue.read(place)) {
        int there = check(catalogue);
        // The last may be written and not told of.
        if (there < told || there > told + 1) {
          throw new IOException("trial %d: %d told of, %d there".formatted(trial, told, there));
        }
      }
    }
    System.out.printf("killed %d times after %d incidents: none lost, none half%n", trials, told);
  }

  /// Fills a catalogue: `fill PLACE FROM UNTIL`, each incident in a transaction of its own and told
  /// of on standard output when it is written; `merge PLACE COUNT`, many in one; or `kill PLACE
  /// TRIALS`, by processes that are killed.
  public static void main(String[] args) throws Exception {
    if (args[0].equals("kill")) {
      kill(args[1], Integer.parseInt(args[2]));
      return;
    }
    try (Catalogue catalogue = Catalogue.write(args[1])) {
      if (args[0].equals("merge")) {
        System.out.println(catalogue.merge(catalogue(Integer.parseInt(args[2]))));
        return;
      }
      int until = Integer.parseInt(args[3]);
      for (int number = Integer.parseInt(args[2]); number < until; number++) {
        CatalogueEntry entry = entry(number);
        catalogue.put(entry, report(entry));
        System.out.println(number);
      }
    }
  }
}
