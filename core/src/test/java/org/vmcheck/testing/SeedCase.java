package org.vmcheck.testing;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.memory.PageMask;

/// The machine of kernel bug 204793: 5.3 on SME, plain free pointers, and `kmem` that says of
/// `dma-kmalloc-512` that slab ffffd77680001c00 has the invalid free pointer a6086ac099f0c5a4.
public final class SeedCase {
  /// The mask that the report's own word tells, over every page.
  public static final SmeReading.Spoiler AS_REPORTED =
      (_, page) ->
          new PageMask(0x59f7e3a459f7e3a4L, 0x59f7e3a459f7e3a4L)
              .applyTo(MemorySegment.ofArray(page))
              .toArray(ValueLayout.JAVA_BYTE);

  private static final int FIRST_PFN = 0x70;
  private static final int SECOND_FREE = 0x72600;

  private SeedCase() {}

  /// Such a kernel, for another cache or seed to be added.
  public static FakeKernel kernel(long seed) {
    return FakeKernel.of(Layout.V5_3_PLAIN)
        .seed(seed)
        .sme(47)
        .pageOffsetBase(0xffff8964c0000000L)
        .vmemmapBase(0xffffd77680000000L)
        .commandLine("crashkernel=256M")
        .cache(FakeCache.named("dma-kmalloc-512", 512).order(3).lowCpuSlab(FIRST_PFN))
        .cache("kmalloc-256", 256)
        .cache(FakeCache.named("kmalloc-1k", 1024).full(1));
  }

  /// Says in the kernel's memory that a crash kernel was loaded and where the low range is saved
  /// to: memory that a dump made by kdump leaves out.
  private static void loadCrashKernel(FakeImage image) {
    SlabImage slab =
        image.cache("kmalloc-1k").slabs().stream()
            .filter(s -> s.place() == SlabImage.Place.FULL)
            .findFirst()
            .orElseThrow();
    long kimage = slab.object(0);
    long arch = image.member("kimage", kimage, "arch");
    image.corruptWord(image.symbol("kexec_crash_image"), kimage);
    image.corruptWord(image.member("kimage", kimage, "nr_segments"), 1);
    image.corruptWord(image.member("kimage_arch", arch, "backup_src_start"), SmeReading.SOURCE);
    image.corruptWord(image.member("kimage_arch", arch, "backup_src_sz"), 0x9ec00);
    image.corruptWord(image.member("kimage_arch", arch, "backup_load_addr"), SmeReading.COPY);
  }

  /// The image of the report before it was spoiled: the first free object of the CPU slab at
  /// physical 0x70000 leads to the object at physical 0x72600.
  public static FakeImage image() {
    int wanted = (SECOND_FREE - (FIRST_PFN << 12)) / 512;
    for (long seed = 1; ; seed++) {
      FakeImage image = kernel(seed).build();
      SlabImage slab = image.cache("dma-kmalloc-512").slabs().getFirst();
      List<Integer> list = new ArrayList<>(slab.cpuFreelist());
      if (list.indexOf(wanted) < 1) {
        continue;
      }
      list.removeIf(index -> index == wanted);
      list.add(1, wanted);
      for (int i = 0; i < list.size(); i++) {
        long next = i + 1 < list.size() ? slab.object(list.get(i + 1)) : 0;
        image.corruptWord(slab.slot(list.get(i)), image.encoded(slab, list.get(i), next));
      }
      loadCrashKernel(image);
      return image;
    }
  }

  /// Puts a spoiler over all pages of the low 640 KiB.
  public static void spoil(FakeImage image, SmeReading.Spoiler spoiler) {
    image
        .memory()
        .pages()
        .headMap(0xa0L)
        .replaceAll((pfn, page) -> spoiler.spoiled(pfn << 12, page));
  }
}
