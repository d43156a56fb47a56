package org.vmcheck.archive;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

/// A worker of many: takes incidents from the catalogue's queue, largest first, until it is empty.
/// What another worker is at it waits for, and takes over if that one dies.
public final class QueueScanner {
  private static final long POLL_MILLIS = 500;

  private final Catalogue catalogue;
  private final BatchScanner.Options options;
  private final BatchScanner.Listener listener;
  private final Claims claims;
  private final Map<String, BatchScanner> scanners = new ConcurrentHashMap<>();
  private final AtomicInteger problems = new AtomicInteger();
  private final AtomicInteger gone = new AtomicInteger();

  private QueueScanner(
      Catalogue catalogue,
      BatchScanner.Options options,
      BatchScanner.Listener listener,
      Claims claims) {
    this.catalogue = catalogue;
    this.options = options;
    this.listener = listener;
    this.claims = claims;
  }

  /// Works until the queue is empty.
  ///
  /// @param options of which the origin does not count: each incident in the queue has its own
  public static BatchScanner.Summary scan(
      Catalogue catalogue, BatchScanner.Options options, BatchScanner.Listener listener)
      throws IOException {
    long start = System.nanoTime();
    listener.planned(catalogue.queued(), 0, 0);
    try (Claims claims = new Claims(catalogue)) {
      QueueScanner scanner = new QueueScanner(catalogue, options, listener, claims);
      scanner.workers();
      return scanner.summary(start);
    }
  }

  private void workers() throws IOException {
    int jobs = BatchScanner.jobs(options);
    try (ExecutorService workers = Executors.newFixedThreadPool(jobs)) {
      List<Future<?>> futures = new ArrayList<>();
      for (int i = 0; i < jobs; i++) {
        futures.add(
            workers.submit(
                () -> {
                  work();
                  return null;
                }));
      }
      for (Future<?> future : futures) {
        try {
          future.get();
        } catch (ExecutionException failure) {
          workers.shutdownNow();
          switch (failure.getCause()) {
            case IOException io -> throw io;
            case RuntimeException bug -> throw bug;
            case null, default -> throw new IllegalStateException(failure.getCause());
          }
        } catch (InterruptedException _) {
          workers.shutdownNow();
          Thread.currentThread().interrupt();
          throw new IOException("interrupted; what was judged is in the catalogue");
        }
      }
    }
  }

  private void work() throws IOException, InterruptedException {
    while (!Thread.currentThread().isInterrupted()) {
      Optional<Catalogue.Queued> next = claims.next();
      if (next.isPresent()) {
        judge(next.get());
      } else if (catalogue.queued() == 0) {
        return;
      } else {
        Thread.sleep(POLL_MILLIS);
      }
    }
  }

  private void judge(Catalogue.Queued queued) throws IOException {
    IncidentKey key = queued.key();
    List<Incident> found = new ArrayList<>();
    Incidents.ofFiles(
        List.of(key.location().path()),
        new Incidents.Sink() {
          @Override
          public void incident(Incident incident) {
            if (incident.location().equals(key.location())) {
              found.add(incident);
            }
          }

          @Override
          public void problem(FileUri where, String what, boolean complete) {
            problems.incrementAndGet();
            listener.problem(where, what);
          }
        });
    if (found.isEmpty()) {
      // Where it is unreadable only from here, the next scan of the tree queues it again.
      gone.incrementAndGet();
    } else {
      scanners
          .computeIfAbsent(
              key.origin(),
              origin ->
                  BatchScanner.ofQueue(catalogue, options.withOrigin(origin), listener, claims))
          .judgeQueued(found.getFirst(), queued.attempts());
    }
    if (!Thread.currentThread().isInterrupted()) {
      catalogue.dequeue(key);
    }
  }

  private BatchScanner.Summary summary(long start) {
    BatchScanner.Summary sum =
        new BatchScanner.Summary(
            gone.get(), 0, 0, gone.get(), problems.get(), 0, 0, 0, Map.of(), 0, 0);
    for (BatchScanner scanner : scanners.values()) {
      BatchScanner.Summary part = scanner.soFar(start);
      Map<String, Integer> verdicts = new TreeMap<>(sum.verdicts());
      part.verdicts().forEach((verdict, count) -> verdicts.merge(verdict, count, Integer::sum));
      sum =
          new BatchScanner.Summary(
              sum.incidents() + part.incidents(),
              sum.judged() + part.judged(),
              sum.unchanged() + part.unchanged(),
              sum.vanished(),
              sum.problems() + part.problems(),
              sum.ioTroubles() + part.ioTroubles(),
              sum.bugs() + part.bugs(),
              sum.withoutDump() + part.withoutDump(),
              verdicts,
              sum.bytes() + part.bytes(),
              0);
    }
    return new BatchScanner.Summary(
        sum.incidents(),
        sum.judged(),
        sum.unchanged(),
        sum.vanished(),
        sum.problems(),
        sum.ioTroubles(),
        sum.bugs(),
        sum.withoutDump(),
        sum.verdicts(),
        sum.bytes(),
        (System.nanoTime() - start) / 1e9);
  }
}
