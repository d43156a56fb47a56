package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// What is added up of slabs, of all and node by node, and the heads that are kept of a few.
class SlabCountsTest {
  private final FakeImage image =
      FakeKernel.of(Layout.V6_1)
          .seed(3)
          .cache(FakeCache.named("victim", 256).partial(6).full(2))
          .build();
  private final Kernel kernel = image.kernel();
  private final MemMap memMap = MemMap.of(kernel).orElseThrow();

  private Slab slab(SlabImage built) {
    return SlabSurvey.views(kernel, memMap, List.of(built.pfn())).getFirst().slab();
  }

  @Test
  void slabsAreCountedAndTakenBack() {
    SlabImage partial = image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    SlabImage full = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    int inuse = partial.objects() - partial.freelist().size();
    SlabCounts counts = new SlabCounts(2);

    counts.count(slab(partial), 0, 1);
    counts.count(slab(full), 1, 1);
    counts.count(slab(full), -1, 1);

    assertThat(counts.slabs).isEqualTo(3);
    assertThat(counts.objects).isEqualTo(partial.objects() + 2L * full.objects());
    assertThat(counts.inuse).isEqualTo(inuse + 2L * full.objects());
    assertThat(counts.slabsOf).containsExactly(1, 1);
    assertThat(counts.objectsOf).containsExactly(partial.objects(), full.objects());

    counts.count(slab(full), 1, -1);
    assertThat(counts.slabs).isEqualTo(2);
    assertThat(counts.objects).isEqualTo((long) partial.objects() + full.objects());
    assertThat(counts.inuse).isEqualTo((long) inuse + full.objects());
    assertThat(counts.slabsOf).containsExactly(1, 0);
    assertThat(counts.objectsOf).containsExactly(partial.objects(), 0);

    SlabCounts sum = new SlabCounts(2);
    counts.onCpuFreelists = 5;
    sum.add(counts);
    sum.add(counts);
    assertThat(sum.slabs).isEqualTo(4);
    assertThat(sum.objects).isEqualTo(2 * counts.objects);
    assertThat(sum.inuse).isEqualTo(2 * counts.inuse);
    assertThat(sum.onCpuFreelists).isEqualTo(10);
    assertThat(sum.slabsOf).containsExactly(2, 0);
    assertThat(sum.objectsOf).containsExactly(2L * partial.objects(), 0);
  }

  @Test
  void headsAreThoseOfTheSlabsBelowAFrame() {
    SlabHeads all = SlabHeads.below(kernel, memMap, memMap.endPfn());
    for (SlabImage built : image.cache("victim").slabs()) {
      Slab slab = slab(built);
      assertThat(all.slabs()).extracting(Slab::address).contains(built.address());
      List<SlabHeads.Head> heads =
          all.heads().stream().filter(head -> head.slab().address() == built.address()).toList();
      List<SlabHeads.Head> own = heads.stream().filter(head -> head.cpu() < 0).toList();
      assertThat(own).hasSize(built.freelist().isEmpty() ? 0 : 1);
      for (SlabHeads.Head head : own) {
        assertThat(head.first()).isEqualTo(built.object(built.freelist().getFirst()));
        assertThat(head.slot()).isEqualTo(image.member(built, "freelist"));
        assertThat(image.word(head.slot())).isEqualTo(head.first());
        assertThat(head.expectedLength()).isEqualTo(slab.objects() - slab.inuse());
      }
      List<SlabHeads.Head> cpus = heads.stream().filter(head -> head.cpu() >= 0).toList();
      assertThat(cpus).hasSize(built.cpuFreelist().isEmpty() ? 0 : 1);
      for (SlabHeads.Head head : cpus) {
        assertThat(head.cpu()).isEqualTo(built.cpu());
        assertThat(head.first()).isEqualTo(built.object(built.cpuFreelist().getFirst()));
        assertThat(image.word(head.slot())).isEqualTo(head.first());
        assertThat(head.expectedLength()).isEqualTo(-1);
      }
    }
    SlabImage one = image.cache("victim").slabs().getFirst();
    assertThat(SlabHeads.below(kernel, memMap, one.pfn()).slabs())
        .extracting(Slab::address)
        .doesNotContain(one.address());
    assertThat(SlabHeads.below(kernel, memMap, one.pfn() + 1).slabs())
        .extracting(Slab::address)
        .contains(one.address());
    assertThat(SlabHeads.below(kernel, memMap, 0).heads()).isEmpty();
  }
}
