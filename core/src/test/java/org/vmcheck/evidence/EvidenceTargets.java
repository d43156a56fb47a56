package org.vmcheck.evidence;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.fuzz.Target;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.testing.Identity;
import org.vmcheck.testing.SampleReports;

/// Bundles, their signatures, keys and certificates, and what is made unreadable in a report.
public final class EvidenceTargets {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00Z");
  private static final String MANIFEST = "manifest.txt";
  private static final String SIGNATURE = "manifest.p7s";

  private static final byte[] SIGNED = "# vmcheck evidence 1\n# dump sha256 00ff\n".getBytes(UTF_8);

  private static volatile List<X509Certificate> trusted = List.of();

  private EvidenceTargets() {}

  /// @param directory for the files that are read
  /// @param kept where the signer is kept for other processes, who are fed with what it signed
  public static List<Target> all(Path directory, Path kept) {
    Path signer = kept.resolve("signer.pem");
    Path signed = kept.resolve("signed.zip");
    return List.of(
        new Target(
            "bundle",
            () -> List.of(bundle(signer, signed)),
            input -> onlyAsSigned(bundle(signer, signed), input, certificates(signer))),
        new Target(
            "signature",
            () -> List.of(signature(signer)),
            input -> Bundle.verify(packed(input), certificates(signer), Optional.empty())),
        new Target(
            "pem",
            () -> {
              signer(signer);
              return List.of(Files.readAllBytes(signer));
            },
            input -> pem(Files.write(directory.resolve("pem"), input))),
        new Target(
            "redaction",
            () ->
                List.of(
                    ReportWriter.line(SampleReports.damaged(SampleReports.HOSTILE))
                        .getBytes(UTF_8)),
            input -> redact(ReportReader.read("report", new String(input, UTF_8)))),
        new Target(
            "redacted-text",
            () -> List.of("at 0xffff888100000000 in \"a \\\" b\" of /var/crash/x".getBytes(UTF_8)),
            input -> {
              new Redaction(List.of("vmcore")).text(new String(input, UTF_8));
              new Redaction(List.of("vmcore")).vmcoreinfo(new String(input, UTF_8));
            }));
  }

  private static Identity signer(Path file) throws Exception {
    if (!Files.exists(file)) {
      Identity made = Identity.of("RSA", "support", NOW);
      Files.writeString(file, Identity.pem(made.key(), made.certificate()));
    }
    return new Identity(Pem.key(file, () -> new char[0]), Pem.certificates(file).getFirst());
  }

  private static List<X509Certificate> certificates(Path file) throws Exception {
    List<X509Certificate> known = trusted;
    if (known.isEmpty()) {
      known = List.of(signer(file).certificate());
      trusted = known;
    }
    return known;
  }

  private static byte[] signature(Path file) throws Exception {
    Identity signer = signer(file);
    return CmsSignature.sign(SIGNED, signer.key(), List.of(signer.certificate()), NOW);
  }

  private static byte[] bundle(Path file, Path kept) throws Exception {
    if (!Files.exists(kept)) {
      Identity signer = signer(file);
      SortedMap<String, byte[]> files = new TreeMap<>();
      files.put("report.json", "{}".getBytes(UTF_8));
      Files.write(
          kept,
          Bundle.seal(
              files,
              new StringBuilder("# dump sha256 00ff\n"),
              List.of(new Bundle.Signing(signer.key(), List.of(signer.certificate()))),
              NOW));
    }
    return Files.readAllBytes(kept);
  }

  private static byte[] packed(byte[] signature) throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put(MANIFEST, SIGNED);
    files.put(SIGNATURE, signature);
    return CanonicalZip.write(files);
  }

  private static void onlyAsSigned(byte[] bundle, byte[] input, List<X509Certificate> certificates)
      throws Exception {
    Bundle.verify(input, certificates, Optional.empty());
    if (!Arrays.equals(bundle, input)) {
      throw new IllegalStateException("verified, and not as it was signed");
    }
  }

  private static void pem(Path file) throws IOException, BundleException {
    try {
      Pem.certificates(file);
    } catch (BundleException refused) {
      Pem.key(file, () -> new char[] {'x'});
    }
  }

  /// What is redacted is a report still.
  private static void redact(DumpReport report) throws Exception {
    String line = ReportWriter.line(new Redaction(List.of("vmcore")).report(report));
    try {
      ReportReader.read("redacted", line);
    } catch (IOException own) {
      throw new IllegalStateException("no report after redaction: " + own.getMessage(), own);
    }
  }
}
