package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.memory.PageMask;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.LowSlabs;
import org.vmcheck.testing.SeedCase;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.SmeReading;

/// The low range of a 5.3.1 kernel with 80 slabs in it: what is proven of it under a mask, what
/// stays the kernel's own, and what a part of the range cannot prove.
class LowSlabsTest {
  private static final long DAMAGE = 0x4141414141414141L;

  private static FakeImage image(long seed, boolean encrypts) {
    var kernel = LowSlabs.kernel(Layout.V5_3, seed);
    return LowSlabs.image(encrypts ? kernel.sme(47) : kernel);
  }

  private static CheckContext context(FakeImage image) {
    return new CheckContext(
        image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
  }

  private static DumpReport report(FakeImage image, Path dir) throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  /// A free pointer in the middle of a list is overwritten before the copy is made.
  private static SlabImage damage(FakeImage image) {
    SlabImage slab =
        image.cache("dma-kmalloc-512").slabs().stream()
            .filter(s -> s.pfn() < LowSlabs.END_PFN && s.freelist().size() > 6)
            .findFirst()
            .orElseThrow();
    image.corruptWord(slab.slot(slab.freelist().get(4)), DAMAGE);
    return slab;
  }

  @Test
  void allListsCloseUnderTheMask(@TempDir Path dir) throws Exception {
    FakeImage image = image(1, true);
    LowSlabs.spoil(image, SeedCase.AS_REPORTED);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings()).extracting(Finding::cause).containsExactly(Cause.SME_CIPHERTEXT);
    assertThat(report.findings().getFirst().evidence().getFirst().sentence())
        .isEqualTo("with the mask removed all 80 broken freelists of 80 slabs in the range close");
    assertThat(answer(report, "slab.freelist"))
        .contains("ends as it should, 80 of them read through a mask");
  }

