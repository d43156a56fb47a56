package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.io.Printable;
import org.vmcheck.testing.TestData;
import org.vmcheck.testing.Work;

/// What tells of the machine, its files and its data is in no file of a redacted bundle, and
/// hostile text costs no more than other text.
class RedactionTest {
  @TempDir private Path dir;

  private static Redaction of(String... names) {
    return new Redaction(List.of(names));
  }

  @ParameterizedTest
  @CsvSource({
    "dump, the dump is at fault: [dump] dumped by makedumpfile, the dump-1 is at fault: [dump-1]"
        + " dumped by makedumpfile",
    "slab, 'slab.freelist of slab: xslab, slabs, slab-1, mm.slab and slab.', 'slab.freelist of"
        + " dump-1: xslab, slabs, slab-1, mm.slab and dump-1.'",
    "kern, kernel kern kern_x, kernel dump-1 kern_x",
    "ü, über ü, über dump-1",
    "日本, 日本語 is no 日本, 日本語 is no dump-1",
    "a/vmcore, [a/vmcore] a slab of a cache: a/vmcore, [dump-1] a slab of a cache: dump-1",
    "x.tar.gz!in/secret.core, [x.tar.gz!in/secret.core] in/secret.core secret.core x.tar.gz,"
        + " [dump-1] dump-1 dump-1 dump-1",
    "host7/crash/vmcore, host7/crash/vmcore host7/crash vmcore, dump-1 (path) dump-1",
    "customer-4711-host.vmcore, xcustomer-4711-host.vmcorex, xdump-1x",
  })
  void namesAreHiddenWhereTheyStandAlone(String name, String text, String expected) {
    assertThat(of(name).text(text)).isEqualTo(expected);
  }

  @Test
  void aNameIsHiddenInEachOfItsForms() throws Exception {
    Path folder = Files.createDirectories(dir.resolve("Kunde Müller"));
    Path file = Files.createFile(folder.resolve("line\nbreak \"q\" \u001b[1m.vmcore"));
    Path link = Files.createSymbolicLink(dir.resolve("linked"), file);
    Redaction redaction = of(link.toString(), "relative/../secret/" + "n".repeat(300));

    for (String form :
        List.of(
            link.toString(),
            "linked",
            file.toRealPath().toString(),
            file.getFileName().toString(),
            Printable.of(file.getFileName().toString()),
            Printable.of(file.toRealPath().toString()),
            "secret/" + "n".repeat(300),
            Path.of("secret/" + "n".repeat(300)).toAbsolutePath().toString(),
            "n".repeat(300))) {
      String text = redaction.text("a " + form + ": b, [" + form + "], (" + form + ")");
      assertThat(text)
          .doesNotContain("linked", "Kunde", "M\u00fc", "line", "break", "nnn", "secret");
      assertThat(text).startsWith("a ").contains(": b, [");
    }
    assertThat(redaction.text("[" + Printable.of("n".repeat(300), 200) + "]"))
        .doesNotContain("nnn");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/a",
        "/",
        "\\a",
        "\"",
        "\"\\",
        "\"a\\\"",
        "a",
        "a ",
        "a/",
        " /a/",
        "0xfffff ",
        "ab.",
        "a!"
      })
  void hostileTextIsLinearAndOverflowsNothing(String unit) throws Exception {
    Redaction redaction =
        of(unit.repeat(100) + "z", "a".repeat(150) + "b", "a ".repeat(75) + "!", "a");
    Work.growsLinearly(2000, unit::repeat, redaction::text);
    Work.growsLinearly(2000, size -> "\"" + unit.repeat(size), redaction::text);
    String text = unit.repeat(20_000);
    Throwable[] thrown = new Throwable[1];
    Thread small =
        new Thread(
            null,
            () -> {
              redaction.text(text);
              redaction.text("\"" + text);
              redaction.vmcoreinfo("X=\"" + text);
            },
            "small stack",
            256 << 10);
    small.setUncaughtExceptionHandler((_, failure) -> thrown[0] = failure);

    small.start();
    small.join();
    assertThat(thrown[0]).isNull();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "KERNELOFFSET=1ce00000",
        "NUMBER(phys_base)=484442112",
        "NUMBER(sme_mask)=140737488355328",
        "NUMBER(VMALLOC_START)=-58274397650944",
        "NUMBER(kimage_voffset)=-140187732541440",
        "NUMBER(PHYS_OFFSET)=0x40000000",
        "SYMBOL(init_uts_ns)=ffffffff9f011ce0",
        "CRASHTIME=1763818401"
      })
  void whereAndWhenTheKernelRanIsLeftOutOfVmcoreinfo(String line) {
    String key = line.substring(0, line.indexOf('='));
    assertThat(of("dump").vmcoreinfo("A=1\n" + line + "\nB=2"))
        .isEqualTo("A=1\n" + key + "=(redacted)\nB=2\n");
  }

  @ParameterizedTest
  @CsvSource({
    "path /var/crash/host/vmcore: bad, path (path)/vmcore: bad",
    "'/vmcore, (/a/b), \"/c/d e\"', '/vmcore, ((path)/b), \"(text)\"'",
    "and/or 1/2 [/x/y/z/], and/or 1/2 [(path)/]",
    "see https://a/b, see https://a/b",
    "\"open \\\" end, \"(text)\"",
  })
  void directoriesAndQuotesAreLeftOut(String text, String expected) {
    assertThat(of("nothing.vmcore").text(text)).isEqualTo(expected);
  }

  @Test
  void noFileOfABundleNamesAFileThatWasOpened() throws Exception {
    byte[] dump = Files.readAllBytes(TestData.named("use-after-free").dump());
    Path folder = Files.createDirectories(dir.resolve("Kunde-Müller/host-qx7"));
    Path cut =
        Files.write(
            folder.resolve("geheim ü.vmcore"), java.util.Arrays.copyOf(dump, dump.length / 2));
    Path zip = folder.resolve("paket.zip");
    try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(zip))) {
      out.putNextEntry(new ZipEntry("drinnen-qx7/geheimer.vmcore"));
      out.write(dump, 0, dump.length / 2);
    }
    Path packed = folder.resolve("gepackt-qx7.gz");
    try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      out.write(dump, 0, dump.length / 3);
    }
    Path link = Files.createSymbolicLink(dir.resolve("verweis"), cut);

    for (Path file : List.of(cut, zip, packed, link)) {
      for (Map.Entry<String, byte[]> entry : bundle(file).entrySet()) {
        assertThat(new String(entry.getValue(), StandardCharsets.UTF_8))
            .as(file + ": " + entry.getKey())
            .doesNotContain(
                "Kunde", "qx7", "geheim", "paket", "gepackt", "verweis", "drinnen", "spool");
      }
    }
  }

  private static SortedMap<String, byte[]> bundle(Path file) throws Exception {
    try (Analyzer analyzer = Analyzer.open(file, AnalysisOptions.DEFAULT)) {
      ByteArrayOutputStream zip = new ByteArrayOutputStream();
      zip.write(
          Bundle.make(
              analyzer,
              analyzer.check("vmcheck test"),
              List.of(file),
              List.of(),
              true,
              Instant.EPOCH,
              _ -> {}));
      return CanonicalZip.read(zip.toByteArray());
    }
  }
}
