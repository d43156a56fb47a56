package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;

/// Decodes stored pages, in parallel and past the page cache: all of them, or a sample that is
/// spread evenly over the file.
public final class PageSweep {
  /// Frames that a thread takes at a time: enough to be rarely asked for, few enough to share out a
  /// small dump.
  private static final long CHUNK = 2048;

  /// Pages of a sample that a thread takes at a time.
  private static final long SAMPLE_CHUNK = 256;

  private final PhysicalMemory memory;
  private final OpenOptions.Progress progress;
  private final BooleanSupplier stop;

  /// Pages of the sample; 0 for every stored page.
  private final long sample;

  /// Whether pages that are stored as they are are read as well.
  private final boolean rawToo;

  private final long stored;
  private final AtomicLong next = new AtomicLong();
  private final AtomicLong decoded = new AtomicLong();
  private final AtomicLong unreadable = new AtomicLong();
  private final AtomicReference<Throwable> failure = new AtomicReference<>();
  private final ConcurrentSkipListMap<Long, Chunk> chunks = new ConcurrentSkipListMap<>();
  private final List<Thread> workers = new ArrayList<>();
  private volatile boolean cancelled;
  private volatile boolean stopped;

  /// What came out.
  ///
  /// @param decoded pages that decoded whole
  /// @param unreadable pages that the system could not deliver: the file shrank or its device
  ///   failed
  /// @param wanted pages that were to be decoded: all stored ones, or the sample
  /// @param defects runs of pages that are not there whole, in the order of the frames
  /// @param unlisted defects beyond the list's limit
  /// @param damaged pages in all defects, by kind
  /// @param finished whether all pages that were wanted were looked at
  public record Result(
      long decoded,
      long unreadable,
      long wanted,
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

  private PageSweep(
      Dump dump, long sample, boolean rawToo, OpenOptions.Progress progress, BooleanSupplier stop) {
    this.memory = dump.memory();
    this.stored = dump.container().pages().stored();
    this.sample = sample;
    this.rawToo = rawToo;
    this.progress = progress;
    this.stop = stop;
  }

  /// Reads and decodes every stored page.
  ///
  /// @param threads how many at once
  /// @param progress told pages done of pages stored
  /// @param stop asked after each chunk; true ends the sweep early
  public static Result over(
      Dump dump, int threads, OpenOptions.Progress progress, BooleanSupplier stop) {
    return new PageSweep(dump, 0, true, progress, stop).finish(threads);
  }

  /// Begins to decode the packed pages of a dump beside whatever else is read of it; those that are
  /// stored as they are are found and not read.
  ///
  /// @param all pages of a dump that are all decoded; of one that stores more, a sample is
  /// @param sample pages of that sample
  /// @param threads how many work from now on; 0 for none until [#finish]
  /// @param stop asked after each chunk; true ends the sweep early
  public static PageSweep start(
      Dump dump, long all, long sample, int threads, BooleanSupplier stop) {
    long stored = dump.container().pages().stored();
    PageSweep sweep =
        new PageSweep(dump, stored <= all ? 0 : sample, false, (what, done, total) -> {}, stop);
    sweep.startWorkers(threads);
    return sweep;
  }

  private void startWorkers(int threads) {
    for (int i = 0; i < threads; i++) {
      workers.add(Thread.ofPlatform().daemon().name("page-sweep-" + i).start(this::work));
    }
  }

  /// Decodes what is left and waits for the end.
  ///
  /// @param threads how many work from now on, the caller among them
  public Result finish(int threads) {
    startWorkers(threads - 1 - workers.size());
    work();
    join();
    switch (failure.get()) {
      case null -> {}
      case RuntimeException bug -> throw bug;
      // A lost map among them: whoever asked knows what to do with it.
      case Error error -> throw error;
      case Throwable other -> throw new IllegalStateException(other);
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
    return new Result(
        decoded.get(),
        unreadable.get(),
        sample > 0 ? sample : stored,
        defects,
        unlisted,
        damaged,
        !stopped);
  }

  /// Ends the sweep wherever it is: afterwards no thread of it reads the dump any more.
  public void cancel() {
    cancelled = true;
    join();
  }

  /// Waits for the workers, however often it is interrupted: none may outlive the map that it
  /// reads.
  private void join() {
    boolean interrupted = false;
    for (Thread worker : workers) {
      while (worker.isAlive()) {
        try {
          worker.join();
        } catch (InterruptedException _) {
          // Each ends with the chunk that it is at.
          interrupted = true;
          cancelled = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private boolean isToStop() {
    return cancelled
        || failure.get() != null
        || stop.getAsBoolean()
        || Thread.currentThread().isInterrupted();
  }

  private boolean hasNext() {
    return sample > 0 ? next.get() < sample : next.get() >= 0;
  }

  private void work() {
    try {
      PageBuffer page = PageBuffer.of(memory);
      while (hasNext()) {
        if (isToStop()) {
          stopped = true;
          return;
        }
        if (sample > 0) {
          sampleChunk(page);
        } else {
          chunk(page);
        }
        progress.at("decoding pages", decoded.get(), stored);
      }
    } catch (RuntimeException | Error thrown) {
      failure.compareAndSet(null, thrown);
    }
  }

  /// Decodes the stored pages of the next frames.
  private void chunk(PageBuffer page) {
    long from = next.getAndUpdate(at -> at < 0 ? at : memory.nextStored(at + CHUNK));
    if (from < 0) {
      return;
    }
    ContainerAudit.Collector collector = new ContainerAudit.Collector();
    long good = 0;
    for (long pfn = memory.nextStored(from);
        pfn >= 0 && pfn < from + CHUNK;
        pfn = memory.nextStored(pfn + 1)) {
      good += decode(pfn, page, collector);
    }
    done(from, good, collector);
  }

  /// Decodes the next pages of the sample: one of each of its equal shares of the stored pages, at
  /// a place in the share that no order of the memory follows.
  private void sampleChunk(PageBuffer page) {
    long from = next.getAndAdd(SAMPLE_CHUNK);
    ContainerAudit.Collector collector = new ContainerAudit.Collector();
    long good = 0;
    for (long share = from; share < Math.min(sample, from + SAMPLE_CHUNK); share++) {
      long pfn = memory.storedAt(indexOf(share));
      if (pfn >= 0) {
        good += decode(pfn, page, collector);
        // The next of the sample is not the next of the file.
        collector.good();
      }
    }
    done(from, good, collector);
  }

  private long indexOf(long share) {
    // No file has so many pages that this overflows.
    long start = share * stored / sample;
    long end = Math.max(start + 1, (share + 1) * stored / sample);
    long mixed = (share + 1) * 0x9e37_79b9_7f4a_7c15L;
    return start + Long.remainderUnsigned(mixed ^ mixed >>> 32, end - start);
  }

  /// @return 1 if the page decodes
  private int decode(long pfn, PageBuffer page, ContainerAudit.Collector collector) {
    switch (rawToo ? memory.readInto(pfn, page) : memory.decodes(pfn, page)) {
      case PageRead.Present _ -> {
        collector.good();
        return 1;
      }
      case PageRead.Damaged damaged -> collector.bad(damaged);
      case PageRead.Unreadable _ -> unreadable.incrementAndGet();
      case PageRead.Excluded _, PageRead.NotInDump _ -> {}
    }
    return 0;
  }

  private void done(long from, long good, ContainerAudit.Collector collector) {
    decoded.addAndGet(good);
    if (collector.damaged() > 0) {
      chunks.put(from, new Chunk(collector.runs(), collector.unlisted(), collector.counts()));
    }
  }
}
