package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Finding;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Several broken freelists of one cache: one member of its kmem_cache is to blame only if its
/// right value makes all of them right.
class CacheMemberTest {
  @TempDir private Path dir;
  private FakeImage image;

  @BeforeEach
  void build() {
    image = of(Layout.V6_1);
  }

  private static FakeImage of(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cpus(6)
        .contents(FakeKernel.Contents.ZEROS)
        .cache(FakeCache.named("victim", 240).partial(4))
        .build();
  }

  private List<Finding> findings() throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test").findings();
    }
  }

  private List<SlabImage> partial(int free) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= free)
        .toList();
  }

  @Test
  void anOverwrittenSecretIsOneFinding() throws Exception {
    long random = image.member("kmem_cache", image.cache("victim").address(), "random");
    image.corruptWord(random, image.word(random) ^ 0x1234_5678_9abc_def0L);

    assertThat(findings())
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.METADATA_OVERWRITTEN);
              assertThat(finding.subject().address()).isEqualTo(random);
            });
  }

  /// Each list is whole when it is walked by itself.
  @Test
  void listsThatAreBrokenByAnotherListLeaveTheSecretAlone() throws Exception {
    int shared = 0;
    for (SlabImage slab : image.cache("victim").slabs(SlabImage.Place.CPU_SLAB)) {
      if (slab.cpuFreelist().size() >= 2) {
        image.corruptWord(
            image.member(slab, "freelist"), slab.object(slab.cpuFreelist().getLast()));
        shared++;
      }
    }
    assertThat(shared).isGreaterThanOrEqualTo(2);

    assertThat(findings())
        .extracting(Finding::cause)
        .contains(Cause.FREELIST_CROSSLINKED)
        .doesNotContain(Cause.METADATA_OVERWRITTEN);
  }

  /// A plain word of zero anywhere in an object ends a list, but too early.
  @Test
  void zerosElsewhereInTheObjectsAreNoOtherOffset() throws Exception {
    image = of(Layout.V5_3_PLAIN);
    List<SlabImage> slabs = partial(3);
    assertThat(slabs).hasSizeGreaterThanOrEqualTo(2);
    for (SlabImage slab : slabs.subList(0, 2)) {
      image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4142_4344_4546_4748L);
    }

    assertThat(findings())
        .hasSize(2)
        .extracting(Finding::cause)
        .containsOnly(Cause.USE_AFTER_FREE_WRITE);
  }
}
