package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.KdumpWriter;

/// Sizes of real servers, in sparse files. The bound on time is ten times what the benchmark asks
/// for: it is there to catch work that grows with the memory, not to measure.
class HugeFilesTest {
  private static final Duration SOON = Duration.ofSeconds(3);

  @TempDir private Path directory;

  /// Loads and compiles the classes, so that the tests time the files.
  @BeforeEach
  void warmUp() throws IOException {
    Dumps.open(KdumpWriter.version(6).raw(1, new byte[4096]).write(directory, "a")).close();
    Dumps.open(ElfWriter.of64().load(0, new byte[4096]).write(directory, "b")).close();
  }

  private static void within(Duration limit, long startNanos) {
    assertThat(Duration.ofNanos(System.nanoTime() - startNanos)).isLessThan(limit);
  }

  /// 1 TiB of memory: bitmaps of 64 MiB.
  @Test
  void aKdumpHeaderOfQuarterOfABillionFramesOpensAtOnce() throws IOException {
    long frames = 1L << 28;
    Path file =
        KdumpWriter.version(6)
            .maxMapnr(frames)
            .raw(5, DumpFormatContract.contents(5))
            .zlib(frames - 1, DumpFormatContract.contents(6))
            .write(directory);
    long start = System.nanoTime();
    try (Dump dump = Dumps.open(file)) {
      assertThat(DumpFormatContract.bytes(dump.memory().read(frames - 1)))
          .isEqualTo(DumpFormatContract.contents(6));
      assertThat(dump.memory().nextStored(6)).isEqualTo(frames - 1);
      assertThat(dump.audit().defects()).isEmpty();
    }
    within(SOON, start);
  }

  /// 4 PiB of memory: a sparse file has room for such bitmaps, and reading them took minutes.
  @Test
  void aKdumpHeaderOfFourPebibytesIsRefused() throws IOException {
    Path file = KdumpWriter.version(6).raw(5, DumpFormatContract.contents(5)).write(directory);
    try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
      // disk_dump_header.bitmap_blocks, max_mapnr and, in the sub header, max_mapnr_64
      raw.seek(0x1b4);
      raw.writeInt(Integer.reverseBytes(1 << 26));
      raw.writeInt(-1);
      raw.seek(4096 + 96);
      raw.writeLong(Long.reverseBytes(1L << 40));
      raw.setLength(1L << 39);
    }
    assertThatThrownBy(() -> Dumps.open(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("max_mapnr")
        .hasMessageContaining("at most 68719476736 page frames, got 1099511627776");
  }

  @Test
  void aSparseElfOf20GibibytesOpensAtOnce() throws IOException {
    Path file =
        ElfWriter.of64()
            .load(0x100000, DumpFormatContract.contents(0x100))
            .load(0x1_0000_0000L, 0, DumpFormatContract.contents(1), 20L << 30)
            .write(directory);
    try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
      // p_filesz of the second LOAD: the second program header behind the ELF header.
      raw.seek(64 + 56 + 32);
      raw.writeLong(Long.reverseBytes(20L << 30));
      raw.setLength(0x2000 + (20L << 30));
    }
    long start = System.nanoTime();
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().pages().stored()).isEqualTo(1 + (20L << 18));
      assertThat(dump.memory().read(0x100000 + (20L << 18) - 1).words()).isEqualTo("stored");
      assertThat(dump.audit().defects()).isEmpty();
    }
    within(SOON, start);
  }

  /// A header that claims 2^51 bytes of memory takes neither memory nor time.
  @Test
  void anElfThatClaimsTwoPebibytesIsTruncatedNotSwallowed() throws IOException {
    Path file =
        ElfWriter.of64()
            .load(0x100000, DumpFormatContract.contents(0x100))
            .load(1L << 40, 0, new byte[0], 1L << 51)
            .write(directory);
    try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
      raw.seek(64 + 56 + 32);
      raw.writeLong(Long.reverseBytes(1L << 51));
    }
    long start = System.nanoTime();
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().read(1L << 29).words()).isEqualTo("truncated");
      assertThat(dump.audit().defects()).hasSize(1);
      assertThat(dump.audit().pages().damagedInAll()).isGreaterThan(1L << 38);
      // Found by the fuzzer: a search of all stored frames took the claim for frames to search.
      assertThat(dump.memory().nextStored((1L << 28) + 2)).isEqualTo(-1);
    }
    within(SOON, start);
  }
}
