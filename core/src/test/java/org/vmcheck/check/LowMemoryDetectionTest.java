package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.vmcheck.kernel.FreelistDecoder;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.SmeReading;

/// How often each reading is found, by the number of affected pages; and that healthy memory is
/// silent. Prints the table that README shows.
@Tag("slow")
class LowMemoryDetectionTest {
  private static final int IMAGES = 40;
  private static final int[] AFFECTED = {1, 2, 4, 8, 16, 32, 64, 160};
  private static final int HEALTHY = 10_000;
  private static final int MEMORIES = 200;

  private static FakeImage image(long seed) {
    FakeKernel.Contents[] contents = FakeKernel.Contents.values();
    Layout layout = Layout.ALL.get((int) (seed % Layout.ALL.size()));
    return FakeKernel.of(layout)
        .seed(seed)
        .sme(47)
        .lowMemoryReserved(false)
        .contents(contents[(int) (seed / 3 % contents.length)])
        .commandLine("crashkernel=256M")
        .cache(FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x30, 0x31, 0x50, 0x61))
        .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x41, 0x42, 0x43))
        .cache(FakeCache.named("dma-kmalloc-1k", 1024).order(1).lowPartial(0x70, 0x72))
        .build();
  }

  private static LowMemoryReading read(FakeImage image, Kernel kernel) {
    FreelistDecoder decoder =
        switch (image.layout().freePointer()) {
          case PLAIN -> FreelistDecoder.PLAIN;
          case HARDENED -> FreelistDecoder.HARDENED;
          case HARDENED_SWAPPED -> FreelistDecoder.HARDENED_SWAPPED;
        };
    return LowMemoryReading.of(image.dump(), Optional.of(kernel), Optional.of(decoder));
  }

  /// What came out for one kernel, one reading, one number of affected pages.
  ///
  /// @param anchored whether a page is affected that must tell: in the random-looking readings one
  ///   with a freelist, in the masked one such that holds two of its free pointers
  /// @param touchesAList whether any freelist runs over an affected page
  private record Case(
      long seed,
      int affected,
      SmeReading which,
      boolean anchored,
      boolean touchesAList,
      LowMemoryReading.Answer answer,
      int masks,
      List<String> wrong) {
    boolean isFound() {
      return answer == LowMemorySmeCheckTest.answer(which);
    }
  }

  @Test
  void eachReadingIsFoundByTheNumberOfAffectedPages() {
    List<Case> cases =
        LongStream.rangeClosed(1, IMAGES)
            .parallel()
            .boxed()
            .flatMap(seed -> cases(seed).stream())
            .toList();
    System.out.println("found / cannot tell / missed, of " + IMAGES + " kernels");
    System.out.printf("%-9s", "affected");
    for (SmeReading which : SmeReading.values()) {
      System.out.printf("%-18s", which);
    }
    System.out.println("masks right");
    for (int affected : AFFECTED) {
      List<Case> row = cases.stream().filter(c -> c.affected == affected).toList();
      System.out.printf("%-9d", affected);
      for (SmeReading which : SmeReading.values()) {
        List<Case> cell = row.stream().filter(c -> c.which == which).toList();
        long found = cell.stream().filter(Case::isFound).count();
        long open =
            cell.stream().filter(c -> c.answer == LowMemoryReading.Answer.CANNOT_TELL).count();
        System.out.printf(
            "%-18s", "%d / %d / %d".formatted(found, open, cell.size() - found - open));
      }
      int masks = row.stream().mapToInt(Case::masks).sum();
      int wrong = row.stream().mapToInt(c -> c.wrong.size()).sum();
      System.out.printf("%d of %d%n", masks - wrong, masks);
    }

    assertThat(cases).allSatisfy(c -> assertThat(c.wrong).isEmpty());
    assertThat(cases.stream().filter(c -> c.anchored && !c.isFound())).isEmpty();
    // Without one it cannot be told, or not which reading it is: random plaintext under a mask.
    assertThat(
            cases.stream()
                .filter(c -> c.answer == LowMemoryReading.Answer.PLAIN)
                .filter(Case::touchesAList))
        .isEmpty();
  }

  private static List<Case> cases(long seed) {
    FakeImage image = image(seed);
    Kernel kernel = image.kernel();
    Map<Long, byte[]> plain = new TreeMap<>();
    image.memory().pages().headMap(0xa0L).forEach((pfn, page) -> plain.put(pfn, page.clone()));
    // A slab's page is among them, as the anchor.
    List<Long> slabs = new ArrayList<>(List.of(0x30L, 0x31L, 0x50L, 0x61L, 0x41L, 0x42L));
    List<Long> others = new ArrayList<>(plain.keySet());
    others.removeAll(slabs);
    Collections.shuffle(slabs, new Random(seed));
    List<Long> order = new ArrayList<>(slabs.subList(0, 1));
    others.addAll(slabs.subList(1, slabs.size()));
    Collections.shuffle(others, new Random(seed));
    order.addAll(others);
    Map<Long, Integer> pointers = freePointers(image);
    List<Case> cases = new ArrayList<>();
    for (SmeReading which : SmeReading.values()) {
      SmeReading.Spoiler reading = which.spoiler(seed);
      Map<Long, byte[]> changed = new TreeMap<>();
      plain.forEach((pfn, page) -> changed.put(pfn, reading.spoiled(pfn << 12, page)));
      for (int affected : AFFECTED) {
        List<Long> hit = order.subList(0, Math.min(affected, order.size()));
        plain.forEach(
            (pfn, page) -> image.memory().store(pfn, hit.contains(pfn) ? changed.get(pfn) : page));
        LowMemoryReading answer = read(image, kernel);
        int needed = which == SmeReading.ONE_SIDED ? 2 : 1;
        List<String> wrong = new ArrayList<>();
        answer
            .masks()
            .forEach(
                (pfn, mask) -> {
                  byte[] read =
                      mask.applyTo(MemorySegment.ofArray(image.memory().pages().get(pfn)))
                          .toArray(ValueLayout.JAVA_BYTE);
                  if (!Arrays.equals(read, plain.get(pfn))) {
                    wrong.add(
                        "%s at 0x%x (%s)"
                            .formatted(
                                mask.hex(), pfn, hit.contains(pfn) ? "affected" : "in the clear"));
                  }
                });
        cases.add(
            new Case(
                seed,
                affected,
                which,
                hit.stream().anyMatch(pfn -> pointers.getOrDefault(pfn, 0) >= needed),
                hit.stream().anyMatch(pointers::containsKey),
                answer.answer(),
                answer.masks().size(),
                wrong));
      }
    }
    return cases;
  }

  /// How many free pointers of one list each page holds, the most of any list; pointers that end
  /// their list among them.
  private static Map<Long, Integer> freePointers(FakeImage image) {
    Map<Long, Integer> most = new TreeMap<>();
    for (CacheImage cache : image.caches()) {
      for (SlabImage slab : cache.slabs()) {
        for (List<Integer> list : List.of(slab.freelist(), slab.cpuFreelist())) {
          Map<Long, Integer> here = new TreeMap<>();
          for (int index : list) {
            here.merge(slab.pfn() + ((slab.slot(index) - slab.base()) >>> 12), 1, Integer::sum);
          }
          here.forEach((pfn, count) -> most.merge(pfn, count, Math::max));
        }
      }
    }
    return most;
  }

  @Test
  void notOneOfTenThousandHealthyImagesIsCalledCiphertext() {
    // Every kernel serves for two hundred memories, each kernel on a thread of its own.
    long cannotTell =
        LongStream.rangeClosed(1, HEALTHY / MEMORIES)
            .parallel()
            .map(LowMemoryDetectionTest::healthy)
            .sum();
    System.out.printf("%d healthy images, %d of them cannot be told%n", HEALTHY, cannotTell);
  }

  /// Reads healthy memories of one kernel; returns how many cannot be told.
  private static long healthy(long seed) {
    FakeImage image = image(seed);
    Kernel kernel = image.kernel();
    List<Long> slabs = new ArrayList<>(List.of(0x30L, 0x31L, 0x50L, 0x61L, 0x41L, 0x42L, 0x43L));
    slabs.addAll(List.of(0x70L, 0x71L, 0x72L, 0x73L));
    Random random = new Random(seed);
    long cannotTell = 0;
    for (int i = 0; i < MEMORIES; i++) {
      for (long pfn = 1; pfn < 0xa0; pfn++) {
        if (slabs.contains(pfn)) {
          continue;
        }
        boolean free = pfn >= 0x10 && pfn < 0x99;
        if (free && random.nextInt(3) == 0) {
          byte[] page = new byte[4096];
          random.nextBytes(page);
          image.memory().store(pfn, page);
        } else {
          image.memory().store(pfn, LowMemorySmeCheckTest.contents(random));
        }
      }
      LowMemoryReading reading = read(image, kernel);
      assertThat(reading.answer().isCiphertext()).as("seed %d image %d", seed, i).isFalse();
      assertThat(reading.masks()).isEmpty();
      cannotTell += reading.answer() == LowMemoryReading.Answer.CANNOT_TELL ? 1 : 0;
    }
    return cannotTell;
  }
}
