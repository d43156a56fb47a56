package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.Identity;
import org.vmcheck.testing.TestData;

/// A bundle tells who signed it, and not one byte of it can be changed.
class BundleTest {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00Z");

  private static Bundle.Signing signing(Identity... chain) {
    return new Bundle.Signing(chain[0].key(), Stream.of(chain).map(Identity::certificate).toList());
  }

  private static byte[] small(List<Bundle.Signing> signing) throws Exception {
    return small(signing, NOW);
  }

  private static byte[] small(List<Bundle.Signing> signing, Instant now) throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put("report.json", "{}".getBytes(StandardCharsets.UTF_8));
    files.put("pages/0.bin", new byte[] {1, 2, 3});
    return Bundle.seal(files, new StringBuilder("# dump sha256 00ff\n"), signing, now);
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "EC"})
  void everyChangedByteIsRefused(String algorithm) throws Exception {
    Identity support = Identity.of(algorithm, "support", NOW);
    List<X509Certificate> trusted = List.of(support.certificate());
    byte[] bundle = small(List.of(signing(support)));

    Bundle.Verified verified = Bundle.verify(bundle, trusted, Optional.empty());
    assertThat(verified.signer()).isEqualTo("CN=support");
    assertThat(verified.signedAt()).isEqualTo(NOW);
    assertThat(verified.dumpSha256()).containsExactly("00ff");
    requireEveryByte(bundle, trusted);
  }

  private static void requireEveryByte(byte[] bundle, List<X509Certificate> trusted) {
    for (int at = 0; at < bundle.length; at++) {
      for (int flip : new int[] {0x01, 0x80}) {
        byte[] changed = bundle.clone();
        changed[at] ^= (byte) flip;
        assertThatThrownBy(() -> Bundle.verify(changed, trusted, Optional.empty()))
            .as("byte %d ^ 0x%x", at, flip)
            .isInstanceOf(BundleException.class);
      }
    }
  }

  @Test
  void pathOfCertificatesLeadsToTheRootOnly() throws Exception {
    Identity root = Identity.of("EC", "root", NOW);
    Identity team = root.certifies("EC", "team", true, NOW);
    Identity signer = team.certifies("EC", "signer", false, NOW);
    byte[] bundle = small(List.of(signing(signer, team, root)));

    for (Identity trusted : List.of(root, team, signer)) {
      Bundle.Verified verified =
          Bundle.verify(bundle, List.of(trusted.certificate()), Optional.empty());
      assertThat(verified.signer()).isEqualTo("CN=signer");
    }
    // Of the same name, but another key.
    Identity other = Identity.of("EC", "root", NOW);
    refused(
        bundle, other, "signed by CN=signer, who is neither trusted nor certified by one who is");
    refused(small(List.of(signing(signer))), root, "neither trusted nor certified");
    // What a signer certifies who may not certify.
    Identity guest = signer.certifies("EC", "guest", false, NOW);
    refused(small(List.of(signing(guest, signer, team))), root, "signed by CN=guest");
    assertThatThrownBy(() -> small(List.of(signing(team, signer))))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining("CN=signer did not certify CN=team");
    // Who trusts the signer needs no other certificate, and still no byte of these may change.
    requireEveryByte(bundle, List.of(signer.certificate()));
  }

  @Test
  void certificatesCountAtTheTimeOfSigning() throws Exception {
    Instant past = NOW.minus(Duration.ofDays(1000));
    Identity expired = Identity.of("EC", "expired", past);

    assertThatThrownBy(() -> small(List.of(signing(expired))))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining("the certificate of CN=expired is valid from")
        .hasMessageContaining("and the signature is of " + NOW);
    Identity oldRoot = Identity.of("EC", "root", past);
    Identity signer = oldRoot.certifies("EC", "signer", false, NOW);
    refused(small(List.of(signing(signer))), oldRoot, "the certificate of CN=root is valid from");
    // Signed while it was valid: an archive can be read for longer than a certificate lasts.
    byte[] old = small(List.of(signing(expired)), past);
    assertThat(Bundle.verify(old, List.of(expired.certificate()), Optional.empty()).validUntil())
        .isEqualTo(expired.certificate().getNotAfter().toInstant());
  }

  private static void refused(byte[] bundle, Identity trusted, String why) {
    assertThatThrownBy(
            () -> Bundle.verify(bundle, List.of(trusted.certificate()), Optional.empty()))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining(why);
  }

  @Test
  void whatTheFormatHasRoomForIsRefused() throws Exception {
    Identity support = Identity.of("EC", "support", NOW);
    List<X509Certificate> trusted = List.of(support.certificate());
    byte[] bundle = small(List.of(signing(support)));
    byte[] comment = Arrays.copyOf(bundle, bundle.length + 2);
    comment[bundle.length - 2] = 2; // The comment's length ends the end record.
    ByteArrayOutputStream before = new ByteArrayOutputStream();
    before.write("#!/bin/sh\n".getBytes(StandardCharsets.US_ASCII));
    before.write(bundle);
    ByteArrayOutputStream deflated = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(deflated)) {
      for (Map.Entry<String, byte[]> file : CanonicalZip.read(bundle).entrySet()) {
        zip.putNextEntry(new ZipEntry(file.getKey()));
        zip.write(file.getValue());
      }
    }

    for (byte[] other : List.of(comment, before.toByteArray(), deflated.toByteArray())) {
      assertThatThrownBy(() -> Bundle.verify(other, trusted, Optional.empty()))
          .isInstanceOf(BundleException.class);
    }
  }

  @Test
  void lengthenedShortenedAndUnsignedAreRefused() throws Exception {
    Identity support = Identity.of("EC", "support", NOW);
    List<X509Certificate> trusted = List.of(support.certificate());
    byte[] bundle = small(List.of(signing(support)));

    for (int length : new int[] {0, 1, bundle.length - 1, bundle.length + 1}) {
      byte[] other = java.util.Arrays.copyOf(bundle, length);
      assertThatThrownBy(() -> Bundle.verify(other, trusted, Optional.empty()))
          .isInstanceOf(BundleException.class);
    }
    assertThatThrownBy(() -> Bundle.verify(small(List.of()), trusted, Optional.empty()))
        .hasMessage("the bundle is not signed");
    refused(bundle, Identity.of("EC", "support", NOW), "neither trusted nor certified");
  }

  @Test
  void keyOfAnotherCertificateIsRefused() throws Exception {
    Identity a = Identity.of("EC", "a", NOW);
    for (String algorithm : List.of("EC", "RSA")) {
      Identity b = Identity.of(algorithm, "b", NOW);
      Bundle.Signing mixed = new Bundle.Signing(a.key(), List.of(b.certificate()));

      assertThatThrownBy(() -> small(List.of(mixed)))
          .isInstanceOf(BundleException.class)
          .hasMessage("the key does not belong to the certificate");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "EC"})
  void opensslAgrees(String algorithm, @TempDir Path dir) throws Exception {
    assumeThat(Path.of("/usr/bin/openssl")).exists();
    Identity root = Identity.of(algorithm, "root", NOW);
    Identity support = root.certifies(algorithm, "support", false, NOW);
    Files.writeString(dir.resolve("cert.pem"), Identity.chain(List.of(root)));
    List<Bundle.Signing> signing = List.of(signing(support, root));
    SortedMap<String, byte[]> files = CanonicalZip.read(small(signing));
    Files.write(dir.resolve("manifest.txt"), files.get("manifest.txt"));
    Files.write(dir.resolve("manifest.p7s"), files.get("manifest.p7s"));

    Process openssl =
        new ProcessBuilder(
                "/usr/bin/openssl",
                "cms",
                "-verify",
                "-cades",
                "-binary",
                "-purpose",
                "any",
                "-inform",
                "DER",
                "-in",
                "manifest.p7s",
                "-content",
                "manifest.txt",
                "-CAfile",
                "cert.pem",
                "-out",
                "/dev/null")
            .directory(dir.toFile())
            .redirectErrorStream(true)
            .start();
    String said = new String(openssl.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(openssl.waitFor()).as(said).isZero();
  }

  @Test
  void bundleOfARealDumpHoldsThePageOfTheBadWord() throws Exception {
    TestData data = TestData.named("use-after-free");
    SortedMap<String, byte[]> files = bundle(data, false);

    byte[] page = files.get("pages/%016x.bin".formatted(data.physical() & -4096));
    assertThat(new String(page, StandardCharsets.ISO_8859_1)).contains("tml HTTP/1.1");
    assertThat(text(files, "vmcoreinfo.txt")).contains("OSRELEASE=6.1.192-lab-min");
    assertThat(text(files, "report.html")).contains("kernel-damaged");
    assertThat(text(files, "manifest.txt"))
        .contains("# dump sha256 " + Bundle.sha256(data.dump(), _ -> {}));
  }

  /// A text that the dump's file does not carry is marked as what it is, with what proves it.
  @Test
  void bundleSaysWhereVmcoreinfoWasFound() throws Exception {
    SortedMap<String, byte[]> found = bundle(TestData.named("qemu-no-vmcoreinfo"), false);
    assertThat(text(found, "manifest.txt"))
        .contains(
            "# vmcoreinfo.txt is not from the dump's file: a note in memory; the kernel's name in"
                + " memory and the CPUs' page tables agree with it\n");

    SortedMap<String, byte[]> own = bundle(TestData.named("use-after-free"), false);
    assertThat(text(own, "manifest.txt")).doesNotContain("vmcoreinfo.txt is not");
  }

  @Test
  void redactedBundleHoldsNeitherAddressesNorTextNorPages() throws Exception {
    TestData data = TestData.named("use-after-free");
    SortedMap<String, byte[]> files = bundle(data, true);

    assertThat(files.keySet())
        .containsExactly("manifest.txt", "report.html", "report.json", "vmcoreinfo.txt");
    for (String name : files.keySet()) {
      assertThat(text(files, name))
          .as(name)
          .doesNotContain(Long.toHexString(data.slot()))
          .doesNotContain(Long.toHexString(data.object()))
          .doesNotContain("tml HTTP", "50545448206c6d74", "lab.fault", data.dump().toString())
          .doesNotContain("out-of-tree module taints kernel");
    }
    assertThat(text(files, "report.json")).contains("\"physBase\" : null");
    // Consistent: the address of the object stands in the claim and in its field.
    String object =
        text(files, "report.json").lines().filter(l -> l.contains("\"object\"")).findFirst().get();
    String mapped = object.replaceAll(".*\"(0x[0-9a-f]+)\".*", "$1");
    assertThat(text(files, "report.json")).contains("object 14 (" + mapped + ")");
  }

  private static String text(SortedMap<String, byte[]> files, String name) {
    return new String(files.get(name), StandardCharsets.UTF_8);
  }

  private static SortedMap<String, byte[]> bundle(TestData data, boolean redact) throws Exception {
    try (Analyzer analyzer = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
      DumpReport report = analyzer.check("vmcheck test");
      byte[] zip =
          Bundle.make(analyzer, report, List.of(data.dump()), List.of(), redact, NOW, _ -> {});
      try (ZipInputStream read = new ZipInputStream(new ByteArrayInputStream(zip))) {
        assertThat(read.getNextEntry()).isNotNull();
      }
      return CanonicalZip.read(zip);
    }
  }
}
