package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1GeneralizedTime;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.Time;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSAttributeTableGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.SimpleAttributeTableGenerator;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.crypto.signers.StandardDSAEncoding;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.testing.Identity;

/// Signatures that whoever has a trusted key, or a signature of one, can make and vmcheck does not:
/// each is refused, though Bouncy Castle alone takes most of them.
class ForgedSignatureTest {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00Z");
  private static final byte[] CONTENT = "# a manifest\n".getBytes(StandardCharsets.UTF_8);
  private static final ASN1ObjectIdentifier UNKNOWN =
      new ASN1ObjectIdentifier("1.3.6.1.4.1.99999.1");

  private static Identity support;
  private static Identity other;

  @BeforeAll
  static void makeKeys() throws Exception {
    support = Identity.of("EC", "support", NOW);
    other = Identity.of("EC", "other", NOW);
  }

  /// A signature as vmcheck makes it but for what a test changes.
  private static final class Forgery {
    private final Identity by;
    private String algorithm = "SHA256withECDSA";
    private List<X509Certificate> certificates;
    private List<X509Certificate> named;
    private Time time = new Time(Date.from(NOW));
    private final List<Attribute> more = new ArrayList<>();
    private AttributeTable unsigned;
    private Identity second;
    private boolean isDefinite = true;
    private boolean isEncapsulated;
    private boolean isDirect;
    private boolean isOfKeyId;

    Forgery(Identity by) {
      this.by = by;
      certificates = List.of(by.certificate());
      named = certificates;
    }

    byte[] make() throws Exception {
      CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
      add(generator, by);
      if (second != null) {
        add(generator, second);
      }
      generator.addCertificates(new JcaCertStore(certificates));
      return generator
          .generate(new CMSProcessableByteArray(CONTENT), isEncapsulated)
          .toASN1Structure()
          .getEncoded(isDefinite ? "DER" : "BER");
    }

    private void add(CMSSignedDataGenerator generator, Identity signer) throws Exception {
      JcaSignerInfoGeneratorBuilder builder =
          new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().build())
              .setDirectSignature(isDirect)
              .setSignedAttributeGenerator(attributes());
      if (unsigned != null) {
        builder.setUnsignedAttributeGenerator(new SimpleAttributeTableGenerator(unsigned));
      }
      generator.addSignerInfoGenerator(
          isOfKeyId
              ? builder.build(signer(signer), new byte[] {1, 2, 3})
              : builder.build(signer(signer), signer.certificate()));
    }

    /// Of the two ECDSA signatures the low one, as vmcheck makes it.
    private ContentSigner signer(Identity signer) throws Exception {
      ContentSigner made = new JcaContentSignerBuilder(algorithm).build(signer.key());
      return new ContentSigner() {
        @Override
        public AlgorithmIdentifier getAlgorithmIdentifier() {
          return made.getAlgorithmIdentifier();
        }

        @Override
        public OutputStream getOutputStream() {
          return made.getOutputStream();
        }

        @Override
        public byte[] getSignature() {
          byte[] signature = made.getSignature();
          return algorithm.endsWith("ECDSA") && isHigh(signer, signature)
              ? mirrored(signer, signature)
              : signature;
        }
      };
    }

