package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.arch.X86_64Paging;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.memory.Paging;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.MemoryCipher;
import org.vmcheck.testing.SeedCase;

/// Whether the fix is in force, and whether the whole dump is ciphertext.
class LowMemoryReservedCheckTest {
  private static FakeKernel kernel(Layout layout) {
    return FakeKernel.of(layout).seed(2);
  }

  private static CheckContext context(FakeImage image) {
    return new CheckContext(
        image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
  }

  private static CheckOutcome.Ran reserved(FakeImage image) {
    return (CheckOutcome.Ran) new LowMemoryReservedCheck().run(context(image));
  }

  @Test
  void aSlabBelowOneMebibyteShowsThatTheFixIsNotInForce() {
    CheckOutcome.Ran ran =
        reserved(
            kernel(Layout.V5_3_PLAIN)
                .sme(47)
                .commandLine("crashkernel=256M")
                .cache(FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x20, 0x30))
                .build());

    assertThat(ran.answer()).isEqualTo("not in force");
    assertThat(ran.facts()).containsEntry("in use as slab dma-kmalloc-512", "2");
    assertThat(ran.facts().get("exposure")).startsWith("vulnerable");
    assertThat(ran.findings()).isEmpty();
  }

  @Test
  void withoutACrashKernelItIsNotNeeded() {
    assertThat(reserved(kernel(Layout.V5_3_PLAIN).build()).answer()).startsWith("not needed");
  }

  @Test
  void aReservedRangeIsTheFixInForce() {
    CheckOutcome.Ran ran =
        reserved(
            kernel(Layout.V6_1).commandLine("crashkernel=256M").lowMemoryReserved(true).build());

    assertThat(ran.answer()).isEqualTo("in force");
    assertThat(ran.facts()).containsEntry("exposure", "none found");
  }

  @Test
  void aDumpInTheClearIsNotEncryptedAsAWhole() {
    FakeImage image = kernel(Layout.V6_1).sme(47).build();

    CheckOutcome.Ran ran = (CheckOutcome.Ran) new MemoryEncryptionCheck().run(context(image));

    assertThat(ran.answer()).startsWith("no;");
    assertThat(ran.findings()).isEmpty();
  }

  @Test
  void aDumpOfCiphertextIsSaidToBeOne() {
    FakeImage image = kernel(Layout.V6_1).build();
    MemoryCipher cipher = MemoryCipher.twoSided(1);
    image.memory().pages().replaceAll((pfn, page) -> cipher.encrypted(pfn << 12, page));
    KernelSearch search = org.vmcheck.search.KernelFinder.find(image.dump());

    CheckOutcome.Ran ran =
        (CheckOutcome.Ran)
            new MemoryEncryptionCheck()
                .run(new CheckContext(image.dump(), search, 1, false, () -> false));

    assertThat(search).isInstanceOf(KernelSearch.NotFound.class);
    assertThat(ran.answer()).isEqualTo("encrypted as a whole");
    assertThat(ran.findings()).extracting(Finding::cause).containsExactly(Cause.ENCRYPTED_MEMORY);
  }

  @Test
  void whoReadAnEncryptedDumpWithoutTheKeyIsSaid(@TempDir Path dir) throws Exception {
    for (boolean fromHost : List.of(true, false)) {
      FakeKernel kernel = SeedCase.kernel(5);
      FakeImage image = (fromHost ? kernel.noVmcoreinfoInFile() : kernel).build();
      MemoryCipher cipher = MemoryCipher.twoSided(1);
      image.memory().pages().replaceAll((pfn, page) -> cipher.encrypted(pfn << 12, page));
      Path file = image.writeKdump(dir, "vmcore-" + fromHost);
      try (Analyzer analyzer = Analyzer.open(file, AnalysisOptions.DEFAULT)) {
        DumpReport report = analyzer.check("test");

        assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
        assertThat(report.findings()).hasSize(1);
        assertThat(report.findings().getFirst().claim())
            .contains(fromHost ? "guest (SEV, TDX) dumped from its host" : "without the key");
        assertThat(report.checks())
            .filteredOn(CheckOutcome.Skipped.class::isInstance)
            .isNotEmpty()
            .allSatisfy(
                skipped ->
                    assertThat(((CheckOutcome.Skipped) skipped).unmet())
                        .containsExactly("the dump is encrypted as a whole (memory.encryption)"));
      }
    }
  }

  @Test
  void theEncryptionBitIsToldFromThePageTables() {
    FakeImage encrypted = kernel(Layout.V5_3_PLAIN).sme(47).build();
    FakeImage clear = kernel(Layout.V5_3_PLAIN).build();

    for (FakeImage image : List.of(encrypted, clear)) {
      Paging paging = image.kernel().memory().paging();
      assertThat(X86_64Paging.encryptionBit(image.memory(), paging.root()))
          .isEqualTo(paging.encryptionMask());
    }
    assertThat(encrypted.kernel().memory().paging().encryptionMask()).isEqualTo(1L << 47);
  }

  @Test
  void aGuestFullOfRandomPagesIsNotEncrypted() {
    FakeImage image = kernel(Layout.V6_1).build();
    Random random = new Random(3);
    for (long pfn = 0x1000; pfn < 0x2000; pfn++) {
      byte[] page = new byte[4096];
      random.nextBytes(page);
      if (image.memory().read(pfn) instanceof org.vmcheck.dump.PageRead.Excluded) {
        image.memory().store(pfn, page);
      }
    }

    assertThat(new MemoryEncryptionCheck().run(context(image)).findingsIfRan()).isEmpty();
  }
}
