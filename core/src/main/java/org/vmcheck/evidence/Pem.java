package org.vmcheck.evidence;

import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
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
import org.bouncycastle.openssl.EncryptionException;
import org.bouncycastle.openssl.PEMEncryptedKeyPair;
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
  /// More than any chain of certificates has. A dump given by mistake is not read whole.
  private static final long MAX_BYTES = 1 << 20;

  private Pem() {}

  /// The first private key of a file: PKCS#8 or the older forms, RSA or EC, encrypted or not.
  ///
  /// @param passPhrase asked only if the key is encrypted; empty where there is nobody to ask
  public static PrivateKey key(Path file, Supplier<char[]> passPhrase)
      throws IOException, BundleException {
    try (PEMParser parser = parser(file)) {
      JcaPEMKeyConverter converter = new JcaPEMKeyConverter();
      for (Object item = parser.readObject(); item != null; item = parser.readObject()) {
        switch (item) {
          case PrivateKeyInfo info -> {
            return converter.getPrivateKey(info);
          }
          // Not the pair: an EC key may lack its public half.
          case PEMKeyPair pair -> {
            return converter.getPrivateKey(pair.getPrivateKeyInfo());
          }
          case PEMEncryptedKeyPair pair -> {
            return converter.getPrivateKey(
                pair.decryptKeyPair(
                        new JcePEMDecryptorProviderBuilder()
                            .setProvider(new BouncyCastleProvider())
                            .build(notEmpty(file, passPhrase.get())))
                    .getPrivateKeyInfo());
          }
          case PKCS8EncryptedPrivateKeyInfo info -> {
            return converter.getPrivateKey(
                info.decryptPrivateKeyInfo(
                    new JceOpenSSLPKCS8DecryptorProviderBuilder()
                        .setProvider(new BouncyCastleProvider())
                        .build(notEmpty(file, passPhrase.get()))));
          }
          default -> {}
        }
      }
      throw new BundleException("[" + file + "] no private key in PEM");
    } catch (FileSystemException failure) {
      throw failure;
    } catch (EncryptionException | PKCSException wrong) {
      throw new BundleException(
          "[" + file + "] the key cannot be opened: the pass phrase is wrong (or the file broken)");
    } catch (IOException | OperatorCreationException broken) {
      throw broken(file, "private key", broken);
    }
  }

  private static char[] notEmpty(Path file, char[] passPhrase) throws BundleException {
    if (passPhrase.length == 0) {
      throw new BundleException(
          "["
              + file
              + "] the key is encrypted, and no pass phrase was given: it is asked at a terminal,"
              + " or read with --passphrase-file");
    }
    return passPhrase;
  }

  private static PEMParser parser(Path file) throws IOException, BundleException {
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes((int) MAX_BYTES + 1);
    } catch (FileSystemException failure) {
      throw failure;
    } catch (IOException failure) {
      // The JDK names no file, for a directory for example.
      throw new FileSystemException(file.toString(), null, failure.getMessage());
    }
    if (bytes.length > MAX_BYTES) {
      throw new BundleException("[" + file + "] no PEM file: larger than 1 MiB");
    }
    return new PEMParser(new StringReader(new String(bytes, StandardCharsets.ISO_8859_1)));
  }

  private static BundleException broken(Path file, String what, Exception broken) {
    return new BundleException(
        "[%s] the %s cannot be read: %s".formatted(file, what, broken.getMessage()));
  }

  /// Every certificate of a file, at least one.
  public static List<X509Certificate> certificates(Path file) throws IOException, BundleException {
    List<X509Certificate> found = new ArrayList<>();
    try (PEMParser parser = parser(file)) {
      for (Object item = parser.readObject(); item != null; item = parser.readObject()) {
        if (item instanceof X509CertificateHolder holder) {
          found.add(new JcaX509CertificateConverter().getCertificate(holder));
        }
      }
    } catch (FileSystemException failure) {
      throw failure;
    } catch (IOException | GeneralSecurityException broken) {
      throw broken(file, "certificate", broken);
    }
    if (found.isEmpty()) {
      throw new BundleException("[" + file + "] no certificate in PEM");
    }
    return found;
  }
}
