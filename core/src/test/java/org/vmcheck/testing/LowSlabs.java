package org.vmcheck.testing;

import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/// The low 640 KiB of a 5.3.1 kernel that allocated there for DMA: 80 slabs on 136 pages, the
/// firmware's first 64 KiB, the trampoline, all of it stored, as a kdump with a backup region holds
/// it.
public final class LowSlabs {
  /// Frames of the range that the crash kernel's loader backs up whole: 0x1000 to 0x9efff.
  public static final long FIRST_PFN = 1;

  public static final long END_PFN = 0x9f;

  /// Slabs that start in the range.
  public static final int SLABS = 80;

  private LowSlabs() {}

  /// Such a kernel of 5.3.1; another layout may be given.
  public static FakeKernel kernel(Layout layout, long seed) {
    return FakeKernel.of(layout)
        .seed(seed)
        .lowMemoryReserved(false)
        .commandLine("crashkernel=256M")
        .cache(
            FakeCache.named("dma-kmalloc-512", 512)
                .order(1)
                .lowPartial(IntStream.range(0, 56).map(i -> 0x10 + 2 * i).toArray()))
        .cache(
            FakeCache.named("dma-kmalloc-64", 64)
                .order(0)
                .lowPartial(IntStream.range(0, 24).map(i -> 0x80 + i).toArray()))
        .cache("kmalloc-256", 256);
  }

  /// Its image, with every page of the range stored.
  public static FakeImage image(FakeKernel kernel) {
    FakeImage image = kernel.build();
    for (long pfn = FIRST_PFN; pfn < END_PFN; pfn++) {
      if (!image.memory().pages().containsKey(pfn)) {
        image.memory().store(pfn, new byte[4096]);
      }
    }
    return image;
  }

  /// The pages of the range as they are, to compare with later.
  public static Map<Long, byte[]> pages(FakeImage image) {
    Map<Long, byte[]> pages = new TreeMap<>();
    image
        .memory()
        .pages()
        .subMap(FIRST_PFN, END_PFN)
        .forEach((pfn, page) -> pages.put(pfn, page.clone()));
    return pages;
  }

  /// Puts a spoiler over all pages of the range.
  public static void spoil(FakeImage image, SmeReading.Spoiler spoiler) {
    pages(image)
        .forEach((pfn, page) -> image.memory().store(pfn, spoiler.spoiled(pfn << 12, page)));
  }
}
