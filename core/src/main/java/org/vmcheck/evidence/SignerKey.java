package org.vmcheck.evidence;

import java.io.IOException;
import java.io.OutputStream;
import java.math.BigInteger;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.crypto.signers.StandardDSAEncoding;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.DefaultSignatureAlgorithmIdentifierFinder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/// Keys that sign: RSA and EC, with SHA-256.
///
/// An ECDSA signature (r, s) is valid as (r, n - s) too, which whoever has no key can make of it.
/// Only the one with the smaller s is made and accepted.
final class SignerKey {
  private static final int LEAST_RSA_BITS = 2048;
  private static final int LEAST_EC_BITS = 224;

  private SignerKey() {}

  /// Refuses a kind of key that is not known here, and one that is short enough to be computed.
  static void require(X509Certificate certificate) throws BundleException {
    PublicKey key = certificate.getPublicKey();
    int bits =
        switch (key) {
          case RSAPublicKey rsa when key.getAlgorithm().equals("RSA") ->
              rsa.getModulus().bitLength() < LEAST_RSA_BITS ? rsa.getModulus().bitLength() : 0;
          case ECPublicKey ec -> order(ec).bitLength() < LEAST_EC_BITS ? order(ec).bitLength() : 0;
          default -> throw new BundleException("keys are RSA or EC, not " + key.getAlgorithm());
        };
    if (bits != 0) {
      throw new BundleException(
          "the key of %s has %d bits: %d (RSA) or %d (EC) are the least"
              .formatted(
                  certificate.getSubjectX500Principal(), bits, LEAST_RSA_BITS, LEAST_EC_BITS));
    }
  }

  static BundleException notOfTheCertificate() {
    return new BundleException("the key does not belong to the certificate");
  }

  /// Refuses an ECDSA signature that is not the one of its two, in its one encoding.
  static void requireLow(PublicKey key, byte[] signature) throws BundleException {
    if (key instanceof ECPublicKey ec) {
      BigInteger order = order(ec);
      try {
        BigInteger s = StandardDSAEncoding.INSTANCE.decode(order, signature)[1];
        if (s.compareTo(order.shiftRight(1)) > 0) {
          throw new BundleException("the signature is wrong: its second form (high s)");
        }
      } catch (IOException | IllegalArgumentException _) {
        throw new BundleException("the signature is wrong: no pair of two numbers in DER");
      }
    }
  }

  /// Signs with this key.
  static ContentSigner signer(PrivateKey key, PublicKey belongs)
      throws BundleException, OperatorCreationException {
    if (!key.getAlgorithm().equals(belongs.getAlgorithm())) {
      throw notOfTheCertificate();
    }
    ContentSigner signer = new JcaContentSignerBuilder(algorithm(belongs)).build(key);
    return new ContentSigner() {
      @Override
      public AlgorithmIdentifier getAlgorithmIdentifier() {
        return signer.getAlgorithmIdentifier();
      }

      @Override
      public OutputStream getOutputStream() {
        return signer.getOutputStream();
      }

      @Override
      public byte[] getSignature() {
        return low(belongs, signer.getSignature());
      }
    };
  }

  /// Signs nothing: says again what another signed.
  static ContentSigner repeating(PublicKey key, byte[] signature) {
    AlgorithmIdentifier algorithm =
        new DefaultSignatureAlgorithmIdentifierFinder().find(algorithm(key));
    return new ContentSigner() {
      @Override
      public AlgorithmIdentifier getAlgorithmIdentifier() {
        return algorithm;
      }

      @Override
      public OutputStream getOutputStream() {
        return OutputStream.nullOutputStream();
      }

      @Override
      public byte[] getSignature() {
        return signature.clone();
      }
    };
  }

  private static byte[] low(PublicKey key, byte[] signature) {
    if (!(key instanceof ECPublicKey ec)) {
      return signature;
    }
    try {
      BigInteger order = order(ec);
      BigInteger[] pair = StandardDSAEncoding.INSTANCE.decode(order, signature);
      BigInteger other = order.subtract(pair[1]);
      return StandardDSAEncoding.INSTANCE.encode(order, pair[0], pair[1].min(other));
    } catch (IOException | IllegalArgumentException _) {
      // Of a key on a longer curve: it is found out when the signature is verified.
      return signature;
    }
  }

  private static BigInteger order(ECPublicKey key) {
    return key.getParams().getOrder();
  }

  private static String algorithm(PublicKey key) {
    return key instanceof RSAPublicKey ? "SHA256withRSA" : "SHA256withECDSA";
  }
}
