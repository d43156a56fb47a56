package org.vmcheck.desk;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.page.PageUses;

/// Reads the stored pages of a dump once, on several threads.
final class MemorySweep {
  /// Frames that a thread takes at a time. No block of free pages is larger in any usual
  /// configuration, so that none is cut.
  private static final int CHUNK = 1024;

  /// Frames between two words of progress.
  private static final long REPORTED = 1 << 14;

  /// Pages that hold no pointer of the kernel's: nobody uses them, they are a user's, or hold
  /// physical addresses.
  private static final Set<PageState.Kind> NOT_THE_KERNELS =
      EnumSet.of(
          PageState.Kind.BUDDY,
          PageState.Kind.ANONYMOUS,
          PageState.Kind.PAGE_CACHE,
          PageState.Kind.PAGE_TABLE,
          PageState.Kind.HWPOISON);

  /// Which pages are read.
  enum Scope {
    ALL,
    /// Without those that hold no pointer of the kernel's, as far as the descriptors tell.
    KERNEL
  }

  /// Sees pages on one thread.
  interface Visitor {
    /// @param bytes the page, until this returns
    void page(long pfn, byte[] bytes);
  }

  /// What was read.
  ///
  /// @param pages frames that were shown
  /// @param passedOver stored frames that were not, for their use
  /// @param unread stored frames that could not be read
  record Coverage(long pages, long passedOver, long unread) {}

  private final Kernel kernel;
  private final PhysicalMemory memory;
  private final OpenOptions.Progress progress;
  private final Scope scope;
  private final AtomicLong next = new AtomicLong();
  private final AtomicLong pages = new AtomicLong();
  private final AtomicLong passedOver = new AtomicLong();
  private final AtomicLong unread = new AtomicLong();
  private final AtomicReference<Throwable> failure = new AtomicReference<>();

  private MemorySweep(Kernel kernel, Scope scope, OpenOptions.Progress progress) {
    this.kernel = kernel;
    this.memory = kernel.memory().physical();
    this.scope = scope;
    this.progress = progress;
  }

  /// Shows every page to one of the visitors.
  ///
  /// @param visitors makes the visitor of a thread
  static Coverage over(
      Kernel kernel,
      Scope scope,
      int threads,
      OpenOptions.Progress progress,
      Supplier<Visitor> visitors) {
    MemorySweep sweep = new MemorySweep(kernel, scope, progress);
    Cancellation cancellation = Cancellation.current();
    List<Thread> others = new ArrayList<>();
    for (int i = 1; i < threads; i++) {
      Visitor visitor = visitors.get();
      others.add(
          Thread.ofPlatform()
              .daemon()
              .name("memory-sweep-" + i)
              .start(() -> sweep.work(visitor, cancellation)));
    }
    sweep.work(visitors.get(), cancellation);
    for (Thread thread : others) {
      join(thread);
    }
    switch (sweep.failure.get()) {
      case null -> {}
      case RuntimeException bug -> throw bug;
      case Error error -> throw error;
      case Throwable other -> throw new IllegalStateException(other);
    }
    return new Coverage(sweep.pages.get(), sweep.passedOver.get(), sweep.unread.get());
  }

  private static void join(Thread thread) {
    boolean interrupted = false;
    while (true) {
      try {
        thread.join();
        break;
      } catch (InterruptedException _) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void work(Visitor visitor, Cancellation cancellation) {
    try {
      cancellation.run(
          () -> {
            sweep(visitor, cancellation);
            return null;
          });
    } catch (RuntimeException | Error any) {
      failure.compareAndSet(null, any);
      next.set(Long.MAX_VALUE / 2);
    }
  }

  private void sweep(Visitor visitor, Cancellation cancellation) {
    PageBuffer buffer = PageBuffer.of(memory);
    PageUses uses =
        scope == Scope.KERNEL ? MemMap.of(kernel).map(PageUses::new).orElse(null) : null;
    long end = memory.endPfn();
    while (true) {
      long first = next.getAndAdd(CHUNK);
      if (first >= end) {
        return;
      }
      // A part of an answer would be wrong: who was not found yet is not told from nobody.
      cancellation.endWhenOver();
      long last = Math.min(first + CHUNK, end);
      long pfn = memory.nextStored(first);
      if (pfn >= 0 && pfn < last) {
        PageState.Kind[] kinds = uses == null ? null : uses.of(first, (int) (last - first));
        chunk(visitor, buffer, kinds, first, pfn, last);
      }
      if (first % REPORTED == 0) {
        progress.at("searching memory", first, end);
      }
    }
  }

  private void chunk(
      Visitor visitor,
      PageBuffer buffer,
      PageState.Kind[] kinds,
      long first,
      long firstStored,
      long last) {
    long shown = 0;
    long passed = 0;
    long failed = 0;
    for (long pfn = firstStored; pfn >= 0 && pfn < last; pfn = memory.nextStored(pfn + 1)) {
      if (kinds != null && NOT_THE_KERNELS.contains(kinds[(int) (pfn - first)])) {
        passed++;
      } else if (memory.readInto(pfn, buffer) instanceof PageRead.Present) {
        shown++;
        visitor.page(pfn, buffer.bytes());
      } else {
        failed++;
      }
    }
    pages.addAndGet(shown);
    passedOver.addAndGet(passed);
    unread.addAndGet(failed);
  }
}
