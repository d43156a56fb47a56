package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
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
import org.vmcheck.memory.PageMask;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

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

  @Test
  void eachReadingIsFoundByTheNumberOfAffectedPages() {
    StringBuilder table = new StringBuilder("affected  raw    two-sided  one-sided  masks right\n");
    for (int affected : AFFECTED) {
      Map<LowMemorySmeCheckTest.Readings, Integer> found = new TreeMap<>();
      int right = 0;
      int recovered = 0;
      for (int seed = 1; seed <= IMAGES; seed++) {
        FakeImage image = image(seed);
        Kernel kernel = image.kernel();
        Map<Long, byte[]> plain = new TreeMap<>();
        image.memory().pages().headMap(0xa0L).forEach((pfn, page) -> plain.put(pfn, page.clone()));
        // A slab's page is among them, as the anchor.
        List<Long> slabs = new ArrayList<>(List.of(0x30L, 0x31L, 0x50L, 0x61L, 0x41L, 0x42L));
        List<Long> others = new ArrayList<>(plain.keySet());
        others.removeAll(slabs);
        Collections.shuffle(slabs, new Random(seed));
        Collections.shuffle(others, new Random(seed));
        List<Long> order = new ArrayList<>(slabs.subList(0, 1));
        others.addAll(slabs.subList(1, slabs.size()));
        Collections.shuffle(others, new Random(seed));
        order.addAll(others);
        List<Long> hit = order.subList(0, Math.min(affected, order.size()));
        for (LowMemorySmeCheckTest.Readings which : LowMemorySmeCheckTest.Readings.values()) {
          LowMemorySmeCheckTest.Reading reading = which.reading(seed);
          plain.forEach(
              (pfn, page) ->
                  image
                      .memory()
                      .store(pfn, hit.contains(pfn) ? reading.of(pfn << 12, page) : page));
          LowMemoryReading answer = read(image, kernel);
          found.merge(which, answer.answer() == which.answer() ? 1 : 0, Integer::sum);
          for (Map.Entry<Long, PageMask> mask : answer.masks().entrySet()) {
            recovered++;
            byte[] page = image.memory().pages().get(mask.getKey());
            byte[] read =
                mask.getValue()
                    .applyTo(java.lang.foreign.MemorySegment.ofArray(page))
                    .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            if (java.util.Arrays.equals(read, plain.get(mask.getKey()))) {
              right++;
            } else {
              System.out.printf(
                  "seed %d, %d affected: wrong mask %s at 0x%x (%s)%n",
                  seed,
                  affected,
                  mask.getValue().hex(),
                  mask.getKey(),
                  hit.contains(mask.getKey()) ? "affected" : "in the clear");
            }
          }
        }
      }
      table.append(
          "%8d  %3d%%   %3d%%       %3d%%       %d of %d%n"
              .formatted(
                  affected,
                  100 * found.get(LowMemorySmeCheckTest.Readings.RAW) / IMAGES,
                  100 * found.get(LowMemorySmeCheckTest.Readings.TWO_SIDED) / IMAGES,
                  100 * found.get(LowMemorySmeCheckTest.Readings.ONE_SIDED) / IMAGES,
                  right,
                  recovered));
      assertThat(right).as("masks, %d pages affected", affected).isEqualTo(recovered);
    }
    System.out.println(table);
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
