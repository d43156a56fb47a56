package org.vmcheck.evidence;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.LongConsumer;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.MemoryAnswer;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.io.Printable;
import org.vmcheck.io.Sha256;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.report.HtmlReport;

/// What is handed on of a dump: the report, the pages that its findings quote, VMCOREINFO and the
/// dump's SHA-256, in one zip whose every byte is accounted for.
///
/// `manifest.txt` lists each other file with its SHA-256, one a line, as `sha256sum -c` reads it,
/// after comment lines that say what the bundle is of; `manifest.p7s` is its signature.
public final class Bundle {
  private static final String MANIFEST = "manifest.txt";
  private static final String SIGNATURE = "manifest.p7s";
  private static final String DUMP = "# dump sha256 ";
  private static final int PAGE_BYTES = 4096;
  private static final int MAX_PAGES = 256;

  private Bundle() {}

  /// Whose signature to make.
  ///
  /// @param chain the key's certificate, then in order those of who certifies it
  public record Signing(PrivateKey key, List<X509Certificate> chain) {
    public Signing {
      chain = List.copyOf(chain);
    }
  }

  /// What a bundle that was verified says.
  ///
  /// @param signer the subject of the certificate
  /// @param signedAt by the signer's own word
  /// @param validUntil when the signer's certificate expires
  /// @param dumpSha256 of the dump's files in order, lower-case hexadecimal
  /// @param files names of what is in it
  public record Verified(
      String signer,
      Instant signedAt,
      Instant validUntil,
      List<String> dumpSha256,
      boolean redacted,
      List<String> files) {
    public Verified {
      dumpSha256 = List.copyOf(dumpSha256);
      files = List.copyOf(files);
    }
  }

  /// Makes a bundle.
  ///
  /// @param parts the dump's files, in the order of the report
  /// @param signing empty list for none, else one
  /// @param progress told of the bytes that were hashed, from time to time
  public static byte[] make(
      Analyzer analyzer,
      DumpReport report,
      List<Path> parts,
      List<Signing> signing,
      boolean redact,
      Instant now,
      LongConsumer progress)
      throws IOException, BundleException {
    SortedMap<String, byte[]> files = new TreeMap<>();
    StringBuilder notes = new StringBuilder();
    DumpReport shown = report;
    String vmcoreinfo = analyzer.vmcoreinfo();
    if (redact) {
      Redaction redaction = new Redaction(analyzer.fileNames());
      shown = redaction.report(report);
      vmcoreinfo = redaction.vmcoreinfo(vmcoreinfo);
      // A page of memory cannot be redacted: what in it is private is not known.
      notes.append("# redacted: addresses, words and names are replaced; pages are left out\n");
    } else {
      pages(analyzer, report, files, notes);
    }
    analyzer
        .vmcoreinfoBasis()
        .ifPresent(
            basis ->
                notes
                    .append("# vmcoreinfo.txt is not from the dump's file: ")
                    .append(Printable.of(basis))
                    .append('\n'));
    files.put("report.json", utf8(ReportWriter.pretty(shown)));
    files.put("report.html", utf8(HtmlReport.render(shown)));
    files.put("vmcoreinfo.txt", utf8(vmcoreinfo));
    StringBuilder manifest = new StringBuilder("# vmcheck evidence 1\n");
    manifest.append("# made by ").append(report.tool()).append('\n');
    for (int i = 0; i < parts.size(); i++) {
      manifest
          .append(DUMP)
          .append(sha256(parts.get(i), progress))
          .append(parts.size() == 1 ? "" : " part " + (i + 1))
          .append('\n');
    }
    return seal(files, manifest.append(notes), signing, now);
  }

  /// The zip of these files with their manifest, signed.
  ///
  /// @param manifest its comment lines
  static byte[] seal(
      SortedMap<String, byte[]> files, StringBuilder manifest, List<Signing> signing, Instant now)
      throws IOException, BundleException {
    files.forEach(
        (name, content) ->
            manifest.append(hex(Sha256.of(content))).append("  ").append(name).append('\n'));
    files.put(MANIFEST, utf8(manifest.toString()));
    for (Signing by : signing) {
      files.put(
          SIGNATURE,
          CmsSignature.sign(
              files.get(MANIFEST), by.key(), by.chain(), now.truncatedTo(ChronoUnit.SECONDS)));
    }
    return CanonicalZip.write(files);
  }

