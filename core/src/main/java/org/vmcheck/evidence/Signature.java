package org.vmcheck.evidence;

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Set;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.cms.SignedData;
import org.bouncycastle.asn1.cms.SignerIdentifier;
import org.bouncycastle.asn1.cms.SignerInfo;
import org.bouncycastle.asn1.cms.Time;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.Certificate;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/// A detached CMS signature (RFC 5652) of one signer, SHA-256 with RSA or EC, in one form only:
/// what the signature does not cover follows from the certificate, so no byte can be changed
/// unnoticed.
final class Signature {
  /// Who signed, and when by the signer's own word.
  record Signer(X509Certificate certificate, Instant time) {}

  private static final AlgorithmIdentifier SHA256 =
      new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256);

  private Signature() {}

  static byte[] sign(byte[] content, PrivateKey key, X509Certificate certificate, Instant time)
      throws BundleException {
    try {
      ASN1Set attributes =
          new DERSet(
              new Attribute[] {
                new Attribute(CMSAttributes.contentType, new DERSet(CMSObjectIdentifiers.data)),
                new Attribute(
                    CMSAttributes.signingTime,
                    new DERSet(new Time(Date.from(time)).toASN1Primitive())),
                new Attribute(
                    CMSAttributes.messageDigest, new DERSet(new DEROctetString(digest(content))))
              });
      java.security.Signature signer =
          java.security.Signature.getInstance(algorithm(key.getAlgorithm()));
      signer.initSign(key);
      signer.update(attributes.getEncoded(ASN1Encoding.DER));
      byte[] signature = signer.sign();
      if (!isValid(certificate.getPublicKey(), attributes, signature)) {
        throw new BundleException("the key does not belong to the certificate");
      }
      return assemble(certificate, attributes, signature);
    } catch (GeneralSecurityException | IOException failure) {
      throw new BundleException("cannot sign: " + failure.getMessage());
    }
  }

  /// Who made a signature of this content, if one of the trusted did: the certificate itself or one
  /// that issued it.
  static Signer verify(byte[] content, byte[] signature, List<X509Certificate> trusted)
      throws BundleException {
    try {
      ContentInfo info = ContentInfo.getInstance(ASN1Primitive.fromByteArray(signature));
      SignedData data = SignedData.getInstance(info.getContent());
      if (data.getCertificates() == null
          || data.getCertificates().size() != 1
          || data.getSignerInfos().size() != 1) {
        throw new BundleException("the signature is not of one signer with one certificate");
      }
      X509Certificate certificate = certificate(data);
      SignerInfo signer = SignerInfo.getInstance(data.getSignerInfos().getObjectAt(0));
      ASN1Set attributes = signer.getAuthenticatedAttributes();
      byte[] value = signer.getEncryptedDigest().getOctets();
      if (attributes == null
          || !Arrays.equals(signature, assemble(certificate, attributes, value))
          || !isValid(certificate.getPublicKey(), attributes, value)) {
        throw new BundleException("the signature is wrong");
      }
      AttributeTable table = new AttributeTable(attributes);
      if (!Arrays.equals(
          digest(content),
          ASN1OctetString.getInstance(first(table, CMSAttributes.messageDigest)).getOctets())) {
        throw new BundleException("the signature is of another manifest");
      }
      Instant time =
          Time.getInstance(first(table, CMSAttributes.signingTime)).getDate().toInstant();
      requireTrusted(certificate, trusted, time);
      return new Signer(certificate, time);
    } catch (GeneralSecurityException | IOException | RuntimeException broken) {
      throw new BundleException("the signature cannot be read: " + broken.getMessage());
    }
  }

  private static ASN1Primitive first(
      AttributeTable table, org.bouncycastle.asn1.ASN1ObjectIdentifier type)
      throws BundleException {
    Attribute attribute = table.get(type);
    if (attribute == null || attribute.getAttrValues().size() != 1) {
      throw new BundleException("the signature lacks the attribute " + type);
    }
    return attribute.getAttrValues().getObjectAt(0).toASN1Primitive();
  }

  private static X509Certificate certificate(SignedData data)
      throws GeneralSecurityException, IOException {
    byte[] encoded =
        data.getCertificates().getObjectAt(0).toASN1Primitive().getEncoded(ASN1Encoding.DER);
    return (X509Certificate)
        java.security.cert.CertificateFactory.getInstance("X.509")
            .generateCertificate(new java.io.ByteArrayInputStream(encoded));
  }

  private static void requireTrusted(
      X509Certificate certificate, List<X509Certificate> trusted, Instant time)
      throws BundleException, GeneralSecurityException {
    certificate.checkValidity(Date.from(time));
    for (X509Certificate anchor : trusted) {
      if (anchor.equals(certificate)) {
        return;
      }
      if (anchor.getBasicConstraints() >= 0
          && anchor.getSubjectX500Principal().equals(certificate.getIssuerX500Principal())) {
        try {
          anchor.checkValidity(Date.from(time));
          certificate.verify(anchor.getPublicKey());
          return;
        } catch (GeneralSecurityException _) {
          // Of another with the same name.
        }
      }
    }
    throw new BundleException(
        "signed by "
            + certificate.getSubjectX500Principal()
            + ", who is neither trusted nor certified by one who is");
  }

  private static boolean isValid(PublicKey key, ASN1Set attributes, byte[] signature)
      throws GeneralSecurityException, IOException {
    java.security.Signature verifier =
        java.security.Signature.getInstance(algorithm(key.getAlgorithm()));
    verifier.initVerify(key);
    verifier.update(attributes.getEncoded(ASN1Encoding.DER));
    return verifier.verify(signature);
  }

  private static String algorithm(String keyAlgorithm) throws GeneralSecurityException {
    return switch (keyAlgorithm) {
      case "RSA" -> "SHA256withRSA";
      case "EC", "ECDSA" -> "SHA256withECDSA";
      default -> throw new GeneralSecurityException("keys are RSA or EC, not " + keyAlgorithm);
    };
  }

  private static byte[] digest(byte[] content) throws GeneralSecurityException {
    return MessageDigest.getInstance("SHA-256").digest(content);
  }

  private static byte[] assemble(X509Certificate certificate, ASN1Set attributes, byte[] signature)
      throws GeneralSecurityException, IOException {
    Certificate encoded = Certificate.getInstance(certificate.getEncoded());
    AlgorithmIdentifier algorithm =
        certificate.getPublicKey().getAlgorithm().equals("RSA")
            ? new AlgorithmIdentifier(
                PKCSObjectIdentifiers.sha256WithRSAEncryption, DERNull.INSTANCE)
            : new AlgorithmIdentifier(X9ObjectIdentifiers.ecdsa_with_SHA256);
    SignerInfo signer =
        new SignerInfo(
            new SignerIdentifier(
                new IssuerAndSerialNumber(encoded.getIssuer(), certificate.getSerialNumber())),
            SHA256,
            attributes,
            algorithm,
            new DEROctetString(signature),
            null);
    SignedData data =
        new SignedData(
            new DERSet(SHA256),
            new ContentInfo(CMSObjectIdentifiers.data, null),
            new DERSet(encoded),
            null,
            new DERSet(signer));
    return new ContentInfo(CMSObjectIdentifiers.signedData, data).getEncoded(ASN1Encoding.DER);
  }
}
