package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Slabs whose cache the lists do not show, as a user sees them.
class UnknownCacheTest {
  @TempDir private Path directory;

  private static FakeImage image() {
    return FakeKernel.of(Layout.V6_1)
        .seed(8)
        .cache(FakeCache.named("victim", 256).full(9))
        .cache(FakeCache.named("other", 64))
        .cache(FakeCache.named("third", 128))
        .build();
  }

  private List<Finding> findings(FakeImage image) throws IOException {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(directory), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test").findings();
    }
  }

  @Test
  void aHealthyKernelHasNone() throws IOException {
    assertThat(findings(image())).isEmpty();
  }

  @Test
  void slabsThatNameOneStrangeCacheAreOneFinding() throws IOException {
    FakeImage image = image();
    long strange = image.cache("third").slabs().getFirst().object(0);
    List<SlabImage> slabs = image.cache("victim").slabs(SlabImage.Place.FULL);
    slabs.forEach(slab -> image.corruptWord(image.member(slab, "slab_cache"), strange));
    List<Finding> lists =
        findings(image).stream().filter(f -> f.check().equals("slab.lists")).toList();
    assertThat(lists).hasSize(1);
    assertThat(lists.getFirst().claim())
        .startsWith("slab_cache of 9 slabs is 0x%x".formatted(strange))
        .contains("0x%x".formatted(slabs.getFirst().address()))
        .contains("and 5 more");
  }

  @Test
  void namesOfCachesAreEscapedWhereSeveralMissTheirSlabs() throws IOException {
    FakeImage image = image();
    for (String name : List.of("victim", "other")) {
      long text = image.word(image.member("kmem_cache", image.cache(name).address(), "name"));
      image.corrupt(text + 1, (byte) 0x1b, (byte) '[');
      image.corruptWord(
          image.member(image.cache(name).slabs(SlabImage.Place.FULL).getFirst(), "slab_cache"),
          0x4141_4141_4141_4141L);
    }
    List<Finding> findings = findings(image);
    assertThat(findings).isNotEmpty();
    assertThat(findings)
        .anySatisfy(finding -> assertThat(finding.claim()).contains("missing from nr_slabs"));
    assertThat(findings).noneMatch(finding -> finding.toString().contains("\u001b"));
  }

  @Test
  void aCacheWhoseLinksAreOverwrittenIsOneFinding() throws IOException {
    FakeImage image = image();
    long link = image.member("kmem_cache", image.cache("victim").address(), "list");
    image.corruptWord(link, 0x4141_4141_4141_4141L).corruptWord(link + 8, 0x4242_4242_4242_4242L);
    assertThat(findings(image))
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.LIST_BROKEN);
              assertThat(finding.subject().address()).isEqualTo(link);
              assertThat(finding.claim()).contains("both of whose words are wrong");
            });
  }

  @Test
  void objectsAreListedOnlyIfAskedFor() throws Exception {
    try (Analyzer analyzer =
        Analyzer.open(image().writeKdump(directory), AnalysisOptions.DEFAULT)) {
      List<SlabListing> without = new ArrayList<>();
      analyzer.slabs("victim", false, without::add);
      List<SlabListing> with = new ArrayList<>();
      analyzer.slabs("victim", true, with::add);
      assertThat(without).hasSizeGreaterThan(9).allMatch(slab -> slab.objects().isEmpty());
      assertThat(with)
          .hasSameSizeAs(without)
          .allMatch(slab -> slab.objects().size() == slab.total());
    }
  }
}
