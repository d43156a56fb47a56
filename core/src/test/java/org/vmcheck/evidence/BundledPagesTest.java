package org.vmcheck.evidence;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.testing.Identity;
import org.vmcheck.testing.SampleReports;
import org.vmcheck.testing.TestData;

/// Which pages of a dump go into a bundle, and what its manifest says of them and of the dump.
class BundledPagesTest {
  private static final Instant NOW = Instant.parse("2026-11-22T10:00:00.75Z");

  private static Path dump;
  private static Analyzer analyzer;

  /// Frames that are in the dump, and one in their midst that is not.
  private static List<Long> stored;

  private static long missing;

  @TempDir private Path directory;

  @BeforeAll
  static void open(@TempDir Path spool) throws Exception {
    dump = TestData.named("healthy").dump();
    try (Dump open = Dumps.open(List.of(dump), new OpenOptions(spool, 1 << 20, (_, _, _) -> {}))) {
      PageBuffer page = PageBuffer.of(open.memory());
      stored =
          LongStream.range(1, open.memory().endPfn())
              .filter(pfn -> open.memory().readInto(pfn, page) instanceof PageRead.Present)
              .limit(300)
              .boxed()
              .toList();
      missing =
          LongStream.range(1, open.memory().endPfn())
              .filter(pfn -> !(open.memory().readInto(pfn, page) instanceof PageRead.Present))
              .findFirst()
              .orElseThrow();
    }
    analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT);
  }

  @AfterAll
  static void close() throws Exception {
    analyzer.close();
  }

  private static Finding finding(long physical, List<Evidence> evidence, List<Evidence> against) {
    return new Finding(
        "slab.freelist",
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.UNKNOWN,
        "a claim",
        Subject.cache("c").withAddress(Evidence.UNKNOWN, physical),
        evidence,
        against,
        "x");
  }

  private static DumpReport report(List<Finding> findings) {
    DumpReport base = SampleReports.intact("x");
    return new DumpReport(
        base.tool(),
        base.dump(),
        base.kernel(),
        List.of(
            new CheckOutcome.Ran(
                "slab.freelist", "", Map.of(), findings, List.of(), Coverage.NONE)),
        base.verdict(),
        1);
  }

  private static SortedMap<String, byte[]> made(List<Path> parts, Finding... findings)
      throws Exception {
    return CanonicalZip.read(
        Bundle.make(analyzer, report(List.of(findings)), parts, List.of(), false, NOW, _ -> {}));
  }

  private static SortedSet<String> pages(SortedMap<String, byte[]> files) {
    SortedSet<String> names = new TreeSet<>(files.keySet());
    names.removeIf(name -> !name.startsWith("pages/"));
    return names;
  }

  private static String page(int index) {
    return "pages/%016x.bin".formatted(stored.get(index) * 4096);
  }

  private static String manifest(SortedMap<String, byte[]> files) {
    return new String(files.get("manifest.txt"), UTF_8);
  }

  @Test
  void eachPageThatIsQuotedIsInIt() throws Exception {
    List<Evidence> evidence =
        List.of(
            new Evidence.WordAt(1, stored.get(1) * 4096 + 4088, 2, 3, "a"),
            new Evidence.BytesAt(1, stored.get(2) * 4096, "41", 0, 1, "b"),
            new Evidence.Run(1, stored.get(3) * 4096 + 8, 8, "41", "c"),
            new Evidence.PageLooksLike(stored.get(4), "random", "d"),
            new Evidence.CountMismatch("x", stored.get(9) * 4096, 0, "e"),
            new Evidence.ChainBroken("x", stored.get(9) * 4096, 0, 0, "f"));
    List<Evidence> against = List.of(new Evidence.WordAt(1, stored.get(5) * 4096, 2, 3, "g"));

    SortedMap<String, byte[]> files =
        made(List.of(dump), finding(stored.getFirst() * 4096 + 1, evidence, against));

    assertThat(pages(files)).containsExactly(page(0), page(1), page(2), page(3), page(4), page(5));
    assertThat(files.get(page(2))).hasSize(4096);
    assertThat(manifest(files)).doesNotContain("# page");
    for (String name : files.keySet()) {
      assertThat(manifest(files).contains("  " + name + "\n"))
          .isEqualTo(!name.equals("manifest.txt"));
    }
  }

  @Test
  void thePageIsThatOfTheDump() throws Exception {
    SortedMap<String, byte[]> files =
        made(
            List.of(dump),
            finding(
                stored.get(7) * 4096,
                List.of(new Evidence.CountMismatch("x", 0, 0, "e")),
                List.of()));
    try (Dump open =
        Dumps.open(List.of(dump), new OpenOptions(directory, 1 << 20, (_, _, _) -> {}))) {
      PageBuffer page = PageBuffer.of(open.memory());
      open.memory().readInto(stored.get(7), page);
      assertThat(files.get(page(7))).isEqualTo(page.bytes());
    }
  }

  @Test
  void whatHasNoPlaceOrIsNotInTheDumpIsSaid() throws Exception {
    SortedMap<String, byte[]> files =
        made(
            List.of(dump),
            finding(
                Evidence.UNKNOWN,
                List.of(new Evidence.WordAt(1, missing * 4096, 2, 3, "a")),
                List.of()));
    assertThat(pages(files)).isEmpty();
    assertThat(manifest(files))
        .contains("# page 0x%x is not in the dump\n".formatted(missing * 4096));
  }

  @Test
  void pagesHaveALimitThatIsSaid() throws Exception {
    for (int count : new int[] {256, 257}) {
      List<Evidence> words = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        words.add(new Evidence.PageLooksLike(stored.get(i), "zero", "p"));
      }
      SortedMap<String, byte[]> files =
          made(List.of(dump), finding(Evidence.UNKNOWN, words, List.of()));
      assertThat(pages(files)).hasSize(256).contains(page(0), page(255));
      if (count == 256) {
        assertThat(manifest(files)).doesNotContain("# pages");
      } else {
        assertThat(manifest(files)).contains("# pages: the first 256 of 257 that are quoted\n");
      }
    }
  }

  @Test
  void theManifestNamesTheFilesOfTheDump() throws Exception {
    Path other = Files.writeString(directory.resolve("other"), "abc");
    String abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assertThat(Bundle.sha256(other, _ -> {})).isEqualTo(abc);

    String manifest = manifest(made(List.of(other)));
    assertThat(manifest)
        .startsWith("# vmcheck evidence 1\n# made by vmcheck 0.1.0\n# dump sha256 " + abc + "\n");
    manifest = manifest(made(List.of(other, other)));
    assertThat(manifest)
        .contains("# dump sha256 " + abc + " part 1\n# dump sha256 " + abc + " part 2\n");
  }

  @Test
  void progressIsToldOfTheBytes() throws Exception {
    Path large = Files.write(directory.resolve("large"), new byte[(2 << 20) + 5]);
    List<Long> told = new ArrayList<>();
    Bundle.sha256(large, told::add);
    assertThat(told).isSorted().endsWith((2L << 20) + 5);
    assertThat(told.size()).isGreaterThanOrEqualTo(3);
  }

  @Test
  void whatWasSignedIsSaid() throws Exception {
    Identity signer = Identity.of("EC", "signer", NOW);
    List<Bundle.Signing> signing =
        List.of(new Bundle.Signing(signer.key(), List.of(signer.certificate())));
    String hash = Bundle.sha256(dump, _ -> {});
    for (boolean redact : new boolean[] {false, true}) {
      byte[] zip =
          Bundle.make(
              analyzer, report(List.of()), List.of(dump, dump), signing, redact, NOW, _ -> {});
      Bundle.Verified verified =
          Bundle.verify(zip, List.of(signer.certificate()), Optional.empty());
      assertThat(verified.redacted()).isEqualTo(redact);
      assertThat(verified.dumpSha256()).containsExactly(hash, hash);
      // Signatures tell whole seconds.
      assertThat(verified.signedAt()).isEqualTo(Instant.parse("2026-11-22T10:00:00Z"));
      assertThat(verified.validUntil()).isEqualTo(signer.certificate().getNotAfter().toInstant());
      assertThat(verified.files())
          .containsExactly(
              "manifest.p7s", "manifest.txt", "report.html", "report.json", "vmcoreinfo.txt");
    }
  }

  @Test
  void whatIsNoBundleIsRefusedInWords() throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put("a", new byte[1]);
    byte[] none = CanonicalZip.write(files);
    assertThatThrownBy(() -> Bundle.verify(none, List.of(), Optional.empty()))
        .hasMessage("no bundle of vmcheck: it has no manifest.txt");
    files.put("manifest.txt", new byte[1]);
    byte[] unsigned = CanonicalZip.write(files);
    assertThatThrownBy(() -> Bundle.verify(unsigned, List.of(), Optional.empty()))
        .hasMessage("the bundle is not signed");
    Path file = Files.write(directory.resolve("limit"), new byte[32 << 20]);
    assertThat(Bundle.read(file)).hasSize(32 << 20);
    Files.write(file, new byte[(32 << 20) + 1]);
    assertThatThrownBy(() -> Bundle.read(file)).hasMessage("larger than any bundle");
    assertThatThrownBy(() -> Bundle.read(directory))
        .isInstanceOf(java.nio.file.FileSystemException.class)
        .hasMessageContaining(directory.toString());
  }
}
