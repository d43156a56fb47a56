package org.vmcheck.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.vmcheck.evidence.Bundle;
import org.vmcheck.evidence.BundleException;
import org.vmcheck.evidence.Pem;
import org.vmcheck.io.Printable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// Says who signed a bundle, if nothing in it was changed.
@Command(
    name = "verify",
    description = "Say who signed an evidence bundle; refuse one in which any byte was changed.",
    mixinStandardHelpOptions = true,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "  0:the bundle is as it was signed",
      "  1:refused - not signed, changed, signed by one who is not trusted, or of another dump",
      "  2:usage - the command line is wrong, or there is no certificate",
      "  6:I/O, permission, resources: try again",
      " 70:a bug of vmcheck"
    })
final class VerifyCommand implements Callable<Integer> {
  private static final int REFUSED = 1;

  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "BUNDLE", description = "The zip that 'evidence' wrote.")
  private Path bundle;

  @Option(
      names = "--trust",
      paramLabel = "PEM",
      required = true,
      description = "Certificates of signers, or of who certifies them.")
  private Path trust;

  @Option(
      names = "--dump",
      paramLabel = "DUMP",
      description = "Refuse it if it is of another dump; once for each part of a split one.")
  private List<Path> dump = List.of();

  /// When certificates must be valid.
  enum At {
    SIGNING,
    NOW
  }

  @Option(
      names = "--at",
      paramLabel = "signing|now",
      description =
          "When the certificates must be valid: when it was signed, by the signer's clock (the"
              + " default), or now too.")
  private At at = At.SIGNING;

  @Override
  public Integer call() throws Exception {
    List<X509Certificate> trusted;
    try {
      trusted = Pem.certificates(trust);
    } catch (BundleException wrong) {
      throw new Failures.UsageException(wrong.getMessage());
    }
    Instant now = Instant.now();
    // What cannot be read fails before anything is called verified.
    List<String> hashes = new ArrayList<>();
    Bundle.Verified verified;
    try {
      verified =
          Bundle.verify(
              Bundle.read(bundle), trusted, at == At.NOW ? Optional.of(now) : Optional.empty());
    } catch (BundleException refused) {
      return refused(refused.getMessage());
    }
    for (Path file : dump) {
      hashes.add(Bundle.sha256(file, _ -> {}));
    }
    if (!dump.isEmpty() && !sorted(hashes).equals(sorted(verified.dumpSha256()))) {
      return refused(
          "it is of the dump with sha256 %s, and %s has %s"
              .formatted(
                  String.join(", ", verified.dumpSha256()),
                  dump.stream().map(Path::toString).collect(Collectors.joining(", ")),
                  String.join(", ", hashes)));
    }
    PrintWriter out = spec.commandLine().getOut();
    out.println("verified: " + Printable.of(bundle.toString()) + " is as it was signed");
    out.println("signer   " + Printable.of(verified.signer()));
    out.println("signed   " + verified.signedAt() + " (by the signer's clock)");
    out.println(judged(verified, now));
    for (String hash : verified.dumpSha256()) {
      out.println("dump     sha256 " + Printable.of(hash) + (dump.isEmpty() ? "" : ", as given"));
    }
    out.println("files    " + verified.files().size() + (verified.redacted() ? ", redacted" : ""));
    return ExitCode.INTACT;
  }

  /// At what time the certificate was judged, and what follows of it.
  private String judged(Bundle.Verified verified, Instant now) {
    if (at == At.NOW) {
      return "judged   now: the certificate is valid until " + verified.validUntil();
    }
    String when = "judged   at the time of signing: the certificate ";
    if (verified.validUntil().isBefore(now)) {
      return when
          + "expired at %s, and that it was signed before is the signer's word only"
              .formatted(verified.validUntil());
    }
    if (verified.signedAt().isAfter(now)) {
      return when
          + "is valid until %s, and the signer's clock is ahead".formatted(verified.validUntil());
    }
    return when + "is valid until " + verified.validUntil();
  }

  private int refused(String why) {
    spec.commandLine()
        .getOut()
        .println("refused: " + Printable.of(bundle.toString()) + ": " + Printable.of(why));
    return REFUSED;
  }

  /// The parts of a split dump may be given in any order.
  private static List<String> sorted(List<String> hashes) {
    return hashes.stream().sorted().toList();
  }
}