  private static void pages(
      Analyzer analyzer, DumpReport report, SortedMap<String, byte[]> files, StringBuilder notes) {
    SortedSet<Long> frames = new TreeSet<>();
    for (Finding finding : report.findings()) {
      frame(frames, finding.subject().physical());
      for (List<Evidence> list : List.of(finding.evidence(), finding.against())) {
        for (Evidence evidence : list) {
          switch (evidence) {
            case Evidence.WordAt word -> frame(frames, word.physical());
            case Evidence.BytesAt bytes -> frame(frames, bytes.physical());
            case Evidence.LoggedBytes logged -> frame(frames, logged.physical());
            case Evidence.Run run -> frame(frames, run.physical());
            case Evidence.PageLooksLike page -> frame(frames, page.pfn() * analyzer.pageSize());
            case Evidence.ChainBroken _,
                Evidence.SlabPicture _,
                Evidence.CountMismatch _,
                Evidence.WhatIf _,
                Evidence.LogLineSays _ -> {}
          }
        }
      }
    }
    int count = 0;
    for (long frame : frames) {
      if (count++ == MAX_PAGES) {
        notes.append(
            "# pages: the first %d of %d that are quoted\n".formatted(MAX_PAGES, frames.size()));
        break;
      }
      try {
        MemoryAnswer page = analyzer.read(frame * PAGE_BYTES, PAGE_BYTES, true);
        byte[] bytes = new byte[page.bytes().size()];
        for (int i = 0; i < bytes.length; i++) {
          bytes[i] = page.bytes().get(i).byteValue();
        }
        files.put("pages/%016x.bin".formatted(frame * PAGE_BYTES), bytes);
      } catch (UnansweredException missing) {
        notes.append("# page 0x%x is not in the dump\n".formatted(frame * PAGE_BYTES));
      }
    }
  }

  private static void frame(SortedSet<Long> frames, long physical) {
    if (physical >= 0) {
      frames.add(physical / PAGE_BYTES);
    }
  }

  /// Verifies a bundle, and refuses it if any byte is not as it was signed.
  ///
  /// @param trusted signers, or who certifies them
  /// @param at when their certificates must be valid; empty for the time of signing, by the
  ///   signer's own word
  public static Verified verify(byte[] zip, List<X509Certificate> trusted, Optional<Instant> at)
      throws BundleException {
    SortedMap<String, byte[]> files = CanonicalZip.read(zip);
    byte[] manifest = files.get(MANIFEST);
    byte[] signature = files.get(SIGNATURE);
    if (manifest == null) {
      throw new BundleException("no bundle of vmcheck: it has no " + MANIFEST);
    }
    if (signature == null) {
      throw new BundleException("the bundle is not signed");
    }
    CmsSignature.Signer signer = CmsSignature.verify(manifest, signature, new Trust(trusted, at));
    List<String> dump = new ArrayList<>();
    boolean redacted = false;
    Map<String, String> listed = new TreeMap<>();
    for (String line : new String(manifest, StandardCharsets.UTF_8).lines().toList()) {
      if (line.startsWith(DUMP)) {
        dump.add(line.substring(DUMP.length()).split(" ", 2)[0]);
      } else if (line.startsWith("# redacted")) {
        redacted = true;
      } else if (!line.startsWith("#")) {
        String[] words = line.split("  ", 2);
        listed.put(words.length == 2 ? words[1] : line, words[0]);
      }
    }
    for (Map.Entry<String, byte[]> file : files.entrySet()) {
      String name = file.getKey();
      if (!name.equals(MANIFEST)
          && !name.equals(SIGNATURE)
          && !hex(Sha256.of(file.getValue())).equals(listed.remove(name))) {
        throw new BundleException(name + " is not as it was signed");
      }
    }
    if (!listed.isEmpty()) {
      throw new BundleException(listed.keySet().iterator().next() + " is missing");
    }
    return new Verified(
        signer.certificate().getSubjectX500Principal().toString(),
        signer.time(),
        signer.certificate().getNotAfter().toInstant(),
        dump,
        redacted,
        List.copyOf(files.keySet()));
  }

  /// Reads a file that may be a bundle.
  public static byte[] read(Path file) throws IOException, BundleException {
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes(CanonicalZip.MAX_BYTES + 1);
    } catch (FileSystemException failure) {
      throw failure;
    } catch (IOException failure) {
      // The JDK names no file, for a directory for example.
      throw new FileSystemException(file.toString(), null, failure.getMessage());
    }
    if (bytes.length > CanonicalZip.MAX_BYTES) {
      throw new BundleException("larger than any bundle");
    }
    return bytes;
  }

  /// SHA-256 of a file, in lower-case hexadecimal.
  public static String sha256(Path file, LongConsumer progress) throws IOException {
    MessageDigest digest = Sha256.digest();
    byte[] buffer = new byte[1 << 20];
    long done = 0;
    try (InputStream in = Files.newInputStream(file)) {
      for (int count = in.read(buffer); count > 0; count = in.read(buffer)) {
        digest.update(buffer, 0, count);
        done += count;
        progress.accept(done);
      }
    }
    return hex(digest.digest());
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }
}
