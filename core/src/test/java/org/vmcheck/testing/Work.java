package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ForkJoinPool;
import org.vmcheck.io.Cancellation;

/// Work counted in rounds of the loops that ask the deadline, and not in seconds.
public final class Work {
  /// What doubling an input may do to the work: n log n of a thousand, and a constant part.
  private static final double MOST = 2.3;

  private Work() {}

  /// Reads an input; what it answers is of no account.
  @FunctionalInterface
  public interface Reading<T> {
    void read(T input) throws Exception;
  }

  /// Makes an input of a size.
  @FunctionalInterface
  public interface Input<T> {
    T of(int size) throws Exception;
  }

  /// The rounds that reading takes; an input that is refused takes some too. One thread reads: the
  /// count of several would miss some.
  public static long steps(Reading<Void> reading) {
    Cancellation counting = Cancellation.after(Optional.empty());
    try (ForkJoinPool one = new ForkJoinPool(1)) {
      one.submit(() -> counting.run(() -> read(reading))).join();
    }
    return counting.steps();
  }

  private static Void read(Reading<Void> reading) {
    try {
      reading.read(null);
    } catch (RuntimeException bug) {
      throw bug;
    } catch (Exception _) {
      // Refusing is one way of answering.
    }
    return null;
  }

  /// Doubles an input three times: the work at most doubles each time, and a little.
  ///
  /// @param size of the smallest input; its reading must take rounds that are counted
  public static <T> void growsLinearly(int size, Input<T> input, Reading<T> reading)
      throws Exception {
    growsLinearly(size, input, reading, 8);
  }

  /// @param most bytes, lines or whatever the size counts that may be read in one round
  public static <T> void growsLinearly(int size, Input<T> input, Reading<T> reading, int most)
      throws Exception {
    List<Long> work = new ArrayList<>();
    for (int doubled = 0; doubled <= 3; doubled++) {
      T made = input.of(size << doubled);
      work.add(steps(_ -> reading.read(made)));
    }
    assertThat(work.getFirst())
        .as("counted rounds of the smallest input")
        .isGreaterThanOrEqualTo(size / most);
    for (int i = 1; i < work.size(); i++) {
      assertThat((double) work.get(i) / work.get(i - 1))
          .as("work of inputs that double: %s", work)
          .isLessThanOrEqualTo(MOST);
    }
  }
}
