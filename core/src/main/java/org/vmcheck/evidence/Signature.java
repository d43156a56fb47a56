package org.vmcheck.evidence;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SignatureException;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXCertPathValidatorResult;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.ASN1Set;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
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
/// what the signature does not cover follows from the certificates, and a signed attribute
/// (signing-certificate-v2, RFC 5035) holds the hash of each of these, so no byte can be changed
/// unnoticed.
final class Signature {
  /// More than any path of certificates has.
  private static final int MAX_CERTIFICATES = 8;

  /// Who signed, and when by the signer's own word.
  record Signer(X509Certificate certificate, Instant time) {}

  private static final AlgorithmIdentifier SHA256 =
      new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256);

  private Signature() {}

  /// Signs.
  ///
  /// @param chain the signer's certificate, then those of who certifies it, as a PEM file holds
  ///   them; a root is left out, since who verifies must have it
  static byte[] sign(byte[] content, PrivateKey key, List<X509Certificate> chain, Instant time)
      throws BundleException {
    try {
      X509Certificate own = chain.getFirst();
      if (!own.getPublicKey().getAlgorithm().equals(key.getAlgorithm())) {
        throw new BundleException("the key does not belong to the certificate");
      }
      requireValid(own, time);
      List<X509Certificate> path = path(chain);
      ASN1Set attributes =
          new DERSet(
              new Attribute[] {
                new Attribute(CMSAttributes.contentType, new DERSet(CMSObjectIdentifiers.data)),
                new Attribute(
                    CMSAttributes.signingTime,
                    new DERSet(new Time(Date.from(time)).toASN1Primitive())),
                new Attribute(
                    CMSAttributes.messageDigest, new DERSet(new DEROctetString(digest(content)))),
                new Attribute(
                    PKCSObjectIdentifiers.id_aa_signingCertificateV2, new DERSet(hashes(path)))
              });
      java.security.Signature signer =
          java.security.Signature.getInstance(algorithm(key.getAlgorithm()));
      signer.initSign(key);
      signer.update(attributes.getEncoded(ASN1Encoding.DER));
      byte[] signature = signer.sign();
      if (!isValid(own.getPublicKey(), attributes, signature)) {
        throw new BundleException("the key does not belong to the certificate");
      }
      return assemble(path, attributes, signature);
    } catch (SignatureException | InvalidKeyException _) {
      // Of another curve, or of another length.
      throw new BundleException("the key does not belong to the certificate");
    } catch (GeneralSecurityException | IOException failure) {
      throw new BundleException("cannot sign: " + failure.getMessage());
    }
  }

  /// The part of a chain that belongs into the signature: each certifies the one before it.
  private static List<X509Certificate> path(List<X509Certificate> chain)
      throws BundleException, GeneralSecurityException {
    List<X509Certificate> path = new ArrayList<>(List.of(chain.getFirst()));
    for (X509Certificate next : chain.subList(1, chain.size())) {
      X509Certificate last = path.getLast();
      try {
        last.verify(next.getPublicKey());
      } catch (SignatureException | InvalidKeyException _) {
        throw new BundleException(
            "%s did not certify %s: the file must hold the signer's certificate, then in order"
                    .formatted(next.getSubjectX500Principal(), last.getSubjectX500Principal())
                + " those of who certifies it");
      }
      if (isRoot(next)) {
        break;
      }
      path.add(next);
    }
    if (path.size() > MAX_CERTIFICATES) {
      throw new BundleException("more than " + MAX_CERTIFICATES + " certificates");
    }
    return path;
  }

  private static boolean isRoot(X509Certificate certificate) {
    return certificate.getSubjectX500Principal().equals(certificate.getIssuerX500Principal());
  }

  /// Who made a signature of this content, if one of the trusted did: the certificate itself, or
  /// one at the end of the path that the signature holds.
  static Signer verify(byte[] content, byte[] signature, List<X509Certificate> trusted)
      throws BundleException {
    try {
      ContentInfo info = ContentInfo.getInstance(ASN1Primitive.fromByteArray(signature));
      SignedData data = SignedData.getInstance(info.getContent());
      if (data.getCertificates() == null
          || data.getCertificates().size() > MAX_CERTIFICATES
          || data.getSignerInfos().size() != 1) {
        throw new BundleException("the signature is not of one signer with certificates");
      }
      SignerInfo signer = SignerInfo.getInstance(data.getSignerInfos().getObjectAt(0));
      ASN1Set attributes = signer.getAuthenticatedAttributes();
      if (attributes == null) {
        throw new BundleException("the signature is wrong");
      }
      AttributeTable table = new AttributeTable(attributes);
      List<X509Certificate> path =
          inOrder(
              certificates(data), first(table, PKCSObjectIdentifiers.id_aa_signingCertificateV2));
      X509Certificate own = path.getFirst();
      byte[] value = signer.getEncryptedDigest().getOctets();
      if (!Arrays.equals(signature, assemble(path, attributes, value))
          || !isValid(own.getPublicKey(), attributes, value)) {
        throw new BundleException("the signature is wrong");
      }
      if (!Arrays.equals(
          digest(content),
          ASN1OctetString.getInstance(first(table, CMSAttributes.messageDigest)).getOctets())) {
        throw new BundleException("the signature is of another manifest");
      }
      Instant time =
          Time.getInstance(first(table, CMSAttributes.signingTime)).getDate().toInstant();
      requireValid(own, time);
      requireTrusted(path, trusted, time);
      return new Signer(own, time);
    } catch (GeneralSecurityException | IOException | RuntimeException broken) {
      throw new BundleException("the signature cannot be read: " + broken.getMessage());
    }
  }

  private static ASN1Primitive first(AttributeTable table, ASN1ObjectIdentifier type)
      throws BundleException {
    Attribute attribute = table.get(type);
    if (attribute == null || attribute.getAttrValues().size() != 1) {
      throw new BundleException("the signature lacks the attribute " + type);
    }
    return attribute.getAttrValues().getObjectAt(0).toASN1Primitive();
  }

  private static List<X509Certificate> certificates(SignedData data)
      throws GeneralSecurityException, IOException {
    List<X509Certificate> found = new ArrayList<>();
    for (ASN1Encodable item : data.getCertificates()) {
      byte[] encoded = item.toASN1Primitive().getEncoded(ASN1Encoding.DER);
      found.add(
          (X509Certificate)
              CertificateFactory.getInstance("X.509")
                  .generateCertificate(new ByteArrayInputStream(encoded)));
    }
    return found;
  }

  /// The certificates in the order in which the signed attribute names them, none too many and none
  /// too few.
  private static List<X509Certificate> inOrder(
      List<X509Certificate> certificates, ASN1Primitive named)
      throws BundleException, GeneralSecurityException {
    ASN1Sequence hashes = ASN1Sequence.getInstance(ASN1Sequence.getInstance(named).getObjectAt(0));
    List<X509Certificate> path = new ArrayList<>();
    for (ASN1Encodable item : hashes) {
      byte[] hash =
          ASN1OctetString.getInstance(ASN1Sequence.getInstance(item).getObjectAt(0)).getOctets();
      for (X509Certificate certificate : certificates) {
        if (Arrays.equals(hash, digest(certificate.getEncoded()))) {
          path.add(certificate);
        }
      }
    }
    if (path.isEmpty() || path.size() != certificates.size() || !hashes(path).equals(named)) {
      throw new BundleException("the certificates are not those that were signed with");
    }
    return path;
  }

  /// SigningCertificateV2 of RFC 5035: a hash a certificate, SHA-256 being the default.
  private static DERSequence hashes(List<X509Certificate> path) throws GeneralSecurityException {
    ASN1EncodableVector hashes = new ASN1EncodableVector();
    for (X509Certificate certificate : path) {
      hashes.add(new DERSequence(new DEROctetString(digest(certificate.getEncoded()))));
    }
    return new DERSequence(new DERSequence(hashes));
  }

  private static void requireValid(X509Certificate certificate, Instant time)
      throws BundleException {
    try {
      certificate.checkValidity(Date.from(time));
    } catch (CertificateException _) {
      throw new BundleException(
          "the certificate of %s is valid from %s to %s, and the signature is of %s"
              .formatted(
                  certificate.getSubjectX500Principal(),
                  certificate.getNotBefore().toInstant(),
                  certificate.getNotAfter().toInstant(),
                  time));
    }
  }

  private static void requireTrusted(
      List<X509Certificate> path, List<X509Certificate> trusted, Instant time)
      throws BundleException, GeneralSecurityException {
    Set<TrustAnchor> anchors = new HashSet<>();
    for (X509Certificate anchor : trusted) {
      if (anchor.equals(path.getFirst())) {
        return;
      }
      if (anchor.getBasicConstraints() >= 0) {
        anchors.add(new TrustAnchor(anchor, null));
      }
    }
    List<X509Certificate> below = new ArrayList<>();
    for (X509Certificate certificate : path) {
      if (trusted.contains(certificate)) {
        break; // A path does not hold its anchor.
      }
      below.add(certificate);
    }
    String who = "signed by " + path.getFirst().getSubjectX500Principal();
    if (anchors.isEmpty()) {
      throw new BundleException(who + ", who is neither trusted nor certified by one who is");
    }
    try {
      PKIXParameters parameters = new PKIXParameters(anchors);
      parameters.setDate(Date.from(time));
      // Lists of what was revoked are on the network, which vmcheck does not use.
      parameters.setRevocationEnabled(false);
      PKIXCertPathValidatorResult result =
          (PKIXCertPathValidatorResult)
              CertPathValidator.getInstance("PKIX")
                  .validate(
                      CertificateFactory.getInstance("X.509").generateCertPath(below), parameters);
      requireValid(result.getTrustAnchor().getTrustedCert(), time);
    } catch (CertPathValidatorException refused) {
      throw new BundleException(
          who + ", who is neither trusted nor certified by one who is: " + refused.getMessage());
    }
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

  private static byte[] assemble(List<X509Certificate> path, ASN1Set attributes, byte[] signature)
      throws GeneralSecurityException, IOException {
    X509Certificate own = path.getFirst();
    ASN1EncodableVector certificates = new ASN1EncodableVector();
    for (X509Certificate certificate : path) {
      certificates.add(Certificate.getInstance(certificate.getEncoded()));
    }
    AlgorithmIdentifier algorithm =
        own.getPublicKey().getAlgorithm().equals("RSA")
            ? new AlgorithmIdentifier(
                PKCSObjectIdentifiers.sha256WithRSAEncryption, DERNull.INSTANCE)
            : new AlgorithmIdentifier(X9ObjectIdentifiers.ecdsa_with_SHA256);
    SignerInfo signer =
        new SignerInfo(
            new SignerIdentifier(
                new IssuerAndSerialNumber(
                    Certificate.getInstance(own.getEncoded()).getIssuer(), own.getSerialNumber())),
            SHA256,
            attributes,
            algorithm,
            new DEROctetString(signature),
            null);
    SignedData data =
        new SignedData(
            new DERSet(SHA256),
            new ContentInfo(CMSObjectIdentifiers.data, null),
            new DERSet(certificates),
            null,
            new DERSet(signer));
    return new ContentInfo(CMSObjectIdentifiers.signedData, data).getEncoded(ASN1Encoding.DER);
  }
}
