package org.vmcheck.evidence;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMEncryptedKeyPair;
import org.bouncycastle.openssl.PEMException;
import org.bouncycastle.openssl.PEMKeyPair;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8DecryptorProviderBuilder;
import org.bouncycastle.openssl.jcajce.JcePEMDecryptorProviderBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.pkcs.PKCS8EncryptedPrivateKeyInfo;
import org.bouncycastle.pkcs.PKCSException;

/// Keys and certificates in PEM files.
public final class Pem {
  private static final BouncyCastleProvider PROVIDER = new BouncyCastleProvider();

  private Pem() {}

  /// The first private key of a file: PKCS#8 or the older forms, RSA or EC, encrypted or not.
  ///
  /// @param passPhrase asked only if the key is encrypted
  public static PrivateKey key(Path file, Supplier<char[]> passPhrase)
      throws IOException, BundleException {
    try (Reader reader = Files.newBufferedReader(file);
        PEMParser parser = new PEMParser(reader)) {
      JcaPEMKeyConverter converter = new JcaPEMKeyConverter();
      for (Object item = parser.readObject(); item != null; item = parser.readObject()) {
        switch (item) {
          case PrivateKeyInfo info -> {
            return converter.getPrivateKey(info);
          }
          case PEMKeyPair pair -> {
            return converter.getKeyPair(pair).getPrivate();
          }
          case PEMEncryptedKeyPair pair -> {
            return converter
                .getKeyPair(
                    pair.decryptKeyPair(
                        new JcePEMDecryptorProviderBuilder()
                            .setProvider(PROVIDER)
                            .build(passPhrase.get())))
                .getPrivate();
          }
          case PKCS8EncryptedPrivateKeyInfo info -> {
            return converter.getPrivateKey(
                info.decryptPrivateKeyInfo(
                    new JceOpenSSLPKCS8DecryptorProviderBuilder()
                        .setProvider(PROVIDER)
                        .build(passPhrase.get())));
          }
          default -> {}
        }
      }
      throw new BundleException("[" + file + "] no private key in PEM");
    } catch (PEMException | PKCSException | OperatorCreationException broken) {
      throw new BundleException(
          "[" + file + "] the key cannot be read (wrong pass phrase?): " + broken.getMessage());
    }
  }

  /// Every certificate of a file, at least one.
  public static List<X509Certificate> certificates(Path file) throws IOException, BundleException {
    List<X509Certificate> found = new ArrayList<>();
    try (Reader reader = Files.newBufferedReader(file);
        PEMParser parser = new PEMParser(reader)) {
      for (Object item = parser.readObject(); item != null; item = parser.readObject()) {
        if (item instanceof X509CertificateHolder holder) {
          found.add(new JcaX509CertificateConverter().getCertificate(holder));
        }
      }
    } catch (PEMException | GeneralSecurityException broken) {
      throw new BundleException("[" + file + "] a certificate cannot be read: " + broken);
    }
    if (found.isEmpty()) {
      throw new BundleException("[" + file + "] no certificate in PEM");
    }
    return found;
  }
}
