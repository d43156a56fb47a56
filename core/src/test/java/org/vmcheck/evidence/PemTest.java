package org.vmcheck.evidence;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.FileNotFoundException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPrivateKey;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.DERBitString;
import org.bouncycastle.asn1.sec.SECObjectIdentifiers;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PKCS8Generator;
import org.bouncycastle.openssl.jcajce.JcaMiscPEMGenerator;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8EncryptorBuilder;
import org.bouncycastle.openssl.jcajce.JcePEMEncryptorBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.Identity;

/// Keys and certificates in the forms in which openssl and other tools leave them.
class PemTest {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00Z");

  private static Identity ec;
  private static Identity rsa;

  @TempDir private Path directory;

  @BeforeAll
  static void makeKeys() throws Exception {
    ec = Identity.of("EC", "support", NOW);
    rsa = Identity.of("RSA", "rsa", NOW);
  }

  private PrivateKey key(String text) throws Exception {
    return Pem.key(
        Files.writeString(directory.resolve("key.pem"), text),
        () -> {
          throw new AssertionError("asked for a pass phrase");
        });
  }

  private static String pem(String type, byte[] content) throws Exception {
    return Identity.pem(new PemObject(type, content));
  }

  /// A key in the form of SEC 1, whose curve and public half may be missing.
  private static byte[] sec1(ASN1Encodable curve, boolean isWhole) throws Exception {
    DERBitString half =
        new DERBitString(
            SubjectPublicKeyInfo.getInstance(ec.certificate().getPublicKey().getEncoded())
                .getPublicKeyData()
                .getBytes());
    return new org.bouncycastle.asn1.sec.ECPrivateKey(
            256, ((ECPrivateKey) ec.key()).getS(), isWhole ? half : null, curve)
        .getEncoded();
  }

  private static void assertSigns(PrivateKey key, Identity who) throws Exception {
    byte[] content = {1, 2, 3};
    List<X509Certificate> chain = List.of(who.certificate());
    byte[] signature = CmsSignature.sign(content, key, chain, NOW);
    assertThat(
            CmsSignature.verify(content, signature, new Trust(chain, Optional.empty()))
                .certificate())
        .isEqualTo(who.certificate());
  }

  @Test
  void everyFormOfAKeySigns() throws Exception {
    assertSigns(key(Identity.pem(ec.key())), ec);
    assertSigns(key(Identity.pem(rsa.key())), rsa);
    assertThat(Identity.pem(ec.key(), ec.certificate()))
        .startsWith("-----BEGIN PRIVATE KEY-----")
        .contains("-----BEGIN CERTIFICATE-----");
    // The older form of RSA.
    String pkcs1 = Identity.pem(new JcaMiscPEMGenerator(rsa.key()));
    assertThat(pkcs1).startsWith("-----BEGIN RSA PRIVATE KEY-----");
    assertSigns(key(pkcs1), rsa);
    for (boolean isWhole : new boolean[] {true, false}) {
      String sec1 = pem("EC PRIVATE KEY", sec1(SECObjectIdentifiers.secp256r1, isWhole));
      assertSigns(key(sec1), ec);
      // What `openssl ecparam -genkey` writes, and what stands behind certificates and text.
      String curve = pem("EC PARAMETERS", SECObjectIdentifiers.secp256r1.getEncoded());
      assertSigns(key(curve + sec1), ec);
      assertSigns(key("Bag Attributes\n  x: y\n" + Identity.pem(ec.certificate()) + sec1), ec);
    }
  }

  private PrivateKey key(String text, String passPhrase) throws Exception {
    return Pem.key(Files.writeString(directory.resolve("key.pem"), text), passPhrase::toCharArray);
  }

