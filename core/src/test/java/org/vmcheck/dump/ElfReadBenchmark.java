package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.TestData;

/// Copying every stored page out of an ELF core that holds the pages of a real dump, a segment for
/// each run of them, in the order of frames. The bound is memcpy, page by page, out of a map of the
/// same file.
@State(Scope.Thread)
public class ElfReadBenchmark {
  private Path folder;
  private Dump dump;
  private PhysicalMemory memory;
  private long[] frames;
  private PageBuffer page;
  private MemorySegment map;

  /// Where each frame's bytes are in the file.
  private long[] offsets;

  /// What was read.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long pages;
  }

  @Setup
  public void setUp() throws Exception {
    folder = Files.createTempDirectory("vmcheck-elf-benchmark");
    Path core = core(folder);
    dump = Dumps.open(core);
    memory = dump.memory();
    page = PageBuffer.of(memory);
    frames = StoredPages.frames(memory).toArray();
    offsets = new long[frames.length];
    int next = 0;
    for (ElfSegment segment : dump.loadSegments()) {
      for (long at = 0; at < segment.fileSize(); at += memory.pageSize()) {
        offsets[next++] = segment.offset() + at;
      }
    }
    try (FileChannel channel = FileChannel.open(core)) {
      map = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
    }
  }

  private static Path core(Path folder) throws Exception {
    try (Dump source = Dumps.open(TestData.named("debian-cloud").dump())) {
      PhysicalMemory pages = source.memory();
      int size = pages.pageSize();
      ElfWriter writer = ElfWriter.of64().vmcoreinfo(source.vmcoreinfo().orElseThrow().text());
      PageBuffer page = PageBuffer.of(pages);
      long first = pages.nextStored(0);
      while (first >= 0) {
        long end = first + 1;
        while (pages.nextStored(end) == end) {
          end++;
        }
        byte[] run = new byte[Math.toIntExact((end - first) * size)];
        for (long pfn = first; pfn < end; pfn++) {
          if (!(pages.readInto(pfn, page) instanceof PageRead.Present)) {
            throw new IOException("frame " + pfn + " cannot be read");
          }
          System.arraycopy(page.bytes(), 0, run, (int) (pfn - first) * size, size);
        }
        writer.load(first * size, run);
        first = pages.nextStored(end);
      }
      return writer.write(folder);
    }
  }

  @TearDown
  public void tearDown() throws IOException {
    dump.close();
    try (var files = Files.list(folder)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
    }
    Files.delete(folder);
  }

  @Benchmark
  public byte[] vmcheck(Count count) throws IOException {
    StoredPages.read(memory, frames, page);
    count.pages += frames.length;
    return page.bytes();
  }

  @Benchmark
  public byte[] bound(Count count) {
    byte[] copy = page.bytes();
    for (long offset : offsets) {
      MemorySegment.copy(map, ValueLayout.JAVA_BYTE, offset, copy, 0, copy.length);
    }
    count.pages += offsets.length;
    return copy;
  }
}
