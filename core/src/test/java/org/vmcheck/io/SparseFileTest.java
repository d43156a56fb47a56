package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The data of a sparse file between its holes; and all of it where nobody can tell.
class SparseFileTest {
  private static final long MIB = 1 << 20;
  private static final long SIZE = 64 * MIB;

  @TempDir private Path dir;
  private Path file;

  /// Data in the first page, at 16 MiB and at 32 MiB.
  @BeforeEach
  void write() throws IOException {
    file = dir.resolve("sparse");
    try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
      for (long at : new long[] {0, 16 * MIB, 32 * MIB + 5}) {
        out.seek(at);
        out.write(1);
      }
      out.setLength(SIZE);
    }
    Object blocks =
        new ProcessBuilder("stat", "-c", "%b", file.toString()).start().inputReader().readLine();
    assumeTrue(Long.parseLong(blocks.toString()) * 512 < SIZE, "the file system keeps no holes");
  }

  @Test
  void holesAreSkippedAndDataIsNot() throws IOException {
    try (MappedFile map = MappedFile.open(file)) {
      assertThat(map.nextData(0)).isZero();
      assertThat(map.nextData(3)).isEqualTo(3);
      assertThat(map.nextData(MIB)).isEqualTo(16 * MIB);
      assertThat(map.nextData(16 * MIB)).isEqualTo(16 * MIB);
      assertThat(map.nextData(20 * MIB)).isEqualTo(32 * MIB);
      assertThat(map.nextData(40 * MIB)).isEqualTo(SIZE);
      assertThat(map.nextData(SIZE)).isEqualTo(SIZE);
      assertThat(map.nextData(0)).isZero();
    }
  }

  @Test
  void anotherFileOfTheSameNameIsNotAsked() throws IOException {
    try (MappedFile map = MappedFile.open(file)) {
      Files.move(file, dir.resolve("other"));
      Files.write(file, new byte[1]);
      assertThat(map.nextData(MIB)).isEqualTo(MIB);
    }
  }

  @Test
  void aFileWithoutANameIsAllData() throws IOException {
    try (MappedFile map = MappedFile.open(file)) {
      Files.delete(file);
      assertThat(map.nextData(MIB)).isEqualTo(MIB);
    }
  }
}
