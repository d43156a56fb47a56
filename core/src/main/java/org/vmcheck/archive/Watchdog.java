package org.vmcheck.archive;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.vmcheck.io.Cancellation;

/// Has each incident judged in a thread of its own, and waits for it no longer than its deadline
/// and a little: what hangs in a read or in a library is left behind, and the scan goes on.
final class Watchdog {
  /// What an analysis may take beyond its deadline to say what it has.
  private static final Duration GRACE = Duration.ofSeconds(3);

  /// For analysing what nests; the main thread has as much.
  private static final long STACK_BYTES = 8L << 20;

  private final Judge judge;
  private final Function<Incident, Judge.Judged> work;
  private final Optional<Duration> deadline;

  Watchdog(Judge judge, Optional<Duration> deadline) {
    this(judge, judge::judge, deadline);
  }

  Watchdog(Judge judge, Function<Incident, Judge.Judged> work, Optional<Duration> deadline) {
    this.judge = judge;
    this.work = work;
    this.deadline = deadline;
  }

  Judge.Judged judge(Incident incident) {
    long start = System.nanoTime();
    Cancellation cancellation = Cancellation.after(deadline);
    CompletableFuture<Judge.Judged> judged = new CompletableFuture<>();
    Runnable watched =
        () -> {
          try {
            judged.complete(cancellation.run(() -> work.apply(incident)));
          } catch (Throwable thrown) {
            judged.completeExceptionally(thrown);
          }
        };
    Thread thread = new Thread(null, watched, "incident", STACK_BYTES);
    thread.setDaemon(true);
    try {
      thread.start();
      return cancellation.hardLimit().isEmpty()
          ? judged.get()
          : judged.get(
              cancellation.hardLimit().get().plus(GRACE).toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException _) {
      cancellation.cancel();
      return judge.stopped(
          incident, cancellation.words() + ", which it did not keep to by itself,", start);
    } catch (ExecutionException thrown) {
      return judge.broken(incident, thrown.getCause(), start);
    } catch (InterruptedException _) {
      cancellation.cancel();
      Thread.currentThread().interrupt();
      return judge.stopped(incident, "an interrupt", start);
    } catch (OutOfMemoryError noThread) {
      return judge.broken(incident, noThread, start);
    }
  }
}
