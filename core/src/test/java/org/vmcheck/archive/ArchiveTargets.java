package org.vmcheck.archive;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.fuzz.Target;
import org.vmcheck.io.Lines;
import org.vmcheck.testing.SampleReports;

/// What lies beside dumps and what archives are kept in: side-cars, policies, catalogues.
public final class ArchiveTargets {
  private static final String LOG =
      """
      [    1.000000] usb 1-1: new device
      [  100.000001] BUG: unable to handle page fault for address: ffff888100000000
      [  100.000002] RIP: 0010:do_fault.isra.0+0x12/0x340
      [  100.000003] Call Trace:
      [  100.000004]  ? show_regs+0x1/0x2
      [  100.000005]  handle_mm_fault+0xdd/0x290 [ext4]
      [  100.000006] ---[ end trace 0000000000000000 ]---
      [  100.000007] Kernel panic - not syncing: Fatal exception in interrupt
      Kernel version : 6.1.0
      """;

  private ArchiveTargets() {}

  /// @param directory for the files that are read
  public static List<Target> all(Path directory) {
    return List.of(
        new Target(
            "policy",
            () ->
                List.of(
                    PolicyReader.text(PolicyReader.READY.getFirst()).getBytes(UTF_8),
                    "accept: [{fingerprint: a, reason: b, expires: 2027-01-31}]".getBytes(UTF_8)),
            input -> PolicyReader.read("policy", new String(input, UTF_8))),
        new Target(
            "side-cars",
            () -> List.of(LOG.getBytes(ISO_8859_1)),
            input -> sideCars(Files.write(directory.resolve("vmcore-dmesg.txt"), input))),
        new Target(
            "catalogue",
            () -> List.of(catalogue(directory)),
            input -> catalogue(directory, input)));
  }

  private static void sideCars(Path file) throws IOException {
    List<SideCar> all = new ArrayList<>();
    for (SideCar.Kind kind : SideCar.Kind.values()) {
      all.add(new SideCar(kind, file, Files.size(file)));
    }
    Incident incident =
        new Incident(FileUri.of(file), List.of(), all, 0, "", "", "202611221000", false, false, "");
    SideCarCheck.unread(incident);
    SideCarCheck.compare(incident, Lines.of(LOG), "6.1.0", 1_760_000_000);
    CrashSignature signature = CrashSignature.ofPanic(SideCarCheck.lines(file));
    if (signature.text().length() > 1000) {
      throw new IllegalStateException("a signature of " + signature.text().length());
    }
  }

  private static byte[] catalogue(Path directory) throws IOException {
    Path file = directory.resolve("seed.sqlite");
    try (Catalogue catalogue = Catalogue.write(file)) {
      DumpReport report = SampleReports.damaged();
      FileUri location = FileUri.of(directory.resolve("vmcore"));
      catalogue.put(
          new CatalogueEntry(
              "host-a",
              location,
              location.words(),
              CatalogueEntry.State.COMPLETE,
              "host",
              "202611221000",
              1000,
              "identity",
              "head",
              "tail",
              List.of(location.words()),
              "vmcheck 0.1.0",
              1_790_000_000,
              1.5,
              report.verdict().kind(),
              report.verdict().summary(),
              CatalogueEntry.Problem.NONE,
              "",
              "kdump-compressed",
              "6.1.0",
              "x86_64",
              "node",
              1_760_000_000L,
              "panic",
              new CrashSignature("0123456789ab", "text"),
              new CrashSignature("ba9876543210", "text"),
              List.of("bit-flip"),
              List.of(),
              false,
              ""),
          Optional.of(report));
    }
    byte[] bytes = Files.readAllBytes(file);
    Files.delete(file);
    return bytes;
  }

  private static void catalogue(Path directory, byte[] input) throws IOException {
    Path file = Files.write(directory.resolve("input.sqlite"), input);
    try (Catalogue catalogue = Catalogue.read(file)) {
      for (CatalogueEntry entry : catalogue.entries(Selection.ALL)) {
        catalogue.report(entry);
      }
    }
  }
}
