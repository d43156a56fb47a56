package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.memory.PageMask;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SeedCase;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.SmeReading;

/// The bug that this project exists for, in its three readings, and what only looks like it.
class LowMemorySmeCheckTest {
  static LowMemoryReading.Answer answer(SmeReading which) {
    return which == SmeReading.ONE_SIDED
        ? LowMemoryReading.Answer.MASKED
        : LowMemoryReading.Answer.RANDOM;
  }

  private static CheckContext context(FakeImage image) {
    return new CheckContext(
        image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
  }

  private static LowMemoryReading read(FakeImage image) {
    return context(image).lowMemory();
  }

  private static DumpReport report(FakeImage image, Path dir) throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  private static byte[] masked(PageMask mask, byte[] page) {
    return mask.applyTo(java.lang.foreign.MemorySegment.ofArray(page))
        .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
  }

  @Test
  void theReportsOwnWordComesOutWithThePointerItWas(@TempDir Path dir) throws Exception {
    FakeImage image = SeedCase.image();
    SeedCase.spoil(image, SeedCase.AS_REPORTED);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(String.join(" ", report.verdict().reasons()))
        .contains(
            "encrypted for its old address", "says nothing against the kernel", "6f599d84231f");
    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.SME_CIPHERTEXT);
    assertThat(finding.subject().cache()).isEqualTo("dma-kmalloc-512");
    assertThat(finding.subject().slab()).isEqualTo(0xffffd77680001c00L);
    assertThat(finding.subject().raw()).isEqualTo(0xa6086ac099f0c5a4L);
    assertThat(finding.subject().decoded()).isEqualTo(0xffff8964c0072600L);
    assertThat(finding.evidence().getFirst().sentence())
        .isEqualTo("with the mask removed the one broken freelist of 1 slab in the range closes");
    assertThat(finding.evidence().get(1).sentence())
        .contains("a6086ac099f0c5a4", "ffff8964c0072600", "ffffd77680001c00");
  }

