package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;

/// Decodes every stored page, in parallel and past the page cache.
public final class PageSweep {
  /// Frames that a thread takes at a time: enough to be rarely asked for, few enough to share out a
  /// small dump.
  private static final long CHUNK = 4096;

  private final Dump dump;
  private final OpenOptions.Progress progress;
  private final BooleanSupplier stop;
  private final AtomicLong nextPfn = new AtomicLong();
  private final AtomicLong decodedInAll = new AtomicLong();
  private final ConcurrentSkipListMap<Long, Chunk> chunks = new ConcurrentSkipListMap<>();
  private volatile boolean stopped;

  /// What came out.
  ///
  /// @param decoded pages that decoded whole
  /// @param unreadable pages that the system could not deliver: the file shrank or its device
  ///   failed
  /// @param defects runs of pages that are not there whole, in the order of the frames
  /// @param unlisted defects beyond the list's limit
  /// @param damaged pages in all defects, by kind
  /// @param finished whether all stored pages were looked at
  public record Result(
      long decoded,
      long unreadable,
      List<ContainerAudit.Defect> defects,
      long unlisted,
      Map<PageRead.Damage, Long> damaged,
      boolean finished) {
    public Result {
      defects = List.copyOf(defects);
      damaged = damaged.isEmpty() ? Map.of() : new EnumMap<>(damaged);
    }
  }

  /// Damage found in one chunk of frames.
  private record Chunk(
      List<ContainerAudit.Defect> defects, long unlisted, Map<PageRead.Damage, Long> counts) {}

  private PageSweep(Dump dump, OpenOptions.Progress progress, BooleanSupplier stop) {
    this.dump = dump;
    this.progress = progress;
    this.stop = stop;
  }

  /// Decodes every stored page.
  ///
  /// @param threads how many at once
  /// @param progress told pages done of pages stored
  /// @param stop asked after each chunk; true ends the sweep early
  public static Result over(
      Dump dump, int threads, OpenOptions.Progress progress, BooleanSupplier stop) {
    return new PageSweep(dump, progress, stop).run(Math.max(1, threads));
  }

  private Result run(int threads) {
    long decoded = 0;
    long unreadable = 0;
    try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
      List<Future<long[]>> workers = new ArrayList<>();
      for (int i = 0; i < threads; i++) {
        workers.add(pool.submit(this::work));
      }
      for (Future<long[]> worker : workers) {
        long[] counts = worker.get();
        decoded += counts[0];
        unreadable += counts[1];
      }
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case RuntimeException bug -> throw bug;
        // A lost map among them: whoever asked knows what to do with it.
        case Error error -> throw error;
        default -> throw new IllegalStateException(e);
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      stopped = true;
    }
    List<ContainerAudit.Defect> defects = new ArrayList<>();
    Map<PageRead.Damage, Long> damaged = new EnumMap<>(PageRead.Damage.class);
    long unlisted = 0;
    for (Chunk chunk : chunks.values()) {
      unlisted += chunk.unlisted;
      chunk.counts.forEach((kind, count) -> damaged.merge(kind, count, Long::sum));
      for (ContainerAudit.Defect defect : chunk.defects) {
        if (defects.size() < ContainerAudit.MAX_LISTED) {
          defects.add(defect);
        } else {
          unlisted++;
        }
      }
    }
    return new Result(decoded, unreadable, defects, unlisted, damaged, !stopped);
  }

  /// Takes chunk after chunk.
  ///
  /// @return pages decoded, pages unreadable
  private long[] work() {
    PhysicalMemory memory = dump.memory();
    PageBuffer page = PageBuffer.of(memory);
    long stored = dump.container().pages().stored();
    long decoded = 0;
    long unreadable = 0;
    while (true) {
      if (stop.getAsBoolean() || Thread.currentThread().isInterrupted()) {
        stopped = true;
        return new long[] {decoded, unreadable};
      }
      long from = nextPfn.getAndUpdate(at -> at < 0 ? at : afterChunk(memory, at));
      if (from < 0) {
        return new long[] {decoded, unreadable};
      }
      ContainerAudit.Collector collector = new ContainerAudit.Collector();
      long before = decoded;
      long to = from + CHUNK;
      for (long pfn = memory.nextStored(from);
          pfn >= 0 && pfn < to;
          pfn = memory.nextStored(pfn + 1)) {
        switch (memory.readInto(pfn, page)) {
          case PageRead.Present _ -> {
            decoded++;
            collector.good();
          }
          case PageRead.Damaged damaged -> collector.bad(damaged);
          case PageRead.Unreadable _ -> unreadable++;
          case PageRead.Excluded _, PageRead.NotInDump _ -> {}
        }
      }
      if (collector.damaged() > 0) {
        chunks.put(from, new Chunk(collector.runs(), collector.unlisted(), collector.counts()));
      }
      progress.at("decoding pages", decodedInAll.addAndGet(decoded - before), stored);
    }
  }

  /// Where the next chunk starts: at a stored frame, so that holes cost nothing; -1 at the end.
  private static long afterChunk(PhysicalMemory memory, long at) {
    return memory.nextStored(at + CHUNK);
  }
}
