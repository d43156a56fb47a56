package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// How far the KFENCE pool goes: by the marks of its pages, else by its metadata, never by a
/// default.
class KfencePoolTest {
  private static final int OBJECTS = 100;

  /// A first pair, and one for each object.
  private static final long FRAMES = 2 + 2 * OBJECTS;

  private static KfencePool pool(FakeImage image) {
    Kernel kernel = image.kernel();
    return KfencePool.of(kernel, MemMap.of(kernel).orElseThrow());
  }

  private static long start(FakeImage image) {
    return image.physical(image.word(image.symbol("__kfence_pool"))) >>> 12;
  }

  @Test
  void theMarksOfThePagesTell() {
    FakeImage image = FakeKernel.of(Layout.V6_6).seed(3).kfence(OBJECTS).build();
    assertThat(pool(image)).isEqualTo(new KfencePool(start(image), start(image) + FRAMES));
  }

  @Test
  void theMetadataTellsWhereTheFirstMarkIsGone() {
    FakeImage image = FakeKernel.of(Layout.V6_6).seed(3).kfenceWithMetadata(OBJECTS).build();
    clearDescriptor(image, start(image) + 2);
    assertThat(pool(image)).isEqualTo(new KfencePool(start(image), start(image) + FRAMES));
  }

  @Test
  void withoutMarksAndMetadataOnlyTheFirstPairIsOfThePool() {
    FakeImage image = FakeKernel.of(Layout.V6_6).seed(3).kfence(OBJECTS).build();
    clearDescriptor(image, start(image) + 2);
    assertThat(pool(image)).isEqualTo(new KfencePool(start(image), start(image) + 2));
  }

  @Test
  void aMissingPageOfDescriptorsDoesNotEndThePool() {
    FakeImage image = FakeKernel.of(Layout.V6_6).seed(3).kfence(OBJECTS).build();
    long missing = image.descriptor(start(image) + 40) & -4096;
    image.exclude(image.physical(missing) >>> 12);
    assertThat(pool(image)).isEqualTo(new KfencePool(start(image), start(image) + FRAMES));
  }

  private static void clearDescriptor(FakeImage image, long pfn) {
    image.fill(image.descriptor(pfn), 0, 64);
  }
}