  /// Encrypted as PKCS#8 and in openssl's older way.
  @Test
  void anEncryptedKeySignsWithItsPassPhraseAndNoOther() throws Exception {
    String pkcs8 =
        Identity.pem(
            new JcaPKCS8Generator(
                ec.key(),
                new JceOpenSSLPKCS8EncryptorBuilder(PKCS8Generator.AES_256_CBC)
                    .setProvider(new BouncyCastleProvider())
                    .setPassword("secret".toCharArray())
                    .build()));
    String older =
        Identity.pem(
            new JcaMiscPEMGenerator(
                rsa.key(),
                new JcePEMEncryptorBuilder("AES-256-CBC")
                    .setProvider(new BouncyCastleProvider())
                    .build("secret".toCharArray())));
    assertThat(pkcs8).startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    assertThat(older).contains("Proc-Type: 4,ENCRYPTED");
    for (String text : List.of(pkcs8, older)) {
      assertSigns(key(text, "secret"), text.equals(older) ? rsa : ec);
      assertThatThrownBy(() -> key(text, "Secret"))
          .isInstanceOf(BundleException.class)
          .hasMessageContaining("the pass phrase is wrong");
      assertThatThrownBy(() -> key(text, ""))
          .isInstanceOf(BundleException.class)
          .hasMessageContaining("the key is encrypted, and no pass phrase was given");
    }
  }

  /// As written by who takes the key out of its PKCS#8, which is where the curve is named.
  @Test
  void anEcKeyWithoutItsCurveIsRefusedInWords() throws Exception {
    String sec1 = pem("EC PRIVATE KEY", sec1(null, true));
    assertThatThrownBy(() -> key(sec1))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining("key.pem] the private key cannot be read: ")
        .hasMessageNotContaining("null");
  }

  @Test
  void theFirstKeyIsTaken() throws Exception {
    Identity other = Identity.of("EC", "other", NOW);
    assertSigns(key(Identity.pem(ec.key(), other.key())), ec);
  }

  @Test
  void aFileWithoutAKeyOrACertificateIsNamed() throws Exception {
    Path file = Files.writeString(directory.resolve("x.pem"), "no PEM\n");
    assertThatThrownBy(() -> Pem.key(file, () -> new char[0]))
        .hasMessage("[" + file + "] no private key in PEM");
    assertThatThrownBy(() -> Pem.certificates(file))
        .hasMessage("[" + file + "] no certificate in PEM");
    Path gone = directory.resolve("gone");
    assertThatThrownBy(() -> Pem.key(gone, () -> new char[0]))
        .isInstanceOf(NoSuchFileException.class);
    assertThatThrownBy(() -> Pem.certificates(gone)).isInstanceOf(NoSuchFileException.class);
    assertThatThrownBy(() -> Pem.certificates(directory))
        .isInstanceOf(FileSystemException.class)
        .isNotInstanceOf(FileNotFoundException.class)
        .hasMessageContaining(directory.toString());
    Files.writeString(file, pem("CERTIFICATE", Arrays.copyOf(ec.certificate().getEncoded(), 100)));
    assertThatThrownBy(() -> Pem.certificates(file))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining("] the certificate cannot be read: ");
  }

  /// A dump by mistake is not read whole; a mebibyte is.
  @Test
  void aFileLargerThanAMebibyteIsNone() throws Exception {
    byte[] text = new byte[1 << 20];
    Arrays.fill(text, (byte) '\n');
    byte[] pem = Identity.pem(ec.key(), ec.certificate()).getBytes(ISO_8859_1);
    System.arraycopy(pem, 0, text, text.length - pem.length, pem.length);
    Path file = Files.write(directory.resolve("large"), text);
    assertSigns(Pem.key(file, () -> new char[0]), ec);
    assertThat(Pem.certificates(file)).containsExactly(ec.certificate());
    Files.write(file, Arrays.copyOf(text, text.length + 1));
    assertThatThrownBy(() -> Pem.key(file, () -> new char[0]))
        .hasMessage("[" + file + "] no PEM file: larger than 1 MiB");
    assertThatThrownBy(() -> Pem.certificates(file)).hasMessageContaining("larger than 1 MiB");
  }

  @Test
  void certificatesStandInTheFilesOrder() throws Exception {
    Path file = Files.writeString(directory.resolve("chain"), Identity.chain(List.of(rsa, ec)));
    assertThat(Pem.certificates(file)).containsExactly(rsa.certificate(), ec.certificate());
  }
}
