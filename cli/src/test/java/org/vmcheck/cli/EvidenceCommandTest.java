package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.sec.SECObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.jcajce.JcaMiscPEMGenerator;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8EncryptorBuilder;
import org.bouncycastle.openssl.jcajce.JcePEMEncryptorBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.evidence.SignedBundle;
import org.vmcheck.testing.Identity;
import org.vmcheck.testing.TestData;

/// `evidence` and `verify` as a support engineer types them.
class EvidenceCommandTest {
  private static final char[] PASS_PHRASE = "correct horse".toCharArray();

  @TempDir private Path dir;
  private Path dump;

  record Result(int code, String out, String err) {}

  private static Result run(Object... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] args = List.of(words).stream().map(Object::toString).toArray(String[]::new);
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), args);
    return new Result(code, out.toString(), err.toString());
  }

  @BeforeEach
  void findDump() throws Exception {
    dump = TestData.named("use-after-free").dump();
  }

  private Path write(String name, String text) throws Exception {
    return Files.writeString(dir.resolve(name), text);
  }

  private static String encrypted(Identity identity, String form) throws Exception {
    BouncyCastleProvider provider = new BouncyCastleProvider();
    if (form.startsWith("PKCS#8 ")) {
      return Identity.pem(
          new JcaPKCS8Generator(
              identity.key(),
              new JceOpenSSLPKCS8EncryptorBuilder(JcaPKCS8Generator.AES_256_CBC)
                  .setProvider(provider)
                  .setPRF(new AlgorithmIdentifier(PKCSObjectIdentifiers.id_hmacWithSHA256))
                  .setPassword(PASS_PHRASE)
                  .build()));
    }
    return Identity.pem(
        new JcaMiscPEMGenerator(
            identity.key(),
            new JcePEMEncryptorBuilder(form)
                .setProvider(provider)
                .setSecureRandom(new SecureRandom())
                .build(PASS_PHRASE)));
  }

  private static String plain(Identity identity) throws Exception {
    return Identity.pem(new JcaPKCS8Generator(identity.key(), null));
  }

  @ParameterizedTest
  @CsvSource({"RSA, PKCS#8 PBES2", "EC, PKCS#8 PBES2", "RSA, AES-256-CBC", "RSA, DES-EDE3-CBC"})
  void encryptedKeyOpensWithItsPassPhraseOnly(String algorithm, String form) throws Exception {
    Identity support = Identity.of(algorithm, "support", Instant.now());
    Path key = write("key.pem", encrypted(support, form));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));
    Path right = write("right", new String(PASS_PHRASE) + "\nanother line\n");
    Path wrong = write("wrong", "correct donkey\n");
    Path zip = dir.resolve("case.zip");

    Result refused =
        run("evidence", dump, "-o", zip, "--key", key, "--cert", cert, "--passphrase-file", wrong);
    assertThat(refused.err()).contains("key.pem", "the pass phrase is wrong");
    assertThat(refused.code()).isEqualTo(ExitCode.USAGE);
    assertThat(zip).doesNotExist();

    Result made =
        run("evidence", dump, "-o", zip, "--key", key, "--cert", cert, "--passphrase-file", right);
    assertThat(made.out()).contains("case.zip: signed (kernel-damaged)");
    assertThat(made.code()).isEqualTo(ExitCode.KERNEL_DAMAGED);
    Result verified = run("verify", zip, "--trust", cert, "--dump", dump);
    assertThat(verified.out()).startsWith("verified: ").contains("signer   CN=support", "as given");
    assertThat(verified.code()).isEqualTo(0);
  }

  @Test
  void passPhraseIsNotAskedWhereNobodyIs() throws Exception {
    assumeFalse(Streams.isTerminal());
    Identity support = Identity.of("EC", "support", Instant.now());
    Path key = write("key.pem", encrypted(support, "PKCS#8 PBES2"));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));

    Result result =
        run("evidence", dump, "-o", dir.resolve("case.zip"), "--key", key, "--cert", cert);

    assertThat(result.err()).contains("no pass phrase was given", "--passphrase-file");
    assertThat(result.code()).isEqualTo(ExitCode.USAGE);
  }

  @Test
  void oldEcKeyNeedNotHoldItsPublicHalf() throws Exception {
    Identity support = Identity.of("EC", "support", Instant.now());
    ECPrivateKey sec1 =
        new ECPrivateKey(
            256,
            ((java.security.interfaces.ECPrivateKey) support.key()).getS(),
            SECObjectIdentifiers.secp256r1);
    Path key = write("key.pem", Identity.pem(new PemObject("EC PRIVATE KEY", sec1.getEncoded())));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));

    Result result =
        run("evidence", dump, "-o", dir.resolve("case.zip"), "--key", key, "--cert", cert);

    assertThat(result.err()).isEmpty();
    assertThat(result.out()).contains("signed (kernel-damaged)");
  }

  @Test
  void filesThatAreNoKeysAreNamed() throws Exception {
    Identity support = Identity.of("EC", "support", Instant.now());
    Path key = write("key.pem", plain(support));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));
    Path half = write("half.pem", Files.readString(key).substring(0, 60));
    Path binary = Files.write(dir.resolve("binary"), new byte[] {(byte) 0xff, 0, 1});

    for (Path bad : List.of(half, binary, dump, cert)) {
      Result result = run("evidence", dump, "-o", dir.resolve("z"), "--key", bad, "--cert", cert);
      assertThat(result.err()).contains("[" + bad + "]");
      assertThat(result.code()).isEqualTo(ExitCode.USAGE);
    }
  }

  @Test
  void theTimeThatCertificatesAreJudgedAtIsSaid() throws Exception {
    Identity support = Identity.of("EC", "support", Instant.now());
    Path key = write("key.pem", plain(support));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));
    Path zip = dir.resolve("case.zip");
    run("evidence", dump, "-o", zip, "--key", key, "--cert", cert);

    assertThat(run("verify", zip, "--trust", cert).out())
        .contains("judged   at the time of signing: the certificate is valid until ");
    assertThat(run("verify", zip, "--trust", cert, "--at", "now").out())
        .contains("judged   now: the certificate is valid until ");

    Instant past = Instant.now().minus(Duration.ofDays(1000));
    Identity gone = Identity.of("EC", "gone", past);
    Path old = Files.write(dir.resolve("old.zip"), SignedBundle.of(gone, past));
    Path expired = write("expired.pem", Identity.chain(List.of(gone)));
    Result byDefault = run("verify", old, "--trust", expired);
    assertThat(byDefault.out())
        .startsWith("verified: ")
        .contains("judged   at the time of signing: the certificate expired at ")
        .contains("is the signer's word only");
    Result strict = run("verify", old, "--trust", expired, "--at", "now");
    assertThat(strict.out())
        .startsWith("refused: ")
        .contains("the certificate of CN=gone is valid from", "it must be valid at ");
    assertThat(strict.code()).isEqualTo(1);
  }

  @Test
  void nothingIsCalledVerifiedThatIsNot() throws Exception {
    Identity support = Identity.of("EC", "support", Instant.now());
    Path key = write("key.pem", plain(support));
    Path cert = write("cert.pem", Identity.chain(List.of(support)));
    Path zip = dir.resolve("case.zip");
    Path unsigned = dir.resolve("unsigned.zip");
    run("evidence", dump, "-o", zip, "--key", key, "--cert", cert);
    run("evidence", dump, "-o", unsigned);

    Result missing = run("verify", zip, "--trust", cert, "--dump", dir.resolve("nofile"));
    assertThat(missing.out()).isEmpty();
    assertThat(missing.err()).contains("nofile: no such file");
    assertThat(missing.code()).isEqualTo(ExitCode.IO);

    Result other = run("verify", zip, "--trust", cert, "--dump", TestData.named("healthy").dump());
    assertThat(other.out()).startsWith("refused: ").contains("it is of the dump with sha256");
    assertThat(other.code()).isEqualTo(1);

    Result plain = run("verify", unsigned, "--trust", cert);
    assertThat(plain.out()).startsWith("refused: ").contains("the bundle is not signed");
    assertThat(plain.code()).isEqualTo(1);
  }
}
