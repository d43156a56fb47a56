package org.vmcheck.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.concurrent.Callable;
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
      "  1:refused",
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

  @Option(names = "--dump", paramLabel = "DUMP", description = "Say whether it is of this dump.")
  private Path dump;

  @Override
  public Integer call() throws Exception {
    List<X509Certificate> trusted;
    try {
      trusted = Pem.certificates(trust);
    } catch (BundleException wrong) {
      throw new Failures.UsageException(wrong.getMessage());
    }
    PrintWriter out = spec.commandLine().getOut();
    try {
      Bundle.Verified verified = Bundle.verify(Bundle.read(bundle), trusted);
      out.println("verified: " + Printable.of(bundle.toString()) + " is as it was signed");
      out.println("signer   " + Printable.of(verified.signer()));
      out.println("signed   " + verified.signedAt() + " (by the signer's clock)");
      out.println("dump     sha256 " + Printable.of(verified.dumpSha256()));
      out.println(
          "files    " + verified.files().size() + (verified.redacted() ? ", redacted" : ""));
      if (dump != null) {
        boolean isSame = Bundle.sha256(dump, _ -> {}).equals(verified.dumpSha256());
        out.println(
            Printable.of(dump.toString()) + (isSame ? " is that dump" : " is another file"));
        return isSame ? ExitCode.INTACT : REFUSED;
      }
      return ExitCode.INTACT;
    } catch (BundleException refused) {
      out.println(
          "refused: "
              + Printable.of(bundle.toString())
              + ": "
              + Printable.of(String.valueOf(refused.getMessage())));
      return REFUSED;
    }
  }
}
