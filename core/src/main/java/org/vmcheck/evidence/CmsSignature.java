package org.vmcheck.evidence;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.Time;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSAttributeTableGenerator;
import org.bouncycastle.cms.CMSException;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.CMSSignerDigestMismatchException;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.RuntimeOperatorException;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.vmcheck.io.Sha256;

/// A detached CMS signature (RFC 5652) of one signer, SHA-256 with RSA or EC, made and read by
/// Bouncy Castle, and accepted in one form only.
///
/// Who verifies makes it again, of the content, the certificates, the time and the signature's
/// value that were read, and compares every byte: another attribute, another algorithm, a second
/// signer, BER or bytes behind the end are refused without a rule of their own. A signed attribute
/// (signing-certificate-v2, RFC 5035) holds the hash of each certificate, and EC has one signature
/// out of its two (low s), so no byte can be changed unnoticed.
final class CmsSignature {
  /// More than eight certificates have.
  private static final int MAX_BYTES = 1 << 16;

  /// Who signed, and when by the signer's own word.
  record Signer(X509Certificate certificate, Instant time) {}

  private CmsSignature() {}

  /// Signs.
  ///
  /// @param chain the signer's certificate, then those of who certifies it, as a PEM file holds
  ///   them; a root is left out, since who verifies must have it
  /// @param time in whole seconds
  static byte[] sign(byte[] content, PrivateKey key, List<X509Certificate> chain, Instant time)
      throws BundleException {
    try {
      X509Certificate own = chain.getFirst();
      SignerKey.require(own);
      Trust.requireSigning(own);
      Trust.requireValid(own, time);
      List<X509Certificate> path = Trust.path(chain);
      byte[] signature = assemble(content, path, time, SignerKey.signer(key, own.getPublicKey()));
      if (signature.length > MAX_BYTES) {
        throw new BundleException(
            "the certificates are too large: %,d bytes, and %,d are the limit"
                .formatted(signature.length, MAX_BYTES));
      }
      CMSSignedData made = new CMSSignedData(new CMSProcessableByteArray(content), signature);
      if (!isValid(own, only(made))) {
        throw SignerKey.notOfTheCertificate();
      }
      return signature;
    } catch (RuntimeOperatorException _) {
      // A key of another curve, or of another length.
      throw SignerKey.notOfTheCertificate();
    } catch (GeneralSecurityException
        | IOException
        | CMSException
        | OperatorCreationException failure) {
      throw new BundleException("cannot sign: " + failure.getMessage());
    }
  }

  /// Who made a signature of this content, if one of the trusted did: the certificate itself, or
  /// one at the end of the path that the signature holds.
  ///
  /// @param trust whom, and when their certificates must be valid
  static Signer verify(byte[] content, byte[] signature, Trust trust) throws BundleException {
    if (signature.length > MAX_BYTES) {
      throw new BundleException("the signature is larger than any");
    }
    try {
      CMSSignedData data = new CMSSignedData(new CMSProcessableByteArray(content), signature);
      SignerInformation signer = only(data);
      AttributeTable attributes = signer.getSignedAttributes();
      if (attributes == null) {
        throw new BundleException("the signature is wrong");
      }
      List<X509Certificate> path = path(data, attributes);
      Instant time =
          Time.getInstance(first(attributes, CMSAttributes.signingTime)).getDate().toInstant();
      X509Certificate own = path.getFirst();
      SignerKey.require(own);
      SignerKey.requireLow(own.getPublicKey(), signer.getSignature());
      byte[] again =
          assemble(
              content, path, time, SignerKey.repeating(own.getPublicKey(), signer.getSignature()));
      boolean isOfContent =
          Arrays.equals(
              Sha256.of(content),
              ASN1OctetString.getInstance(first(attributes, CMSAttributes.messageDigest))
                  .getOctets());
      if (!isOfContent) {
        throw new BundleException("the signature is of another manifest");
      }
      if (!Arrays.equals(signature, again) || !isValid(own, signer)) {
        throw new BundleException("the signature is wrong");
      }
      trust.require(path, time);
      return new Signer(own, time);
    } catch (CMSSignerDigestMismatchException _) {
      throw new BundleException("the signature is of another manifest");
    } catch (GeneralSecurityException
        | IOException
        | CMSException
        | OperatorCreationException
        | RuntimeException broken) {
      throw new BundleException("the signature cannot be read: " + broken.getMessage());
    } catch (StackOverflowError _) {
      // Sequences in sequences, which the parser follows one call deeper each.
      throw new BundleException("the signature cannot be read: it is nested too deeply");
    }
  }

