package org.vmcheck.cli;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.evidence.Bundle;
import org.vmcheck.evidence.BundleException;
import org.vmcheck.evidence.Pem;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.Printable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// Packs what is needed to believe a verdict.
@Command(
    name = "evidence",
    description = {
      "Pack the report, the pages that it quotes, VMCOREINFO and the dump's SHA-256 into a zip.",
      "",
      "With a key the bundle is signed (CMS, SHA-256, RSA or EC). Exit codes are those of 'check'."
    },
    mixinStandardHelpOptions = true)
final class EvidenceCommand implements Callable<Integer> {
  private static final long STEP = 256L << 20;

  @Spec private CommandSpec spec;
  @Mixin private DumpOptions dumpOptions;

  @Parameters(paramLabel = "DUMP", arity = "1..*", description = "A dump, or its parts.")
  private List<Path> dump;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      required = true,
      description = "The zip, readable by its owner only.")
  private Path output;

  @Option(names = "--key", paramLabel = "PEM", description = "Private key to sign with.")
  private Path key;

  @Option(names = "--cert", paramLabel = "PEM", description = "The key's certificate.")
  private Path certificate;

  @Option(
      names = "--passphrase-file",
      paramLabel = "FILE",
      description = "Its first line opens the key; without it an encrypted key is asked for.")
  private Path passPhraseFile;

  @Option(
      names = "--redact",
      description =
          "Replace addresses, words, host, path, command line, log lines and text by others, the"
              + " same by the same, and leave pages out. Names of caches and kernels stay.")
  private boolean redact;

  @Override
  public Integer call() throws Exception {
    if ((key == null) != (certificate == null)) {
      throw new Failures.UsageException("--key and --cert belong together");
    }
    Streams.requireOutput(output, dump);
    try {
      List<Bundle.Signing> signing = List.of();
      if (key != null) {
        PrivateKey secret = Pem.key(key, this::passPhrase);
        X509Certificate own = Pem.certificates(certificate).getFirst();
        signing = List.of(new Bundle.Signing(secret, own));
      }
      DumpReport report;
      byte[] zip;
      try (Analyzer analyzer = dumpOptions.open(dump, List.of(), false, Optional.empty())) {
        report = analyzer.check(Version.text());
        zip = Bundle.make(analyzer, report, dump, signing, redact, Instant.now(), this::progress);
      }
      Streams.write(output, zip);
      spec.commandLine()
          .getOut()
          .println(
              "%s: %s (%s)"
                  .formatted(
                      Printable.of(output.toString()),
                      signing.isEmpty() ? "not signed" : "signed",
                      report.verdict().kind()));
      return ExitCode.of(report.verdict());
    } catch (BundleException refused) {
      throw new Failures.UsageException(refused.getMessage());
    }
  }

  private char[] passPhrase() {
    try {
      if (passPhraseFile != null) {
        String text = Files.readString(passPhraseFile, StandardCharsets.UTF_8);
        return text.lines().findFirst().orElse("").toCharArray();
      }
    } catch (java.io.IOException failure) {
      throw new java.io.UncheckedIOException(failure);
    }
    char[] typed =
        Streams.isTerminal() ? System.console().readPassword("Pass phrase of %s: ", key) : null;
    return typed == null ? new char[0] : typed;
  }

  private void progress(long bytes) {
    if (Streams.isTerminal() && bytes % STEP == 0) {
      PrintWriter err = spec.commandLine().getErr();
      err.printf("\rhashed %,d MiB", bytes >> 20);
      err.flush();
    }
  }
}
