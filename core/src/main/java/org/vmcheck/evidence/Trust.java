package org.vmcheck.evidence;

import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.SignatureException;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.PKIXCertPathValidatorResult;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Whom somebody who verifies trusts, and when the certificates must be valid.
///
/// @param certificates of signers, or of who certifies them
/// @param at when; empty for the time of signing, which is the signer's word
record Trust(List<X509Certificate> certificates, Optional<Instant> at) {
  /// More than any path of certificates has.
  static final int MAX_CERTIFICATES = 8;

  /// Places in KeyUsage (RFC 5280, 4.2.1.3).
  private static final int DIGITAL_SIGNATURE = 0;

  private static final int NON_REPUDIATION = 1;
  private static final int CERTIFICATES = 5;

  /// Purposes of a key (ExtKeyUsageSyntax) that cover a signed report: code (RFC 5280, 4.2.1.12),
  /// mail, which is what signs in CMS (same), documents (RFC 9336), and any.
  private static final Set<String> SIGNING =
      Set.of("1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "2.5.29.37.0");

  Trust {
    certificates = List.copyOf(certificates);
  }

  /// Refuses a certificate that says what its key is for, and does not say signing. Where both
  /// extensions are there, both must allow it (RFC 5280, 4.2.1.12).
  static void requireSigning(X509Certificate certificate)
      throws BundleException, CertificateParsingException {
    if (!mayBeUsed(certificate, DIGITAL_SIGNATURE) && !mayBeUsed(certificate, NON_REPUDIATION)) {
      throw new BundleException(
          "the certificate of %s is not for signing: its key usage names neither digitalSignature nor nonRepudiation"
              .formatted(certificate.getSubjectX500Principal()));
    }
    List<String> purposes = certificate.getExtendedKeyUsage();
    if (purposes != null && purposes.stream().noneMatch(SIGNING::contains)) {
      throw new BundleException(
          "the certificate of %s is not for signing: its extended key usage names none of codeSigning, emailProtection, documentSigning and any"
              .formatted(certificate.getSubjectX500Principal()));
    }
  }

  private static boolean mayBeUsed(X509Certificate certificate, int purpose) {
    boolean[] usage = certificate.getKeyUsage();
    return usage == null || usage[purpose];
  }

  /// Refuses a certificate that was not valid when it signed.
  static void requireValid(X509Certificate certificate, Instant signedAt) throws BundleException {
    requireValid(certificate, signedAt, "and the signature is of " + signedAt);
  }

  private static void requireValid(X509Certificate certificate, Instant time, String why)
      throws BundleException {
    try {
      certificate.checkValidity(Date.from(time));
    } catch (CertificateException _) {
      throw new BundleException(
          "the certificate of %s is valid from %s to %s, %s"
              .formatted(
                  certificate.getSubjectX500Principal(),
                  certificate.getNotBefore().toInstant(),
                  certificate.getNotAfter().toInstant(),
                  why));
    }
  }

  /// The part of a chain that belongs into a signature: each certifies the one before it.
  static List<X509Certificate> path(List<X509Certificate> chain)
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

  /// Refuses a signer whom nobody vouches for, whose certificate is for something else, or who was
  /// not certified at the time that counts.
  ///
  /// @param path the signer's certificate, then those of who certifies it
  void require(List<X509Certificate> path, Instant signedAt)
      throws BundleException, GeneralSecurityException {
    X509Certificate own = path.getFirst();
    requireSigning(own);
    requireValid(own, signedAt);
    if (at.isPresent()) {
      if (signedAt.isAfter(at.get())) {
        throw new BundleException(
            "it says that it was signed at %s, after %s".formatted(signedAt, at.get()));
      }
      requireValid(own, at.get(), "and it must be valid at " + at.get());
    }
    requireTrusted(path, at.orElse(signedAt));
  }

  private void requireTrusted(List<X509Certificate> path, Instant time)
      throws BundleException, GeneralSecurityException {
    if (certificates.contains(path.getFirst())) {
      return;
    }
    Set<TrustAnchor> anchors = new HashSet<>();
    for (X509Certificate anchor : certificates) {
      if (anchor.getBasicConstraints() >= 0 && mayBeUsed(anchor, CERTIFICATES)) {
        anchors.add(new TrustAnchor(anchor, null));
      }
    }
    List<X509Certificate> below = new ArrayList<>();
    for (X509Certificate certificate : path) {
      if (certificates.contains(certificate)) {
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
      requireValid(
          result.getTrustAnchor().getTrustedCert(),
          time,
          (at.isEmpty() ? "and the signature is of " : "and it must be valid at ") + time);
    } catch (CertPathValidatorException refused) {
      throw new BundleException(
          who + ", who is neither trusted nor certified by one who is: " + refused.getMessage());
    }
  }
}
