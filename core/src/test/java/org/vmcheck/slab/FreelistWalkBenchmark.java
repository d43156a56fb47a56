package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.zip.DataFormatException;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.StoredPages;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.TestData;

/// The walk over every slab of a real kernel: page descriptors, freelists, the slot of every
/// object. The bound unpacks the slab pages that the walk reads, once each, with zlib, on as many
/// threads. Objects are those whose slots are read.
@State(Scope.Thread)
public class FreelistWalkBenchmark {
  @Param({"1", "2"})
  public int threads;

  private Dump dump;
  private Kernel kernel;
  private MemMap memMap;
  private StoredPages stored;
  private long objects;

  /// What was walked.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long objects;
  }

  /// Notes which pages are read past the cache: those of slabs.
  private record Noting(PhysicalMemory memory, ConcurrentLinkedQueue<Long> read)
      implements PhysicalMemory {
    @Override
    public int pageSize() {
      return memory.pageSize();
    }

    @Override
    public long endPfn() {
      return memory.endPfn();
    }

    @Override
    public PageRead read(long pfn) {
      return memory.read(pfn);
    }

    @Override
    public PageRead readInto(long pfn, PageBuffer page) {
      read.add(pfn);
      return memory.readInto(pfn, page);
    }

    @Override
    public long nextStored(long pfn) {
      return memory.nextStored(pfn);
    }

    @Override
    public Optional<PageRead> defect(long pfn) {
      return memory.defect(pfn);
    }
  }

  @Setup
  public void setUp() throws Exception {
    dump = Dumps.open(TestData.named("debian-cloud").dump());
    kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
    memMap = MemMap.of(kernel).orElseThrow();
    Noting noting = new Noting(dump.memory(), new ConcurrentLinkedQueue<>());
    Kernel noted = kernel.over(noting);
    SlabSurvey survey = SlabSurvey.run(noted, MemMap.of(noted).orElseThrow(), 1, () -> false);
    objects = survey.slots();
    stored =
        StoredPages.of(dump, noting.read.stream().mapToLong(Long::longValue).distinct().sorted());
  }

  @TearDown
  public void tearDown() {
    dump.close();
  }

  @Benchmark
  public SlabSurvey vmcheck(Count count) {
    SlabSurvey survey = SlabSurvey.run(kernel, memMap, threads, () -> false);
    count.objects += survey.slots();
    return survey;
  }

  @Benchmark
  public byte[] bound(Count count) throws DataFormatException, InterruptedException {
    List<Thread> others = new ArrayList<>();
    for (int i = 1; i < threads; i++) {
      int share = i;
      others.add(Thread.ofPlatform().start(() -> unpackInThread(share)));
    }
    byte[] last = unpack(0);
    for (Thread other : others) {
      other.join();
    }
    count.objects += objects;
    return last;
  }

  private void unpackInThread(int share) {
    try {
      unpack(share);
    } catch (DataFormatException e) {
      throw new IllegalStateException(e);
    }
  }

  private byte[] unpack(int share) throws DataFormatException {
    int count = stored.count();
    return stored.unpack(count * share / threads, count * (share + 1) / threads);
  }
}