  /// The one signer.
  private static SignerInformation only(CMSSignedData data) throws BundleException {
    Collection<SignerInformation> signers = data.getSignerInfos().getSigners();
    if (signers.size() != 1) {
      throw new BundleException("the signature is not of one signer");
    }
    return signers.iterator().next();
  }

  private static boolean isValid(X509Certificate own, SignerInformation signer)
      throws OperatorCreationException, CMSException {
    // By the key and not by the certificate, whose time is judged by us.
    return signer.verify(new JcaSimpleSignerInfoVerifierBuilder().build(own.getPublicKey()));
  }

  private static ASN1Primitive first(AttributeTable table, ASN1ObjectIdentifier type)
      throws BundleException {
    Attribute attribute = table.get(type);
    if (attribute == null || attribute.getAttrValues().size() != 1) {
      throw new BundleException("the signature lacks the attribute " + type);
    }
    return attribute.getAttrValues().getObjectAt(0).toASN1Primitive();
  }

  /// The certificates in the order in which the signed attribute names them, none too many and none
  /// too few.
  private static List<X509Certificate> path(CMSSignedData data, AttributeTable attributes)
      throws BundleException, GeneralSecurityException, IOException {
    Collection<X509CertificateHolder> holders = data.getCertificates().getMatches(null);
    if (holders.isEmpty() || holders.size() > Trust.MAX_CERTIFICATES) {
      throw new BundleException("the signature is not of one signer with certificates");
    }
    ASN1Primitive named = first(attributes, PKCSObjectIdentifiers.id_aa_signingCertificateV2);
    ASN1Sequence hashes = ASN1Sequence.getInstance(ASN1Sequence.getInstance(named).getObjectAt(0));
    List<X509Certificate> path = new ArrayList<>();
    for (ASN1Encodable item : hashes) {
      byte[] hash =
          ASN1OctetString.getInstance(ASN1Sequence.getInstance(item).getObjectAt(0)).getOctets();
      for (X509CertificateHolder holder : holders) {
        byte[] encoded = holder.toASN1Structure().getEncoded(ASN1Encoding.DER);
        if (Arrays.equals(hash, Sha256.of(encoded))) {
          path.add(
              (X509Certificate)
                  CertificateFactory.getInstance("X.509")
                      .generateCertificate(new ByteArrayInputStream(encoded)));
        }
      }
    }
    if (path.isEmpty() || path.size() != holders.size()) {
      throw new BundleException("the certificates are not those that were signed with");
    }
    return path;
  }

  /// SigningCertificateV2 of RFC 5035: a hash a certificate, SHA-256 being the default.
  private static DERSequence hashes(List<X509Certificate> path) throws GeneralSecurityException {
    ASN1EncodableVector hashes = new ASN1EncodableVector();
    for (X509Certificate certificate : path) {
      hashes.add(new DERSequence(new DEROctetString(Sha256.of(certificate.getEncoded()))));
    }
    return new DERSequence(new DERSequence(hashes));
  }

  private static byte[] assemble(
      byte[] content, List<X509Certificate> path, Instant time, ContentSigner signer)
      throws GeneralSecurityException, IOException, CMSException, OperatorCreationException {
    DERSequence hashes = hashes(path);
    CMSAttributeTableGenerator attributes =
        known -> {
          ASN1EncodableVector all = new ASN1EncodableVector();
          all.add(attribute(CMSAttributes.contentType, CMSObjectIdentifiers.data));
          all.add(attribute(CMSAttributes.signingTime, new Time(Date.from(time))));
          byte[] digest = (byte[]) known.get(CMSAttributeTableGenerator.DIGEST);
          all.add(attribute(CMSAttributes.messageDigest, new DEROctetString(digest)));
          all.add(attribute(PKCSObjectIdentifiers.id_aa_signingCertificateV2, hashes));
          return new AttributeTable(all);
        };
    CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
    generator.addSignerInfoGenerator(
        new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().build())
            .setSignedAttributeGenerator(attributes)
            .build(signer, path.getFirst()));
    generator.addCertificates(new JcaCertStore(path));
    return generator
        .generate(new CMSProcessableByteArray(content), false)
        .toASN1Structure()
        .getEncoded(ASN1Encoding.DER);
  }

  private static Attribute attribute(ASN1ObjectIdentifier type, ASN1Encodable value) {
    return new Attribute(type, new DERSet(value));
  }
}
