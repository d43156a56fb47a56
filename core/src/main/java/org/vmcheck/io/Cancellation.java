package org.vmcheck.io;

import java.time.Duration;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/// When work on one dump has to end. One token is in force for all work on it, in whatever layer:
/// opening, symbol search, surveys, side-cars, reports.
///
/// At the deadline what can end with a part of its answer does so ([#isOver]); a little later all
/// else is thrown out of its loop ([#check]). Loops over what a file holds call one of the two once
/// a round, so the rounds are also a count of work that does not depend on a machine ([#steps]).
public final class Cancellation {
  private static final ScopedValue<Cancellation> CURRENT = ScopedValue.newInstance();

  /// The clock costs more than a round of most loops.
  private static final int CLOCK_EVERY = 64;

  /// Time for the answer that a part of the work gives.
  private static final Duration LONGEST_GRACE = Duration.ofSeconds(10);

  private static final Duration SHORTEST_GRACE = Duration.ofMillis(500);

  /// No deadline.
  public static final Cancellation NEVER = new Cancellation(Optional.empty());

  private final Optional<Duration> limit;
  private final long start = System.nanoTime();
  private final long soft;
  private final long hard;
  private volatile boolean cancelled;

  /// Not atomic: several threads lose some, which is of no account, and share no lock.
  private long steps;

  private Cancellation(Optional<Duration> limit) {
    this.limit = limit;
    this.soft = limit.map(Cancellation::nanos).orElse(Long.MAX_VALUE);
    long grace = Math.clamp(soft / 4, SHORTEST_GRACE.toNanos(), LONGEST_GRACE.toNanos());
    this.hard = soft > Long.MAX_VALUE - grace ? Long.MAX_VALUE : soft + grace;
  }

  private static long nanos(Duration limit) {
    return limit.compareTo(Duration.ofNanos(Long.MAX_VALUE)) > 0 ? Long.MAX_VALUE : limit.toNanos();
  }

  /// A token whose time begins now.
  public static Cancellation after(Optional<Duration> limit) {
    return new Cancellation(limit);
  }

  /// The token in force for the calling thread; [#NEVER] outside of [#run].
  public static Cancellation current() {
    return CURRENT.orElse(NEVER);
  }

  /// Work that a token is in force for.
  @FunctionalInterface
  public interface Work<T, X extends Exception> {
    T run() throws X;
  }

  /// Runs work with this token in force. Threads that the work starts do not have it by themselves:
  /// they call this too.
  public <T, X extends Exception> T run(Work<T, X> work) throws X {
    return ScopedValue.where(CURRENT, this).call(work::run);
  }

  /// Ends the work now, whatever its deadline.
  public void cancel() {
    cancelled = true;
  }

  /// Whether the deadline has passed: who can answer with a part does so now.
  public boolean isOver() {
    steps++;
    return cancelled || (soft != Long.MAX_VALUE && System.nanoTime() - start > soft);
  }

  /// [#isOver] for work of which a part says nothing and without which an answer is none the worse:
  /// the time behind the deadline is for what needs it.
  ///
  /// @throws CancelledException once the deadline has passed
  public void endWhenOver() {
    if (isOver()) {
      throw new CancelledException(words());
    }
  }

  /// [#isOver] for who takes a supplier.
  public BooleanSupplier asSupplier() {
    return this::isOver;
  }

  /// One round of a loop; throws once the deadline has passed by more than a part of an answer
  /// takes.
  ///
  /// @throws CancelledException then
  public void step() {
    if (cancelled || (++steps % CLOCK_EVERY == 0 && isPast())) {
      throw new CancelledException(words());
    }
  }

  /// [#step] of the token in force.
  public static void check() {
    current().step();
  }

  private boolean isPast() {
    return hard != Long.MAX_VALUE && System.nanoTime() - start > hard;
  }

  /// How long the work may take in all, the time for a partial answer with it; empty if it may take
  /// for ever.
  public Optional<Duration> hardLimit() {
    return hard == Long.MAX_VALUE ? Optional.empty() : Optional.of(Duration.ofNanos(hard));
  }

  /// Rounds of loops so far, of one thread exactly.
  public long steps() {
    return steps;
  }

  /// What ended the work, as in `the deadline of 5 s`.
  public String words() {
    return limit.map(time -> "the deadline of " + words(time)).orElse("a request to stop");
  }

  private static String words(Duration time) {
    if (time.compareTo(Duration.ofSeconds(1)) < 0) {
      return time.toMillis() + " ms";
    }
    return time.toSeconds() % 60 == 0 ? time.toMinutes() + " min" : time.toSeconds() + " s";
  }
}
