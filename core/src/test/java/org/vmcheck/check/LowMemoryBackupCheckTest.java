package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// The two copies of the low range, and who wrote into it last.
class LowMemoryBackupCheckTest {
  private static final long START = 0x1000;
  private static final long BYTES = 0x9e000;
  private static final long COPY = 0x140_0000;

  private static FakeImage image(boolean loaded) {
    FakeImage image =
        FakeKernel.of(Layout.V5_3_PLAIN)
            .seed(4)
            .commandLine("crashkernel=256M")
            .ram(COPY >>> 12, 0xa0, 0)
            .cache(FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x20, 0x30, 0x40))
            .cache(FakeCache.named("kmalloc-1k", 1024).full(2))
            .build();
    if (loaded) {
      SlabImage slab =
          image.cache("kmalloc-1k").slabs().stream()
              .filter(s -> s.place() == SlabImage.Place.FULL)
              .findFirst()
              .orElseThrow();
      long kimage = slab.object(0);
      image.corruptWord(image.symbol("kexec_crash_image"), kimage);
      image.corruptWord(image.member("kimage", kimage, "nr_segments"), 1);
      long arch = image.member("kimage", kimage, "arch");
      image.corruptWord(image.member("kimage_arch", arch, "backup_src_start"), START);
      image.corruptWord(image.member("kimage_arch", arch, "backup_src_sz"), BYTES);
      image.corruptWord(image.member("kimage_arch", arch, "backup_load_addr"), COPY);
    }
    return image;
  }

  private static Map<Long, byte[]> low(FakeImage image) {
    Map<Long, byte[]> low = new TreeMap<>();
    image.memory().pages().headMap(0x9fL).forEach((pfn, page) -> low.put(pfn, page.clone()));
    return low;
  }

  private static void copyAway(FakeImage image) {
    for (long pfn = COPY >>> 12; pfn < (COPY + BYTES) >>> 12; pfn++) {
      image.memory().store(pfn, new byte[4096]);
    }
    low(image)
        .forEach(
            (pfn, page) -> {
              if (pfn > 0) {
                image.memory().store(pfn - 1 + (COPY >>> 12), page);
              }
            });
  }

  private static CheckContext context(FakeImage image) {
    return new CheckContext(
        image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
  }

  private static CheckOutcome.Ran run(FakeImage image) {
    return (CheckOutcome.Ran) new LowMemoryBackupCheck().run(context(image));
  }

  @Test
  void withoutACrashKernelThereIsNoBackup() {
    assertThat(run(image(false)).answer()).isEqualTo("no crash kernel was loaded");
  }

  @Test
  void aDumpByKdumpHoldsTheCopyAlone() {
    CheckOutcome.Ran ran = run(image(true));

    assertThat(ran.answer()).contains("is the backup copy");
    assertThat(ran.facts()).containsEntry("copy", "0x1400000");
    assertThat(ran.findings()).isEmpty();
  }

  @Test
  void aZeroCopyWasNotUsed() {
    FakeImage image = image(true);
    for (long pfn = COPY >>> 12; pfn < (COPY + BYTES) >>> 12; pfn++) {
      image.memory().store(pfn, new byte[4096]);
    }

    assertThat(run(image).answer()).contains("not used");
    assertThat(run(image).findings()).isEmpty();
  }

  @Test
  void aCaptureKernelThatRunsIsRecognisedAndTheCopyFits() {
    FakeImage image = image(true);
    copyAway(image);
    for (long pfn : List.of(0x20L, 0x30L, 0x40L)) {
      byte[] page = new byte[4096];
      for (int at = 0; at < 4096; at++) {
        page[at] = (byte) (at % 251);
      }
      byte[] line = "BOOT_IMAGE=/vmlinuz elfcorehdr=867700K".getBytes(StandardCharsets.US_ASCII);
      System.arraycopy(line, 0, page, 0x300, line.length);
      image.memory().store(pfn, page);
    }

    CheckContext context = context(image);
    CheckOutcome.Ran ran = (CheckOutcome.Ran) new LowMemoryBackupCheck().run(context);

    assertThat(ran.answer()).contains("overwritten by the capture kernel");
    assertThat(ran.findings())
        .extracting(Finding::cause)
        .containsExactly(Cause.LOW_MEMORY_OVERWRITTEN);
    assertThat(ran.findings().getFirst().evidence().getFirst().sentence())
        .contains("backup copy", "close");
    assertThat(ran.facts()).containsEntry("freelists that break in the copy", "0");
    assertThat(new SlabFreelistCheck().run(context).findingsIfRan()).isEmpty();
  }

  @Test
  void withoutACopyTheTracesAloneTell() {
    FakeImage image = image(false);
    byte[] page = new byte[4096];
    java.util.Arrays.fill(page, (byte) 0x17);
    page[0x1fe] = 0x55;
    page[0x1ff] = (byte) 0xaa;
    System.arraycopy("HdrS".getBytes(StandardCharsets.US_ASCII), 0, page, 0x202, 4);
    image.memory().store(0x30, page);

    CheckOutcome.Ran ran = run(image);

    assertThat(ran.findings())
        .extracting(Finding::cause)
        .containsExactly(Cause.LOW_MEMORY_OVERWRITTEN);
  }

  @Test
  void realDamageIsNotPutDownToTheCaptureKernelByACopyOfZeros() {
    FakeImage image = image(true);
    for (long pfn = COPY >>> 12; pfn < (COPY + BYTES) >>> 12; pfn++) {
      image.memory().store(pfn, new byte[4096]);
    }
    SlabImage slab = image.cache("dma-kmalloc-512").slabs().getFirst();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141414141414141L);

    CheckContext context = context(image);
    CheckOutcome.Ran ran = (CheckOutcome.Ran) new LowMemoryBackupCheck().run(context);

    assertThat(ran.answer()).contains("not used");
    assertThat(ran.findings()).isEmpty();
    assertThat(new SlabFreelistCheck().run(context).findingsIfRan()).hasSize(1);
  }

  @Test
  void damageInLowMemoryWithoutTracesIsNotPutDownToTheCaptureKernel() {
    FakeImage image = image(true);
    copyAway(image);
    SlabImage slab = image.cache("dma-kmalloc-512").slabs().getFirst();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141414141414141L);
    copyAway(image);

    assertThat(run(image).findings()).isEmpty();
  }
}