  @ParameterizedTest
  @EnumSource
  void eachReadingIsFoundAndIsTheOnlyFinding(SmeReading which, @TempDir Path dir) throws Exception {
    FakeImage image = SeedCase.image();
    SeedCase.spoil(image, which.spoiler(204793));

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings()).extracting(Finding::cause).containsExactly(Cause.SME_CIPHERTEXT);
    assertThat(read(image).answer()).isEqualTo(answer(which));
    assertThat(
            report.checks().stream()
                .filter(outcome -> outcome.id().equals("lowmem.backup"))
                .map(outcome -> ((CheckOutcome.Ran) outcome).answer()))
        .containsExactly("the low range of this dump is the backup copy; no second one is in it");
  }

  /// A list that runs from a page in the clear to a masked one: the clear page has no mask, however
  /// often a block of its data repeats.
  @ParameterizedTest
  @EnumSource
  void aPageInTheClearBesideAMaskedOneGetsNoMask(FakeKernel.Contents contents) {
    for (long seed = 1; seed <= 10; seed++) {
      FakeImage image =
          SeedCase.kernel(seed)
              .contents(contents)
              .cache(FakeCache.named("dma-kmalloc-1k", 1024).order(1).lowPartial(0x30, 0x32, 0x34))
              .build();
      SmeReading.Spoiler spoiler = SmeReading.ONE_SIDED.spoiler(seed);
      for (long pfn : List.of(0x31L, 0x33L, 0x35L)) {
        image.memory().store(pfn, spoiler.spoiled(pfn << 12, image.memory().pages().get(pfn)));
      }

      assertThat(read(image).masks().keySet()).as("seed %d", seed).isSubsetOf(0x31L, 0x33L, 0x35L);
    }
  }

  /// One whole list turned by one constant: pointers that were hardened for another cache, in a
  /// range that is otherwise in the clear, are no mask.
  @Test
  void pointersOfAnotherCacheAreNoMask() {
    FakeImage image =
        FakeKernel.of(Layout.V5_15)
            .seed(2)
            .sme(47)
            .lowMemoryReserved(false)
            .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x30, 0x40, 0x50))
            .build();
    SlabImage slab = image.cache("dma-kmalloc-64").slabs().getFirst();
    long turn = 0x1234_5678_9abc_def1L;
    for (int index : slab.freelist()) {
      image.corruptWord(slab.slot(index), image.word(slab.slot(index)) ^ turn);
    }

    assertThat(read(image).answer().isCiphertext()).isFalse();
    assertThat(read(image).masks()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void everyRecoveredMaskIsTheRightOne(long seed) {
    FakeImage image = SeedCase.image();
    Map<Long, byte[]> plain = new java.util.TreeMap<>();
    image.memory().pages().headMap(0xa0L).forEach((pfn, page) -> plain.put(pfn, page.clone()));
    SeedCase.spoil(image, SmeReading.ONE_SIDED.spoiler(seed));

    LowMemoryReading reading = read(image);

    assertThat(reading.masks()).isNotEmpty();
    reading
        .masks()
        .forEach(
            (pfn, mask) ->
                assertThat(masked(mask, image.memory().pages().get(pfn)))
                    .as("page frame 0x%x", pfn)
                    .isEqualTo(plain.get(pfn)));
    assertThat(reading.lists().closedUnmasked()).isEqualTo(reading.lists().broken());
  }

  @Test
  void realDamageOnASoundPageIsSaidBesideTheCiphertext(@TempDir Path dir) throws Exception {
    FakeImage image = SeedCase.image();
    SlabImage slab =
        image.cache("kmalloc-256").slabs().stream()
            .filter(s -> s.freelist().size() > 1)
            .findFirst()
            .orElseThrow();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141414141414141L);
    SeedCase.spoil(image, SmeReading.TWO_SIDED.spoiler(7));

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings())
        .extracting(Finding::cause)
        .containsExactlyInAnyOrder(Cause.SME_CIPHERTEXT, Cause.USE_AFTER_FREE_WRITE);
    assertThat(report.verdict().summary())
        .isEqualTo(
            "the kernel's memory is corrupt: use-after-free-write; beside it, and not the kernel's"
                + " fault, the dump: sme-ciphertext");
    assertThat(String.join(" ", report.verdict().reasons())).contains("sme-ciphertext");
  }

  /// A mask is proven by the list that closes under it, however little it covers; random bytes are
  /// not, for the copy takes the whole range, and other lists of it close in the clear.
  @ParameterizedTest
  @EnumSource
  void onePageWithAFreelistProvesAMaskAndNothingElse(SmeReading which) {
    FakeImage image =
        SeedCase.kernel(3)
            .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x30, 0x40, 0x50))
            .build();
    byte[] page = image.memory().pages().get(0x40L);
    image.memory().store(0x40, which.spoiler(11).spoiled(0x40000, page));

    CheckContext context = context(image);
    LowMemoryReading reading = context.lowMemory();

    if (which == SmeReading.ONE_SIDED) {
      assertThat(reading.answer()).isEqualTo(LowMemoryReading.Answer.MASKED);
      assertThat(reading.ciphertext()).containsExactly(0x40L);
      assertThat(context.unmasked().soundFaults()).isEmpty();
    } else {
      assertThat(reading.answer()).isEqualTo(LowMemoryReading.Answer.CANNOT_TELL);
      assertThat(reading.ciphertext()).isEmpty();
      assertThat(context.soundFaults()).isNotEmpty();
    }
  }

  @Test
  void randomBytesInFreePagesAreNotCalledCiphertext() {
    FakeImage image = SeedCase.kernel(5).build();
    Random random = new Random(5);
    for (long pfn = 0x10; pfn < 0x60; pfn++) {
      byte[] page = new byte[4096];
      random.nextBytes(page);
      image.memory().store(pfn, page);
    }

    LowMemoryReading reading = read(image);

    assertThat(reading.answer().isCiphertext()).isFalse();
    assertThat(reading.ciphertext()).isEmpty();
  }

  @Test
  void withoutAnyAnchorTheAnswerIsThatItCannotBeTold() {
    FakeImage image = SeedCase.kernel(6).build();
    Random random = new Random(6);
    for (long pfn = 0; pfn < 0xa0; pfn++) {
      if (pfn >= 0x10 && pfn < 0x60) {
        byte[] page = new byte[4096];
        random.nextBytes(page);
        image.memory().store(pfn, page);
      } else {
        image.exclude(pfn);
      }
    }

    assertThat(read(image).answer()).isEqualTo(LowMemoryReading.Answer.CANNOT_TELL);
  }

  /// Whole slab pages set to a pattern, and pages of repeated structures: real damage or plain
  /// data.
  @ParameterizedTest
  @ValueSource(longs = {0x6b6b6b6b6b6b6b6bL, 0xdeadbeefdeadbeefL, 0x4141414141414141L, 0x5a5aL})
  void aPageFilledWithAPatternIsNoMask(long pattern) {
    FakeImage image =
        SeedCase.kernel(8)
            .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x30, 0x40, 0x50))
            .build();
    ByteBuffer page = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
    while (page.hasRemaining()) {
      page.putLong(pattern);
    }
    image.memory().store(0x40, page.array());
    image.memory().store(0x50, page.array());

    LowMemoryReading reading = read(image);

    assertThat(reading.answer().isCiphertext()).isFalse();
    assertThat(reading.masks()).isEmpty();
  }

  @Test
  void pagesOfRepeatedStructuresAreNoMask() {
    FakeImage image =
        SeedCase.kernel(9)
            .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x30))
            .build();
    ByteBuffer page = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
    while (page.hasRemaining()) {
      page.putLong(0xffff8964c1234500L).putLong(page.position() % 64 == 8 ? 3 : 0x1_0000_0001L);
    }
    for (long pfn = 1; pfn < 0x10; pfn++) {
      image.memory().store(pfn, page.array());
    }

    assertThat(read(image).answer().isCiphertext()).isFalse();
  }

  @Test
  void anOverwrittenFreePointerInLowMemoryStaysRealDamage(@TempDir Path dir) throws Exception {
    FakeImage image = SeedCase.image();
    SlabImage slab = image.cache("dma-kmalloc-512").slabs().getFirst();
    image.corruptWord(slab.slot(slab.cpuFreelist().getFirst()), 0x4141414141414141L);

    DumpReport report = report(image, dir);

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings()).extracting(Finding::cause).doesNotContain(Cause.SME_CIPHERTEXT);
  }

  @Test
  void healthyImagesOfEveryLayoutAreSilent() {
    for (Layout layout : Layout.ALL) {
      for (FakeKernel.Contents contents : FakeKernel.Contents.values()) {
        FakeImage image =
            FakeKernel.of(layout)
                .seed(contents.name().length())
                .contents(contents)
                .sme(47)
                .lowMemoryReserved(false)
                .cache(
                    FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x30, 0x31, 0x50))
                .cache(FakeCache.named("dma-kmalloc-4k", 4096).order(0).lowPartial(0x60, 0x61))
                .build();

        assertThat(read(image).answer().isCiphertext()).as("%s %s", layout, contents).isFalse();
      }
    }
  }

  @Test
  void healthyMemoryOfEveryKindIsSilentByTheThousands() {
    FakeImage image =
        SeedCase.kernel(12)
            .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x30, 0x40, 0x50))
            .build();
    List<Long> slabPages = List.of(0x30L, 0x40L, 0x50L);
    Random random = new Random(12);
    org.vmcheck.kernel.Kernel kernel = image.kernel();
    for (int i = 0; i < 500; i++) {
      for (long pfn = 1; pfn < 0xa0; pfn++) {
        if (slabPages.contains(pfn) || (pfn >= 0x70 && pfn < 0x78)) {
          continue;
        }
        image.memory().store(pfn, contents(random));
      }
      LowMemoryReading reading =
          LowMemoryReading.of(
              image.memory(),
              java.util.Optional.of(kernel),
              java.util.Optional.of(org.vmcheck.slab.FreelistDecoder.PLAIN));
      assertThat(reading.answer().isCiphertext()).as("image %d", i).isFalse();
    }
  }

  /// What a page of low memory may hold: reserved pages rarely packed data, all the others.
  static byte[] contents(Random random) {
    byte[] page = new byte[4096];
    switch (random.nextInt(8)) {
      case 0, 1, 2 -> {}
      case 3 -> Arrays.fill(page, (byte) random.nextInt(256));
      case 4 -> {
        ByteBuffer words = ByteBuffer.wrap(page).order(ByteOrder.LITTLE_ENDIAN);
        long first = random.nextLong();
        long second = random.nextLong();
        while (words.hasRemaining()) {
          words.putLong(first).putLong(second);
        }
        page[random.nextInt(4096)]++;
      }
      case 5 -> {
        ByteBuffer words = ByteBuffer.wrap(page).order(ByteOrder.LITTLE_ENDIAN);
        while (words.hasRemaining()) {
          words.putLong(0xffff8964c0000000L + (random.nextInt(1 << 20) & -64));
        }
      }
      case 6 -> {
        for (int at = 0; at < 4096; at++) {
          page[at] = (byte) ('a' + random.nextInt(26));
        }
      }
      default -> {
        for (int at = 0; at < 4096; at += 16 + random.nextInt(64)) {
          page[at] = (byte) random.nextInt();
        }
      }
    }
    return page;
  }
}