  private static String answer(DumpReport report, String check) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals(check))
        .map(outcome -> ((CheckOutcome.Ran) outcome).answer())
        .findFirst()
        .orElseThrow();
  }

  @Test
  void theListThatStaysBrokenUnderTheMaskIsTheKernels(@TempDir Path dir) throws Exception {
    FakeImage image = image(2, true);
    SlabImage slab = damage(image);
    LowSlabs.spoil(image, SeedCase.AS_REPORTED);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.verdict().summary()).contains("sme-ciphertext");
    assertThat(report.findings()).hasSize(2);
    Finding real =
        report.findings().stream()
            .filter(finding -> !finding.cause().isArtefact())
            .findFirst()
            .orElseThrow();
    assertThat(real.subject().slab()).isEqualTo(slab.address());
    assertThat(real.subject().raw()).as("the unmasked bytes").isEqualTo(DAMAGE);
    assertThat(real.evidence())
        .anyMatch(
            evidence ->
                evidence instanceof Evidence.WhatIf(String change, String sentence)
                    && change.equals(Evidence.MASK_REMOVED)
                    && sentence.contains("a4e3f759a4e3f759a4e3f759a4e3f759"));
    Finding artefact =
        report.findings().stream()
            .filter(finding -> finding.cause() == Cause.SME_CIPHERTEXT)
            .findFirst()
            .orElseThrow();
    assertThat(artefact.evidence().getFirst().sentence())
        .startsWith(
            "with the mask removed 79 of 80 broken freelists of 80 slabs in the range close")
        .contains("that of slab 0x%x (dma-kmalloc-512) does not".formatted(slab.address()))
        .contains("4141414141414141");
  }

  /// Masks that differ from page to page: the damaged page's own is proven by the links before the
  /// damage.
  @ParameterizedTest
  @ValueSource(longs = {3, 4, 5})
  void damageUnderMasksOfEachPageStaysReal(long seed) {
    FakeImage image = image(seed, true);
    SlabImage slab = damage(image);
    LowSlabs.spoil(image, SmeReading.ONE_SIDED.spoiler(seed));

    CheckContext context = context(image);

    assertThat(context.lowMemory().answer()).isEqualTo(LowMemoryReading.Answer.MASKED);
    assertThat(context.lowMemory().lists().closedUnmasked()).isEqualTo(LowSlabs.SLABS - 1);
    assertThat(context.unmasked().soundFaults())
        .anyMatch(
            fault ->
                fault instanceof SlabFault.Broken broken
                    && broken.slab().address() == slab.address());
  }

  /// A device wrote random bytes over pages of slabs: the other slabs of the range are sound, so
  /// that the copy was too.
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 8, 32, 78})
  void randomBytesInAPartOfTheRangeAreTheKernelsTrouble(int slabs) {
    for (boolean encrypts : new boolean[] {true, false}) {
      FakeImage image = image(6, encrypts);
      List<SlabImage> low = lowSlabs(image);
      Random random = new Random(slabs);
      for (SlabImage slab : low.subList(0, slabs)) {
        for (long pfn = slab.pfn(); pfn < slab.pfn() + (1L << slab.order()); pfn++) {
          byte[] page = new byte[4096];
          random.nextBytes(page);
          image.memory().store(pfn, page);
        }
      }

      CheckContext context = context(image);

      assertThat(context.lowMemory().answer()).isEqualTo(LowMemoryReading.Answer.CANNOT_TELL);
      assertThat(context.lowMemory().ciphertext()).isEmpty();
      assertThat(context.soundFaults()).hasSizeGreaterThanOrEqualTo(slabs);
    }
  }

  private static List<SlabImage> lowSlabs(FakeImage image) {
    List<SlabImage> low = new ArrayList<>(image.cache("dma-kmalloc-512").slabs());
    low.addAll(image.cache("dma-kmalloc-64").slabs());
    low.removeIf(slab -> slab.pfn() >= LowSlabs.END_PFN);
    return low;
  }

  /// The finding says what speaks against ciphertext.
  @Test
  void realDamageComesWithWhatAcquitsTheCopy(@TempDir Path dir) throws Exception {
    FakeImage image = image(7, false);
    byte[] page = new byte[4096];
    new Random(7).nextBytes(page);
    image.memory().store(0x85, page);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings())
        .allSatisfy(finding -> assertThat(finding.cause()).isNotEqualTo(Cause.SME_CIPHERTEXT));
    assertThat(report.findings().getFirst().evidence())
        .extracting(Evidence::sentence)
        .anyMatch(sentence -> sentence.contains("79 freelists close of the low 640 KiB"))
        .anyMatch(sentence -> sentence.contains("the kernel says that it does not encrypt"));
  }

  /// The whole range is random and the kernel says that it does not encrypt: neither is believed.
  @ParameterizedTest
  @EnumSource(names = {"RAW", "TWO_SIDED"})
  void aRangeThatIsRandomAllOverInAKernelWithoutEncryptionCannotBeTold(
      SmeReading which, @TempDir Path dir) throws Exception {
    FakeImage image = image(8, false);
    LowSlabs.spoil(image, which.spoiler(8));

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("undetermined");
    assertThat(report.findings()).isEmpty();
    assertThat(answer(report, "lowmem.sme")).isEqualTo("cannot tell");
  }

  @Test
  void theMachineIsNotSaidToEncryptWhereTheDumpSaysThatItDoesNot(@TempDir Path dir)
      throws Exception {
    FakeImage image = image(9, false);
    LowSlabs.spoil(image, SeedCase.AS_REPORTED);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings()).extracting(Finding::cause).containsExactly(Cause.SME_CIPHERTEXT);
    assertThat(String.join(" ", report.verdict().reasons()))
        .doesNotContain("The machine encrypts")
        .contains("a mask of 16 bytes a page");
    assertThat(report.findings().getFirst().against())
        .extracting(Evidence::sentence)
        .anyMatch(sentence -> sentence.contains("memory encryption is off"));
  }

  @Test
  void healthyRangesOfEveryContentsAreSilent() {
    for (var contents : org.vmcheck.testing.FakeKernel.Contents.values()) {
      for (boolean encrypts : new boolean[] {true, false}) {
        var kernel = LowSlabs.kernel(Layout.V5_3, 10).contents(contents);
        CheckContext context = context(LowSlabs.image(encrypts ? kernel.sme(47) : kernel));

        assertThat(context.lowMemory().answer().isCiphertext()).as("%s", contents).isFalse();
        assertThat(context.soundFaults()).isEmpty();
        assertThat(context.masks()).isEqualTo(Map.of());
      }
    }
  }

  /// What may lie in the range by right: packed and text pages, fill patterns, pages of one block.
  private static byte[] byRight(Random random, int kind) {
    byte[] page = new byte[4096];
    switch (kind % 4) {
      case 0 -> random.nextBytes(page);
      case 1 -> {
        for (int at = 0; at < 4096; at++) {
          page[at] = (byte) ('a' + random.nextInt(26));
        }
      }
      case 2 -> java.util.Arrays.fill(page, (byte) 0x6b);
      default -> {
        byte[] block = new byte[16];
        random.nextBytes(block);
        for (int at = 0; at < 4096; at++) {
          page[at] = block[at & 15];
        }
      }
    }
    return page;
  }

  /// Frames of the range that no slab has.
  private static List<Long> others() {
    List<Long> others = new ArrayList<>();
    for (long pfn = LowSlabs.FIRST_PFN; pfn < LowSlabs.END_PFN; pfn++) {
      if (pfn < 0x10 || pfn >= 0x98) {
        others.add(pfn);
      }
    }
    return others;
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3})
  void pagesThatLieThereByRightAreNoMask(int kind) {
    FakeImage image = image(11, true);
    Random random = new Random(kind);
    others().forEach(pfn -> image.memory().store(pfn, byRight(random, kind)));

    CheckContext context = context(image);

    assertThat(context.lowMemory().answer().isCiphertext()).isFalse();
    assertThat(context.masks()).isEmpty();
    assertThat(context.soundFaults()).isEmpty();
  }

  /// The same pages beside slabs under a mask, themselves masked or, which no copy makes, not.
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void suchPagesBesideMaskedOnesChangeNothing(boolean masked) {
    FakeImage image = image(12, true);
    Random random = new Random(12);
    if (masked) {
      others().forEach(pfn -> image.memory().store(pfn, byRight(random, (int) (pfn & 3))));
    }
    LowSlabs.spoil(image, SmeReading.ONE_SIDED.spoiler(12));
    if (!masked) {
      others().forEach(pfn -> image.memory().store(pfn, byRight(random, (int) (pfn & 3))));
    }

    CheckContext context = context(image);

    assertThat(context.lowMemory().answer()).isEqualTo(LowMemoryReading.Answer.MASKED);
    assertThat(context.lowMemory().lists().closedUnmasked()).isEqualTo(LowSlabs.SLABS);
    assertThat(context.unmasked().soundFaults()).isEmpty();
  }

  /// A different mask of 128 bits on every page: what is recovered is right, or is called a guess,
  /// and nothing sound is called damaged.
  @ParameterizedTest
  @ValueSource(longs = {13, 14, 15})
  void masksThatDifferOnEveryPage(long seed) {
    FakeImage image = image(seed, true);
    Map<Long, byte[]> plain = LowSlabs.pages(image);
    LowSlabs.spoil(image, SmeReading.wideMasks(seed));

    CheckContext context = context(image);
    LowMemoryReading reading = context.lowMemory();

    assertThat(reading.answer()).isEqualTo(LowMemoryReading.Answer.MASKED);
    assertThat(context.unmasked().soundFaults()).isEmpty();
    assertThat(reading.lists().lost()).noneMatch(LowMemoryReading.Lost::underAll);
    reading
        .masks()
        .forEach(
            (pfn, mask) -> {
              byte[] read =
                  mask.applyTo(
                          java.lang.foreign.MemorySegment.ofArray(image.memory().pages().get(pfn)))
                      .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
              for (int at = 0; at < 4096; at++) {
                assertThat(read[at] == plain.get(pfn)[at] || reading.isGuessed(pfn, at))
                    .as("page frame 0x%x at 0x%x", pfn, at)
                    .isTrue();
              }
            });
  }

  @Test
  void aMaskOfZerosIsNone() {
    FakeImage image = image(16, true);
    LowSlabs.spoil(
        image,
        (_, page) ->
            new PageMask(0, 0)
                .applyTo(java.lang.foreign.MemorySegment.ofArray(page))
                .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));

    assertThat(context(image).lowMemory().answer()).isEqualTo(LowMemoryReading.Answer.PLAIN);
  }

  /// A line of the memory bus that is stuck turns one bit of every word: no mask of a cipher.
  @Test
  void aStuckBitIsNoMask() {
    FakeImage image = image(17, true);
    SlabImage slab = lowSlabs(image).getFirst();
    for (long pfn = slab.pfn(); pfn < slab.pfn() + (1L << slab.order()); pfn++) {
      image
          .memory()
          .store(
              pfn,
              new PageMask(1L << 33, 1L << 33)
                  .applyTo(java.lang.foreign.MemorySegment.ofArray(image.memory().pages().get(pfn)))
                  .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
    }

    CheckContext context = context(image);

    assertThat(context.lowMemory().answer().isCiphertext()).isFalse();
    assertThat(context.soundFaults()).isNotEmpty();
  }

  /// The range ends inside page frame 0x9f: what is stored of it is looked at.
  @Test
  void theLastPageIsReadAsFarAsItIsStored() {
    FakeImage image = image(18, true);
    LowSlabs.spoil(image, SeedCase.AS_REPORTED);
    byte[] last = SeedCase.AS_REPORTED.spoiled(0x9f000, new byte[4096]);
    PhysicalMemory inPart =
        new PhysicalMemory() {
          @Override
          public int pageSize() {
            return 4096;
          }

          @Override
          public long endPfn() {
            return image.memory().endPfn();
          }

          @Override
          public long nextStored(long pfn) {
            return image.memory().nextStored(pfn);
          }

          @Override
          public org.vmcheck.dump.PageRead read(long pfn) {
            return pfn == 0x9f
                ? new org.vmcheck.dump.PageRead.NotInDump(pfn)
                : image.memory().read(pfn);
          }

          @Override
          public int storedInPart(long paddr) {
            return paddr >>> 12 == 0x9f ? Math.max(0, 0xc00 - (int) (paddr & 4095)) : 0;
          }

          @Override
          public java.lang.foreign.MemorySegment readPart(long paddr, int byteCount) {
            return java.lang.foreign.MemorySegment.ofArray(last).asSlice(paddr & 4095, byteCount);
          }
        };

    LowMemoryReading reading =
        LowMemoryReading.of(
            inPart, Optional.of(image.kernel()), Optional.of(FreelistDecoder.HARDENED));

    assertThat(reading.frames().get(0x9f).bytes().blocks()).isEqualTo(0xc00 / 16);
    assertThat(reading.ciphertext()).contains(0x9fL);
    assertThat(reading.masks()).containsKey(0x9fL);
  }
}
