package org.vmcheck.slab;

import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Work;

/// The list of caches, and all that hangs on it, takes work in proportion to the caches, whether
/// the list is whole or leads back into itself.
class SlabWorkTest {
  private static final int CACHES = 8;

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V4_14, Layout.V5_10, Layout.V6_1, Layout.V6_1_SLAB);
  }

  private static FakeImage image(Layout layout, int caches) {
    FakeKernel kernel = FakeKernel.of(layout).seed(17).cpus(1);
    for (int i = 0; i < caches; i++) {
      kernel.cache(FakeCache.named("c" + i, 104));
    }
    return kernel.build();
  }

  private static FakeImage circle(Layout layout, int caches) {
    FakeImage image = image(layout, caches);
    long middle = image.member("kmem_cache", image.cache("c" + caches / 2).address(), "list");
    long last = image.member("kmem_cache", image.cache("c" + (caches - 1)).address(), "list");
    image.corruptWord(last, middle);
    return image;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void cachesOnTheirList(Layout layout) throws Exception {
    Work.<Kernel>growsLinearly(CACHES, n -> image(layout, n).kernel(), SlabCaches::of);
    Work.<Kernel>growsLinearly(CACHES, n -> circle(layout, n).kernel(), SlabCaches::of);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsOfCaches(Layout layout) throws Exception {
    Work.<FakeImage>growsLinearly(CACHES, n -> image(layout, n), FakeImage::survey);
    Work.<FakeImage>growsLinearly(CACHES, n -> circle(layout, n), FakeImage::survey);
  }
}
