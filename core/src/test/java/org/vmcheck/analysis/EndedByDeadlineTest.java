package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.check.Check;
import org.vmcheck.check.CheckContext;
import org.vmcheck.check.Checks;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Verdict;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// A healthy kernel, and a deadline that passes at any moment of its examination: what was not
/// looked at is said, is never called intact, and is never called damaged.
class EndedByDeadlineTest {
  /// Asked how often, and from which time on the answer is yes.
  private static final class Clock implements BooleanSupplier {
    private final long last;
    private long asked;
    private boolean isOver;

    Clock(long last) {
      this.last = last;
    }

    @Override
    public synchronized boolean getAsBoolean() {
      isOver |= asked++ >= last;
      return isOver;
    }
  }

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V5_10_SLAB, Layout.V6_1, Layout.ALL.getLast());
  }

  private static List<CheckOutcome> run(FakeImage image, Clock clock) {
    CheckContext context =
        new CheckContext(image.dump(), new KernelSearch.Found(image.kernel()), 1, false, clock);
    List<CheckOutcome> outcomes = new ArrayList<>();
    for (Check check : Checks.all()) {
      outcomes.add(check.run(context));
    }
    return outcomes;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void isNeitherIntactNorDamaged(Layout layout) {
    FakeKernel kernel =
        FakeKernel.of(layout).seed(3).cache(FakeCache.named("plain", 256).partial(12).full(2));
    // SLAB's debug caches keep their lists elsewhere.
    FakeImage image =
        layout == Layout.V5_10_SLAB
            ? kernel.build()
            : kernel.cache(FakeCache.named("debug", 120).debug().partial(6).full(2)).build();
    Clock never = new Clock(Long.MAX_VALUE);
    List<CheckOutcome> whole = run(image, never);
    assertThat(VerdictRule.judge(whole, List.of(), false)).isInstanceOf(Verdict.Intact.class);

    for (long last : moments(never.asked)) {
      Clock clock = new Clock(last);
      List<CheckOutcome> outcomes = run(image, clock);
      Verdict verdict = VerdictRule.judge(outcomes, List.of(), false);
      assertThat(clock.isOver).isTrue();
      assertThat(verdict)
          .as("over when asked for the time no. %d of %d: %s", last, never.asked, outcomes)
          .isInstanceOf(Verdict.Undetermined.class);
    }
  }

  /// The first, the last, and some between, more of them where the answers begin.
  private static Set<Long> moments(long asked) {
    Set<Long> moments = new TreeSet<>();
    for (long at = 0; at < asked; at += 1 + at / 8) {
      moments.add(at);
      moments.add(asked - 1 - at);
    }
    return moments;
  }
}
