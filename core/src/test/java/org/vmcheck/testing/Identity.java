package org.vmcheck.testing;

import java.io.StringWriter;
import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/// A key and its certificate, made for a test.
///
/// @param certificate self-signed, or by the one that [#certifies] was called on
public record Identity(PrivateKey key, X509Certificate certificate) {
  private static final Duration YEAR = Duration.ofDays(365);

  /// A certificate of its own, valid for a year around a time.
  ///
  /// @param algorithm `RSA` or `EC`, behind a space the bits if they are few
  public static Identity of(String algorithm, String name, Instant around) throws Exception {
    return of(algorithm, name, around, KeyUsage.digitalSignature | KeyUsage.keyCertSign);
  }

  /// One whose key is for something else.
  ///
  /// @param usage bits of Bouncy Castle's `KeyUsage`; 0 for a certificate that does not say
  public static Identity of(String algorithm, String name, Instant around, int usage)
      throws Exception {
    KeyPair pair = pair(algorithm);
    return new Identity(
        pair.getPrivate(),
        certificate(
            pair,
            name,
            true,
            usage,
            List.of(),
            pair.getPrivate(),
            new X500Principal("CN=" + name),
            around));
  }

  /// The same key with another certificate of the same names and number.
  public Identity again(Instant around) throws Exception {
    return new Identity(
        key,
        certificate(
            new KeyPair(certificate.getPublicKey(), key),
            certificate.getSubjectX500Principal().getName().substring(3),
            true,
            KeyUsage.digitalSignature,
            List.of(),
            key,
            certificate.getIssuerX500Principal(),
            around));
  }

  /// One that this one certifies.
  ///
  /// @param isAuthority whether it may certify others
  public Identity certifies(String algorithm, String name, boolean isAuthority, Instant around)
      throws Exception {
    return certifies(algorithm, name, isAuthority, List.of(), around);
  }

  /// One that this one certifies for some purposes only.
  ///
  /// @param isCritical whether who does not know the extension must refuse the certificate
  public Identity certifies(
      String name, boolean isCritical, Instant around, KeyPurposeId... purposes) throws Exception {
    Extension extension =
        Extension.create(Extension.extendedKeyUsage, isCritical, new ExtendedKeyUsage(purposes));
    return certifies("EC", name, false, List.of(extension), around);
  }

  private Identity certifies(
      String algorithm, String name, boolean isAuthority, List<Extension> more, Instant around)
      throws Exception {
    KeyPair pair = pair(algorithm);
    return new Identity(
        pair.getPrivate(),
        certificate(
            pair,
            name,
            isAuthority,
            KeyUsage.digitalSignature | (isAuthority ? KeyUsage.keyCertSign : 0),
            more,
            key,
            certificate.getSubjectX500Principal(),
            around));
  }

  /// Keys (in PKCS#8, which names an EC key's curve) and certificates as a PEM file.
  public static String pem(Object... items) throws Exception {
    StringWriter text = new StringWriter();
    try (JcaPEMWriter pem = new JcaPEMWriter(text)) {
      for (Object item : items) {
        pem.writeObject(item instanceof PrivateKey key ? new JcaPKCS8Generator(key, null) : item);
      }
    }
    return text.toString();
  }

  /// The certificates of some, as a PEM file.
  public static String chain(List<Identity> identities) throws Exception {
    return pem(identities.stream().map(Identity::certificate).toArray());
  }

  private static KeyPair pair(String algorithm) throws Exception {
    String[] words = algorithm.split(" ");
    KeyPairGenerator generator = KeyPairGenerator.getInstance(words[0]);
    generator.initialize(
        words.length > 1 ? Integer.parseInt(words[1]) : words[0].equals("RSA") ? 2048 : 256);
    return generator.generateKeyPair();
  }

  private static X509Certificate certificate(
      KeyPair pair,
      String name,
      boolean isAuthority,
      int usage,
      List<Extension> more,
      PrivateKey issuerKey,
      X500Principal issuer,
      Instant around)
      throws Exception {
    X509v3CertificateBuilder builder =
        new JcaX509v3CertificateBuilder(
                issuer,
                BigInteger.valueOf(7),
                Date.from(around.minus(YEAR.dividedBy(2))),
                Date.from(around.plus(YEAR.dividedBy(2))),
                new X500Principal("CN=" + name),
                pair.getPublic())
            .addExtension(Extension.basicConstraints, true, new BasicConstraints(isAuthority));
    if (usage != 0) {
      builder.addExtension(Extension.keyUsage, true, new KeyUsage(usage));
    }
    for (Extension extension : more) {
      builder.addExtension(extension);
    }
    return new JcaX509CertificateConverter()
        .getCertificate(
            builder.build(
                new JcaContentSignerBuilder(
                        "SHA256with" + issuerKey.getAlgorithm().replace("EC", "ECDSA"))
                    .build(issuerKey)));
  }
}
