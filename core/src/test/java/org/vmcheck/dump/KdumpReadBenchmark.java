package org.vmcheck.dump;

import java.io.IOException;
import java.util.zip.DataFormatException;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.vmcheck.testing.TestData;

/// Reading every stored page of a real kdump-compressed dump in the order of frames: bitmap,
/// descriptor, copy out of the map, codec. The bound unpacks the same stored bytes with zlib and
/// looks nothing up.
@State(Scope.Thread)
public class KdumpReadBenchmark {
  private Dump dump;
  private PhysicalMemory memory;
  private long[] frames;
  private StoredPages stored;
  private PageBuffer page;

  /// What was read.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long pages;
  }

  @Setup
  public void setUp() throws Exception {
    dump = Dumps.open(TestData.named("debian-cloud").dump());
    memory = dump.memory();
    page = PageBuffer.of(memory);
    frames = StoredPages.frames(memory).toArray();
    stored = StoredPages.of(dump, StoredPages.frames(memory));
  }

  @TearDown
  public void tearDown() {
    dump.close();
  }

  @Benchmark
  public byte[] vmcheck(Count count) throws IOException {
    StoredPages.read(memory, frames, page);
    count.pages += frames.length;
    return page.bytes();
  }

  @Benchmark
  public byte[] bound(Count count) throws DataFormatException {
    count.pages += stored.count();
    return stored.unpack(0, stored.count());
  }
}
