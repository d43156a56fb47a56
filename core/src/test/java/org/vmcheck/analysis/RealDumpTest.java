package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bouncycastle.crypto.engines.AESEngine;
import org.bouncycastle.crypto.params.KeyParameter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.SlabUsage;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// The whole analysis on real dumps, and on copies of real dumps with damage of known place.
class RealDumpTest {
  static List<TestData> dumps() throws Exception {
    return TestData.all();
  }

  private static DumpReport check(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void everyCheckRunsAndTheVerdictIsTrue(TestData data) throws Exception {
    DumpReport report = check(data.dump());

    assertThat(report.checks()).noneMatch(outcome -> outcome instanceof CheckOutcome.Failed);
    assertThat(report.verdict().kind()).as("%s", report.verdict()).isEqualTo(data.verdict());
    if (data.isHealthy()) {
      assertThat(report.findings()).isEmpty();
      return;
    }
    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.subject().address()).isEqualTo(data.slot());
    assertThat(finding.subject().physical()).isEqualTo(data.physical());
    assertThat(finding.subject().cache()).isEqualTo(data.cache());
    assertThat(finding.subject().object()).isEqualTo(data.object());
    assertThat(data.causes()).contains(finding.cause().id());
  }

  @Test
  void slabTableEqualsCrash() throws Exception {
    TestData data = TestData.named("debian-cloud");
    Map<Long, List<String>> crash = new HashMap<>();
    for (String line : Files.readAllLines(data.folder().resolve("kmem-s.txt"))) {
      if (line.startsWith("ffff")) {
        List<String> columns = List.of(line.trim().split("\\s+"));
        crash.put(Long.parseUnsignedLong(columns.getFirst(), 16), columns);
      }
    }
    try (Analyzer analyzer = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
      List<SlabUsage> rows = analyzer.slabUsage();

      assertThat(rows).hasSize(crash.size()).hasSizeGreaterThan(100);
      for (SlabUsage row : rows) {
        assertThat(
                List.of(
                    Long.toHexString(row.cache()),
                    "" + row.objectSize(),
                    "" + row.allocated(),
                    "" + row.total(),
                    "" + row.slabs(),
                    row.slabBytes() / 1024 + "k",
                    row.name()))
            .isEqualTo(crash.get(row.cache()));
      }
    }
  }

  @Test
  void overwrittenFreePointerIsFoundAtItsObject(@TempDir Path dir) throws Exception {
    // A place of a real free pointer is known from another dump of testdata: take the healthy one
    // and
    // let the analysis itself tell where a damaged word is expected to be found.
    TestData data = TestData.named("use-after-free");
    DumpCopy copy = DumpCopy.of(data.dump());
    copy.setWord(data.physical(), 0x4141414141414141L);

    DumpReport report = check(copy.write(dir, Packer.LZO));

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.subject().address()).isEqualTo(data.slot());
    assertThat(finding.subject().raw()).isEqualTo(0x4141414141414141L);
    assertThat(finding.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
  }

  @ParameterizedTest
  @MethodSource("packers")
  void copyOfHealthyDumpInEveryCodecIsIntact(Packer packer, @TempDir Path dir) throws Exception {
    DumpReport report = check(DumpCopy.of(TestData.named("healthy").dump()).write(dir, packer));

    assertThat(report.verdict().kind()).as("%s", report.verdict()).isEqualTo("intact");
    assertThat(report.findings()).isEmpty();
  }

  static Packer[] packers() {
    return Packer.values();
  }

  @Test
  void lowMemoryTurnedToCiphertextIsNoticed(@TempDir Path dir) throws Exception {
    DumpCopy copy = DumpCopy.of(TestData.named("healthy").dump());
    assertThat(copy.pages().headMap(0xa0L)).as("the dump holds its low memory").isNotEmpty();
    copy.pages().headMap(0xa0L).replaceAll((pfn, page) -> xex(pfn << 12, page));

    // This kernel says that it encrypts nothing: what made its low memory random cannot be told.
    DumpReport off = check(copy.write(Files.createDirectory(dir.resolve("off")), Packer.ZLIB));
    DumpReport on =
        check(
            copy.vmcoreinfo(
                    text ->
                        text.replace(
                            "NUMBER(sme_mask)=0\n", "NUMBER(sme_mask)=" + (1L << 47) + "\n"))
                .write(Files.createDirectory(dir.resolve("on")), Packer.ZLIB));

    assertThat(off.verdict().kind()).isEqualTo("undetermined");
    assertThat(off.findings()).isEmpty();
    assertThat(on.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(on.findings()).extracting(Finding::cause).containsExactly(Cause.SME_CIPHERTEXT);
  }

  /// AES in XEX mode with a tweak drawn from the physical address: what two-sided memory encryption
  /// leaves in a page that is read through the wrong key.
  private static byte[] xex(long physical, byte[] page) {
    AESEngine aes = (AESEngine) AESEngine.newInstance();
    byte[] key = new byte[16];
    new Random(204793).nextBytes(key);
    aes.init(true, new KeyParameter(key));
    byte[] out = new byte[page.length];
    for (int block = 0; block < page.length; block += 16) {
      byte[] tweak = new byte[16];
      new Random(physical + block).nextBytes(tweak);
      byte[] in = new byte[16];
      for (int i = 0; i < 16; i++) {
        in[i] = (byte) (page[block + i] ^ tweak[i]);
      }
      aes.processBlock(in, 0, out, block);
      for (int i = 0; i < 16; i++) {
        out[block + i] ^= tweak[i];
      }
    }
    return out;
  }

  @Test
  void aSoundDumpCutShortIsNeverADamagedKernel(@TempDir Path dir) throws Exception {
    byte[] whole = Files.readAllBytes(TestData.named("healthy").dump());
    Random random = new Random(7002);
    Path cut = dir.resolve("cut");
    for (int i = 0; i < 12; i++) {
      // The last quarter holds the page descriptors and what the slabs' lists lead to.
      int length = whole.length - 1 - random.nextInt(whole.length / 4);
      Files.write(cut, Arrays.copyOf(whole, length));

      assertThat(check(cut).verdict().kind())
          .as("%d of %d bytes", length, whole.length)
          .isEqualTo("dump-damaged");
    }
  }

  @Test
  void whatRestsOnTablesThatContradictEachOtherIsTheDumps(@TempDir Path dir) throws Exception {
    byte[] bytes = Files.readAllBytes(TestData.named("use-after-free").dump());
    // kdump_sub_header follows block 0; the first bitmap follows it (1 block here): frames that the
    // second bitmap stores are taken from the first, so that descriptors count from another frame.
    Arrays.fill(bytes, 8192 + 600, 8192 + 604, (byte) 0);
    Path changed = Files.write(dir.resolve("changed"), bytes);

    DumpReport report = check(changed);

    assertThat(report.findings()).noneMatch(finding -> !finding.cause().isArtefact());
    assertThat(report.verdict().kind()).isIn("dump-damaged", "undetermined");
  }
}
