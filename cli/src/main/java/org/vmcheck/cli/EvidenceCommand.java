package org.vmcheck.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.AnalysisOptions;
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
  private static final int MAX_PASS_PHRASE = 4096;
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

  @Option(
      names = "--cert",
      paramLabel = "PEM",
      description = "The key's certificate, then in order those of who certifies it.")
  private Path certificate;

  @Option(
      names = "--passphrase-file",
      paramLabel = "FILE",
      description = "Its first line opens the key; without it an encrypted key is asked for.")
  private Path passPhraseFile;

  @Option(
      names = "--redact",
      description =
          "Replace addresses, words, host, names of files, command line, log lines and text by"
              + " others, the same by the same, and leave pages out. Names of caches and kernels"
              + " stay.")
  private boolean redact;

  @Override
  public Integer call() throws Exception {
    if ((key == null) != (certificate == null)) {
      throw new Failures.UsageException("--key and --cert belong together");
    }
    if (passPhraseFile != null && key == null) {
      throw new Failures.UsageException("--passphrase-file opens a key: give --key and --cert");
    }
    Streams.requireOutput(output, dump);
    try {
      List<Bundle.Signing> signing = List.of();
      if (key != null) {
        PrivateKey secret = Pem.key(key, this::passPhrase);
        signing = List.of(new Bundle.Signing(secret, Pem.certificates(certificate)));
      }
      DumpReport report;
      byte[] zip;
      try (Analyzer analyzer =
          dumpOptions.openForCheck(
              dump, List.of(), false, AnalysisOptions.Deep.AUTO, Optional.empty())) {
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

  /// Asked only if the key is encrypted; empty if there is nothing to ask at.
  private char[] passPhrase() {
    if (passPhraseFile != null) {
      try (BufferedReader reader = Files.newBufferedReader(passPhraseFile)) {
        char[] start = new char[MAX_PASS_PHRASE];
        int count = Math.max(0, reader.read(start));
        return new String(start, 0, count).lines().findFirst().orElse("").toCharArray();
      } catch (FileSystemException failure) {
        throw new UncheckedIOException(failure);
      } catch (CharacterCodingException _) {
        throw new UncheckedIOException(
            new FileSystemException(passPhraseFile.toString(), null, "no text in UTF-8"));
      } catch (IOException failure) {
        // The JDK names no file, for a directory for example.
        throw new UncheckedIOException(
            new FileSystemException(passPhraseFile.toString(), null, failure.getMessage()));
      }
    }
    if (!Streams.isTerminal()) {
      return new char[0];
    }
    char[] typed = System.console().readPassword("Pass phrase of %s: ", key);
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
