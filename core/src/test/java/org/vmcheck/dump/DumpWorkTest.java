package org.vmcheck.dump;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.Work;

/// What a container claims takes work in proportion to its bytes.
class DumpWorkTest {
  @TempDir private Path directory;

  @Test
  void linesOfVmcoreinfoWithoutASign() throws Exception {
    Work.growsLinearly(2000, "\n"::repeat, Vmcoreinfo::parse);
    Work.growsLinearly(2000, size -> "A\n".repeat(size) + "K=V\n", Vmcoreinfo::parse);
    Work.growsLinearly(2000, "=\n"::repeat, Vmcoreinfo::parse);
  }

  /// Small segments with gaps, and large ones that lie over all of them again and again.
  @Test
  void segmentsOverSegments() throws Exception {
    Work.growsLinearly(
        500,
        size -> {
          ElfWriter elf = ElfWriter.of64().align(1);
          for (int i = 0; i < size / 2; i++) {
            elf.load(i * 8192L, 0, new byte[16], 4096);
          }
          for (int i = 0; i < size / 2; i++) {
            elf.load(0, 0, new byte[16], size * 8192L);
          }
          return elf.write(directory);
        },
        this::open);
  }

  /// Each segment ends in the next: nothing is covered twice, and everything touches.
  @Test
  void segmentsThatOverlapTheirNeighbours() throws Exception {
    Work.growsLinearly(
        500,
        size -> {
          ElfWriter elf = ElfWriter.of64().align(1);
          for (int i = 0; i < size; i++) {
            elf.load((i * 7919L % size) * 4096L, 0, new byte[16], 6000);
          }
          return elf.write(directory);
        },
        this::open);
  }

  @Test
  void recordsOverRecords() throws Exception {
    Work.growsLinearly(
        500,
        size -> {
          FlattenedWriter stream = FlattenedWriter.empty();
          for (int i = 0; i < size / 2; i++) {
            stream.record(i * 8L, new byte[4]);
          }
          for (int i = 0; i < size / 2; i++) {
            stream.record(i, new byte[4096]);
          }
          return stream.write(directory);
        },
        this::open);
  }

  private void open(Path file) throws Exception {
    Dumps.open(file).close();
  }
}
