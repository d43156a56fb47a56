package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.TestData;

/// The links and pointers in allocated objects of real kernels: silent as the kernel left them, and
/// a flipped bit is named with the value that the word had.
class SlabObjectsCheckTest extends ChangedDump {
  SlabObjectsCheckTest() {
    super(new SlabObjectsCheck(), "healthy");
  }

  /// Words of allocated objects that are not 0.
  private final List<Long> words = new ArrayList<>();

  @BeforeAll
  void look() throws Exception {
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        _ -> true,
        view -> {
          collect(view);
          return true;
        });
  }

  private void collect(SlabView view) {
    Slab slab = view.slab();
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (view.listOf(i) == null) {
        for (long at = slab.object(i); at < slab.object(i) + slab.cache().objectSize(); at += 8) {
          if (kernel.word(at).orElse(0) != 0) {
            words.add(at);
          }
        }
      }
    }
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.all().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void whatKernelsLeaveIsSilent(TestData data) throws Exception {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));
      assertThat(ran.findings()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("links")).isGreaterThan(10_000);
    }
  }

  @Test
  void aFlippedBitIsNamedWithTheValueThatTheWordHad() {
    Random random = new Random(23);
    int trials = 60;
    int noticed = 0;
    for (int i = 0; i < trials; i++) {
      long at = words.get(random.nextInt(words.size()));
      long before = kernel.word(at).orElseThrow();
      memory.restore().flip(physical(at), random.nextInt(64));
      for (Finding finding : run().findings()) {
        assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
        assertThat(finding.subject().address()).isEqualTo(at);
        assertThat(finding.subject().decoded()).isEqualTo(before);
        noticed++;
      }
    }
    // Of the words that are not 0 about a third are links or pointers, and a bit in two of these
    // leads nowhere.
    assertThat(noticed).isGreaterThanOrEqualTo(trials / 5);
  }

  /// RB_CLEAR_NODE: a node that is in no tree leads to itself, and keeps a child that may lie one
  /// bit away. A value one bit away that leads nowhere is a flipped bit.
  @Test
  void aClearedNodeOfATreeIsNoEmptyHead() {
    int node =
        kernel
            .struct("vmap_area", "rb_node")
            .orElseThrow()
            .member("rb_node")
            .orElseThrow()
            .offset();
    List<Long> areas = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        cache -> cache.name().equals("vmap_area"),
        view -> {
          for (int i = 0; i < view.slab().walkableObjects(); i++) {
            if (view.listOf(i) == null) {
              areas.add(view.slab().object(i) + node);
            }
          }
          return true;
        });
    assertThat(areas).hasSizeGreaterThan(20);
    for (long at : areas.subList(0, 20)) {
      memory.restore().setWord(physical(at), at).setWord(physical(at) + 8, at ^ 1L << 7);
      assertThat(run().findings()).isEmpty();
    }
    memory.restore().setWord(physical(areas.getFirst()), areas.getFirst());
    memory.setWord(physical(areas.getFirst()) + 8, areas.getFirst() ^ 1L << 40);
    assertThat(run().findings()).hasSize(1);
  }

  @Test
  void anotherValidPointerIsNotCalledWrong() {
    Random random = new Random(24);
    for (int i = 0; i < 40; i++) {
      long at = words.get(random.nextInt(words.size()));
      long other = kernel.word(words.get(random.nextInt(words.size()))).orElseThrow();
      memory.restore().setWord(physical(at), other);
      assertThat(run().findings().stream().map(Finding::cause))
          .as("0x%x for 0x%x", other, at)
          .doesNotContain(Cause.METADATA_OVERWRITTEN);
    }
  }
}
