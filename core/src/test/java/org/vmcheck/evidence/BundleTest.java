package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.zip.ZipInputStream;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.TestData;

/// A bundle tells who signed it, and not one byte of it can be changed.
class BundleTest {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00Z");

  private static Bundle.Signing signer(String algorithm, String name) throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
    generator.initialize(algorithm.equals("RSA") ? 2048 : 256);
    KeyPair pair = generator.generateKeyPair();
    X500Principal subject = new X500Principal("CN=" + name);
    X509Certificate certificate =
        new JcaX509CertificateConverter()
            .getCertificate(
                new JcaX509v3CertificateBuilder(
                        subject,
                        BigInteger.valueOf(7),
                        Date.from(NOW.minusSeconds(60)),
                        Date.from(NOW.plusSeconds(1L << 30)),
                        subject,
                        pair.getPublic())
                    .build(
                        new JcaContentSignerBuilder("SHA256with" + algorithm.replace("EC", "ECDSA"))
                            .build(pair.getPrivate())));
    return new Bundle.Signing(pair.getPrivate(), certificate);
  }

  private static byte[] small(List<Bundle.Signing> signing) throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put("report.json", "{}".getBytes(StandardCharsets.UTF_8));
    files.put("pages/0.bin", new byte[] {1, 2, 3});
    return Bundle.seal(files, new StringBuilder("# dump sha256 00ff\n"), signing, NOW);
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "EC"})
  void everyChangedByteIsRefused(String algorithm) throws Exception {
    Bundle.Signing signing = signer(algorithm, "support");
    List<X509Certificate> trusted = List.of(signing.certificate());
    byte[] bundle = small(List.of(signing));

    Bundle.Verified verified = Bundle.verify(bundle, trusted);
    assertThat(verified.signer()).isEqualTo("CN=support");
    assertThat(verified.signedAt()).isEqualTo(NOW);
    assertThat(verified.dumpSha256()).isEqualTo("00ff");
    for (int at = 0; at < bundle.length; at++) {
      for (int flip : new int[] {0x01, 0x80}) {
        byte[] changed = bundle.clone();
        changed[at] ^= (byte) flip;
        assertThatThrownBy(() -> Bundle.verify(changed, trusted))
            .as("byte %d ^ 0x%x", at, flip)
            .isInstanceOf(BundleException.class);
      }
    }
  }

  @Test
  void lengthenedShortenedAndUnsignedAreRefused() throws Exception {
    Bundle.Signing signing = signer("EC", "support");
    List<X509Certificate> trusted = List.of(signing.certificate());
    byte[] bundle = small(List.of(signing));

    for (int length : new int[] {0, 1, bundle.length - 1, bundle.length + 1}) {
      byte[] other = java.util.Arrays.copyOf(bundle, length);
      assertThatThrownBy(() -> Bundle.verify(other, trusted)).isInstanceOf(BundleException.class);
    }
    assertThatThrownBy(() -> Bundle.verify(small(List.of()), trusted))
        .hasMessage("the bundle is not signed");
    assertThatThrownBy(() -> Bundle.verify(bundle, List.of(signer("EC", "support").certificate())))
        .hasMessageContaining("neither trusted nor certified");
  }

  @Test
  void keyOfAnotherCertificateIsRefused() throws Exception {
    Bundle.Signing mixed =
        new Bundle.Signing(signer("EC", "a").key(), signer("EC", "b").certificate());

    assertThatThrownBy(() -> small(List.of(mixed)))
        .hasMessage("the key does not belong to the certificate");
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "EC"})
  void opensslAgrees(String algorithm, @TempDir Path dir) throws Exception {
    assumeThat(Path.of("/usr/bin/openssl")).exists();
    Bundle.Signing signing = signer(algorithm, "support");
    try (JcaPEMWriter pem = new JcaPEMWriter(Files.newBufferedWriter(dir.resolve("cert.pem")))) {
      pem.writeObject(signing.certificate());
    }
    SortedMap<String, byte[]> files = CanonicalZip.read(small(List.of(signing)));
    Files.write(dir.resolve("manifest.txt"), files.get("manifest.txt"));
    Files.write(dir.resolve("manifest.p7s"), files.get("manifest.p7s"));

    Process openssl =
        new ProcessBuilder(
                "/usr/bin/openssl",
                "cms",
                "-verify",
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
          .doesNotContain("tml HTTP", "50545448206c6d74", "lab.fault", data.dump().toString());
    }
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