    private CMSAttributeTableGenerator attributes() {
      return known -> {
        ASN1EncodableVector all = new ASN1EncodableVector();
        all.add(new Attribute(CMSAttributes.contentType, new DERSet(CMSObjectIdentifiers.data)));
        all.add(new Attribute(CMSAttributes.signingTime, new DERSet(time)));
        byte[] digest = (byte[]) known.get(CMSAttributeTableGenerator.DIGEST);
        all.add(new Attribute(CMSAttributes.messageDigest, new DERSet(new DEROctetString(digest))));
        ASN1EncodableVector hashes = new ASN1EncodableVector();
        try {
          for (X509Certificate certificate : named) {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded());
            hashes.add(new DERSequence(new DEROctetString(hash)));
          }
        } catch (Exception broken) {
          throw new IllegalStateException(broken);
        }
        all.add(
            new Attribute(
                PKCSObjectIdentifiers.id_aa_signingCertificateV2,
                new DERSet(new DERSequence(new DERSequence(hashes)))));
        more.forEach(all::add);
        return new AttributeTable(all);
      };
    }
  }

  private static BigInteger order(Identity identity) {
    return ((ECPublicKey) identity.certificate().getPublicKey()).getParams().getOrder();
  }

  private static BigInteger[] pair(Identity identity, byte[] signature) {
    try {
      return StandardDSAEncoding.INSTANCE.decode(order(identity), signature);
    } catch (java.io.IOException broken) {
      throw new IllegalStateException(broken);
    }
  }

  private static boolean isHigh(Identity identity, byte[] signature) {
    return pair(identity, signature)[1].compareTo(order(identity).shiftRight(1)) > 0;
  }

  private static byte[] mirrored(Identity identity, byte[] signature) {
    BigInteger[] pair = pair(identity, signature);
    try {
      return StandardDSAEncoding.INSTANCE.encode(
          order(identity), pair[0], order(identity).subtract(pair[1]));
    } catch (java.io.IOException broken) {
      throw new IllegalStateException(broken);
    }
  }

  private static CmsSignature.Signer verify(byte[] signature, Identity... trusted)
      throws BundleException {
    List<X509Certificate> certificates =
        Stream.of(trusted.length == 0 ? new Identity[] {support} : trusted)
            .map(Identity::certificate)
            .toList();
    return CmsSignature.verify(CONTENT, signature, new Trust(certificates, Optional.empty()));
  }

  private static void assertRefused(byte[] signature, String why, Identity... trusted) {
    assertThatThrownBy(() -> verify(signature, trusted))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining(why);
  }

  private static byte[] replaced(byte[] whole, byte[] old, byte[] other) {
    assertThat(other).hasSameSizeAs(old);
    for (int at = 0; at + old.length <= whole.length; at++) {
      if (Arrays.equals(whole, at, at + old.length, old, 0, old.length)) {
        byte[] changed = whole.clone();
        System.arraycopy(other, 0, changed, at, other.length);
        return changed;
      }
    }
    throw new AssertionError("not found");
  }

  @Test
  void theForgersToolMakesWhatVmcheckMakes() throws Exception {
    assertThat(verify(new Forgery(support).make()).time()).isEqualTo(NOW);
    Identity rsa = Identity.of("RSA", "rsa", NOW);
    Forgery signed = new Forgery(rsa);
    signed.algorithm = "SHA256withRSA";
    // RSA signs the same twice: so these are the same bytes.
    assertThat(signed.make())
        .isEqualTo(CmsSignature.sign(CONTENT, rsa.key(), List.of(rsa.certificate()), NOW));
  }

  @Test
  void theOtherHalfOfAnEcdsaSignatureIsRefusedAndNeverMade() throws Exception {
    for (int i = 0; i < 16; i++) {
      byte[] signature =
          CmsSignature.sign(CONTENT, support.key(), List.of(support.certificate()), NOW);
      byte[] value = value(signature);
      assertThat(isHigh(support, value)).isFalse();
      byte[] high = mirrored(support, value);
      if (high.length == value.length) {
        assertRefused(replaced(signature, value, high), "high s");
      }
    }
    Forgery forged = new Forgery(support);
    forged.algorithm = "SHA256withECDSA";
    assertThat(verify(forged.make()).certificate()).isEqualTo(support.certificate());
  }

  private static byte[] value(byte[] signature) throws Exception {
    return new org.bouncycastle.cms.CMSSignedData(signature)
        .getSignerInfos()
        .getSigners()
        .iterator()
        .next()
        .getSignature();
  }

  @Test
  void anotherEncodingOfTheTwoNumbersIsRefused() {
    BigInteger order = order(support);
    assertThatThrownBy(
            () ->
                SignerKey.requireLow(
                    support.certificate().getPublicKey(),
                    new byte[] {0x30, 7, 2, 2, 0, 1, 2, 1, 1}))
        .hasMessageContaining("no pair");
    assertThatThrownBy(
            () ->
                SignerKey.requireLow(
                    support.certificate().getPublicKey(),
                    StandardDSAEncoding.INSTANCE.encode(
                        order, BigInteger.ONE, order.shiftRight(1).add(BigInteger.ONE))))
        .hasMessageContaining("high s");
  }

  @ParameterizedTest
  @CsvSource({
    "-200, and the signature is of",
    "200, and the signature is of",
  })
  void aCertificateOutOfItsTimeIsRefused(int days, String why) throws Exception {
    Forgery forged = new Forgery(support);
    forged.time = new Time(Date.from(NOW.plus(Duration.ofDays(days))));
    assertRefused(forged.make(), why);

    Identity root = Identity.of("EC", "root", NOW);
    Identity signer = root.certifies("EC", "signer", false, NOW.plus(Duration.ofDays(days)));
    assertRefused(new Forgery(signer).make(), why, root);
    assertThatThrownBy(
            () -> CmsSignature.sign(CONTENT, signer.key(), List.of(signer.certificate()), NOW))
        .hasMessageContaining(why);
  }

  @Test
  void strictlyEachCertificateMustBeValidNow() throws Exception {
    Instant past = NOW.minus(Duration.ofDays(1000));
    Identity root = Identity.of("EC", "root", past);
    Identity signer = root.certifies("EC", "signer", false, past);
    Forgery old = new Forgery(signer);
    old.time = new Time(Date.from(past));
    byte[] signature = old.make();
    assertThat(verify(signature, signer).time()).isEqualTo(past);
    assertThat(verify(signature, root).time()).isEqualTo(past);

    for (Identity trusted : List.of(root, signer)) {
      Trust now = new Trust(List.of(trusted.certificate()), Optional.of(NOW));
      assertThatThrownBy(() -> CmsSignature.verify(CONTENT, signature, now))
          .isInstanceOf(BundleException.class)
          .hasMessageContaining("it must be valid at " + NOW);
    }
    // The signer is certified anew, and the root is not.
    Identity fresh = root.certifies("EC", "signer", false, NOW);
    Trust now = new Trust(List.of(root.certificate()), Optional.of(NOW));
    byte[] signed = new Forgery(fresh).make();
    assertThatThrownBy(() -> CmsSignature.verify(CONTENT, signed, now))
        .hasMessageContaining("CN=root is valid from");
    Forgery ahead = new Forgery(support);
    ahead.time = new Time(Date.from(NOW.plusSeconds(1)));
    byte[] tomorrow = ahead.make();
    Trust strict = new Trust(List.of(support.certificate()), Optional.of(NOW));
    assertThatThrownBy(() -> CmsSignature.verify(CONTENT, tomorrow, strict))
        .hasMessageContaining("it says that it was signed at");
    assertThat(CmsSignature.verify(CONTENT, new Forgery(support).make(), strict).time())
        .isEqualTo(NOW);
  }

  @Test
  void aKeyForSomethingElseDoesNotSign() throws Exception {
    for (int usage : new int[] {KeyUsage.keyEncipherment, KeyUsage.keyCertSign, KeyUsage.cRLSign}) {
      Identity server = Identity.of("EC", "server", NOW, usage);
      assertRefused(new Forgery(server).make(), "is not for signing", server);
      assertThatThrownBy(
              () -> CmsSignature.sign(CONTENT, server.key(), List.of(server.certificate()), NOW))
          .hasMessageContaining("is not for signing");
    }
    for (int usage : new int[] {0, KeyUsage.digitalSignature, KeyUsage.nonRepudiation}) {
      Identity person = Identity.of("EC", "person", NOW, usage);
      assertThat(verify(new Forgery(person).make(), person).time()).isEqualTo(NOW);
    }
    // Who may not certify, by the word of its own certificate.
    Identity root = Identity.of("EC", "root", NOW, KeyUsage.digitalSignature);
    Identity signer = root.certifies("EC", "signer", false, NOW);
    assertRefused(new Forgery(signer).make(), "neither trusted nor certified", root);
  }

  @Test
  void aCertificateForOtherPurposesDoesNotSign() throws Exception {
    Identity root = Identity.of("EC", "root", NOW);
    for (boolean isCritical : new boolean[] {false, true}) {
      Identity server =
          root.certifies(
              "server",
              isCritical,
              NOW,
              KeyPurposeId.id_kp_serverAuth,
              KeyPurposeId.id_kp_clientAuth,
              KeyPurposeId.id_kp_timeStamping);
      for (Identity trusted : List.of(server, root)) {
        assertRefused(new Forgery(server).make(), "its extended key usage names none", trusted);
      }
      assertThatThrownBy(
              () -> CmsSignature.sign(CONTENT, server.key(), List.of(server.certificate()), NOW))
          .hasMessageContaining("its extended key usage names none");
      for (KeyPurposeId purpose :
          List.of(
              KeyPurposeId.id_kp_codeSigning,
              KeyPurposeId.id_kp_emailProtection,
              KeyPurposeId.getInstance(new ASN1ObjectIdentifier("1.3.6.1.5.5.7.3.36")),
              KeyPurposeId.anyExtendedKeyUsage)) {
        Identity signer =
            root.certifies("signer", isCritical, NOW, KeyPurposeId.id_kp_clientAuth, purpose);
        byte[] signature = new Forgery(signer).make();
        assertThat(verify(signature, signer).time()).isEqualTo(NOW);
        assertThat(verify(signature, root).time()).isEqualTo(NOW);
        assertThat(verify(sign(signer), root).certificate()).isEqualTo(signer.certificate());
      }
    }
  }

  private static byte[] sign(Identity by) throws Exception {
    return CmsSignature.sign(CONTENT, by.key(), List.of(by.certificate()), NOW);
  }

  @Test
  void keysThatCanBeComputedAreRefused() throws Exception {
    Identity shortened = Identity.of("RSA 1024", "short", NOW);
    Forgery forged = new Forgery(shortened);
    forged.algorithm = "SHA256withRSA";
    assertRefused(forged.make(), "has 1024 bits", shortened);
    assertThatThrownBy(
            () ->
                CmsSignature.sign(CONTENT, shortened.key(), List.of(shortened.certificate()), NOW))
        .hasMessageContaining("has 1024 bits");
  }

  @ParameterizedTest
  @ValueSource(strings = {"SHA1withECDSA", "SHA384withECDSA", "SHA512withECDSA"})
  void anotherAlgorithmIsRefused(String algorithm) throws Exception {
    Forgery forged = new Forgery(support);
    forged.algorithm = algorithm;
    assertRefused(forged.make(), "the signature is");
  }

  @ParameterizedTest
  @ValueSource(strings = {"SHA1withRSA", "SHA512withRSA"})
  void anotherAlgorithmOfRsaIsRefused(String algorithm) throws Exception {
    Identity rsa = Identity.of("RSA", "rsa", NOW);
    Forgery forged = new Forgery(rsa);
    forged.algorithm = algorithm;
    assertRefused(forged.make(), "the signature", rsa);
  }

  @Test
  void whatTheFormatHasRoomForIsRefused() throws Exception {
    Forgery attribute = new Forgery(support);
    attribute.more.add(new Attribute(UNKNOWN, new DERSet(new DERUTF8String("more"))));
    assertRefused(attribute.make(), "the signature is wrong");

    Forgery twice = new Forgery(support);
    twice.more.add(new Attribute(CMSAttributes.signingTime, new DERSet(twice.time)));
    assertRefused(twice.make(), "the signature");

    Forgery unsigned = new Forgery(support);
    unsigned.unsigned =
        new AttributeTable(new DERSet(new Attribute(UNKNOWN, new DERSet(DERNull.INSTANCE))));
    assertRefused(unsigned.make(), "the signature is wrong");

    Forgery generalized = new Forgery(support);
    generalized.time = Time.getInstance(new ASN1GeneralizedTime("20261122100000Z"));
    assertRefused(generalized.make(), "the signature is wrong");

    Forgery two = new Forgery(support);
    two.second = other;
    assertRefused(two.make(), "not of one signer");

    Forgery same = new Forgery(support);
    same.second = support;
    assertRefused(same.make(), "not of one signer");

    Forgery ber = new Forgery(support);
    ber.isDefinite = false;
    assertRefused(ber.make(), "the signature is wrong");

    Forgery whole = new Forgery(support);
    whole.isEncapsulated = true;
    assertRefused(whole.make(), "the signature is wrong");

    Forgery direct = new Forgery(support);
    direct.isDirect = true;
    assertRefused(direct.make(), "the signature is wrong");

    Forgery keyId = new Forgery(support);
    keyId.isOfKeyId = true;
    assertRefused(keyId.make(), "the signature is wrong");
  }

  @Test
  void certificatesAreThoseThatWereSignedWith() throws Exception {
    Forgery more = new Forgery(support);
    more.certificates = List.of(support.certificate(), other.certificate());
    assertRefused(more.make(), "the certificates are not those");

    Forgery fewer = new Forgery(support);
    fewer.named = List.of(support.certificate(), other.certificate());
    assertRefused(fewer.make(), "the signature is wrong");

    Forgery none = new Forgery(support);
    none.certificates = List.of();
    assertRefused(none.make(), "not of one signer with certificates");

    // The same key and names, valid at another time.
    Forgery swapped = new Forgery(support);
    swapped.certificates = List.of(support.again(NOW.plus(Duration.ofDays(300))).certificate());
    assertRefused(swapped.make(), "the certificates are not those");
    swapped.named = swapped.certificates;
    assertRefused(swapped.make(), "the certificate of CN=support is valid from", support);

    // Signed by another, who names a trusted certificate as the own one.
    Forgery stolen = new Forgery(other);
    stolen.certificates = List.of(support.certificate());
    stolen.named = stolen.certificates;
    assertRefused(stolen.make(), "the signature is wrong");
    Forgery first = new Forgery(other);
    first.certificates = List.of(support.certificate(), other.certificate());
    first.named = first.certificates;
    assertRefused(first.make(), "the signature is wrong");
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "EC"})
  void everyChangedByteOfTheSignatureIsRefused(String algorithm) throws Exception {
    Identity signer = Identity.of(algorithm, "signer", NOW);
    byte[] signature = CmsSignature.sign(CONTENT, signer.key(), List.of(signer.certificate()), NOW);
    assertThat(verify(signature, signer).time()).isEqualTo(NOW);
    for (int at = 0; at < signature.length; at++) {
      byte[] changed = signature.clone();
      changed[at] ^= (byte) (1 << at % 8);
      assertRefused(changed, "", signer);
      assertRefused(Arrays.copyOf(signature, at), "", signer);
    }
    for (int more : new int[] {1, 2, 512}) {
      assertRefused(Arrays.copyOf(signature, signature.length + more), "", signer);
    }
  }

  @Test
  void nestingEndsNothing() {
    for (int first : new int[] {0x30, 0x31, 0xa0, 0x24}) {
      byte[] deep = new byte[60_000];
      for (int i = 0; i < deep.length; i += 2) {
        deep[i] = (byte) first;
        deep[i + 1] = (byte) 0x80;
      }
      assertRefused(deep, "the signature cannot be read");
      byte[] started = Arrays.copyOf(deep, deep.length);
      started[0] = 0x30;
      System.arraycopy(
          new byte[] {6, 9, 0x2a, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xf7, 0x0d, 1, 7, 2},
          0,
          started,
          2,
          11);
      assertRefused(Arrays.copyOf(started, 59_999), "the signature cannot be read");
    }
    assertRefused(new byte[1 << 20], "larger than any");
  }

  /// Bundles whose zip and signature are as vmcheck writes them, and whose manifest is not.
  @ParameterizedTest
  @CsvSource({
    "added, report.html",
    "removed, report.json",
    "changed, report.json",
    "other, manifest"
  })
  void aManifestThatIsNotOfTheFilesIsRefused(String forgery, String named) throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put("report.json", new byte[] {'{', '}'});
    List<Bundle.Signing> signing =
        List.of(new Bundle.Signing(support.key(), List.of(support.certificate())));
    SortedMap<String, byte[]> signed =
        CanonicalZip.read(Bundle.seal(files, new StringBuilder(), signing, NOW));
    switch (forgery) {
      case "added" -> signed.put("report.html", new byte[1]);
      case "removed" -> signed.remove("report.json");
      case "changed" -> signed.put("report.json", new byte[2]);
      default -> {
        ByteArrayOutputStream more = new ByteArrayOutputStream();
        more.write(signed.get("manifest.txt"));
        more.write("# dump sha256 00\n".getBytes(StandardCharsets.US_ASCII));
        signed.put("manifest.txt", more.toByteArray());
      }
    }

    byte[] forged = CanonicalZip.write(signed);
    assertThatThrownBy(
            () -> Bundle.verify(forged, List.of(support.certificate()), Optional.empty()))
        .isInstanceOf(BundleException.class)
        .hasMessageContaining(named);
  }
}
