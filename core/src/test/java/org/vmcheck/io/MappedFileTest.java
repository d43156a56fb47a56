package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MappedFileTest {
  @TempDir private Path directory;

  @Test
  void mapsAFileBeyondTwoGibibytes() throws IOException {
    Path path = directory.resolve("sparse");
    try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
      file.setLength(20L << 30);
      file.seek((20L << 30) - 1);
      file.write(0x5a);
    }
    try (MappedFile map = MappedFile.open(path)) {
      assertThat(map.size()).isEqualTo(20L << 30);
      assertThat(map.slice((20L << 30) - 1, 1).get(ValueLayout.JAVA_BYTE, 0))
          .isEqualTo((byte) 0x5a);
    }
  }

  @Test
  void aRangeBeyondTheEndIsRefusedByName() throws IOException {
    Path path = Files.write(directory.resolve("vmcore"), new byte[100]);
    try (MappedFile map = MappedFile.open(path)) {
      assertThatThrownBy(() -> map.slice(96, 8))
          .isInstanceOf(MalformedFileException.class)
          .hasMessage(
              "[vmcore] range of 8 bytes at 0x60: expected an end within the file's 100 bytes, got"
                  + " an end beyond it (file truncated?)");
      assertThatThrownBy(() -> map.slice(-1, 8)).isInstanceOf(MalformedFileException.class);
      assertThatThrownBy(() -> map.slice(8, Long.MAX_VALUE))
          .isInstanceOf(MalformedFileException.class);
      assertThat(map.available(96, 8)).isEqualTo(4);
      assertThat(map.available(Long.MAX_VALUE, 8)).isZero();
      assertThat(map.available(-1, 8)).isZero();
    }
  }

  @Test
  void anEmptyFileMapsToNothing() throws IOException {
    try (MappedFile map = MappedFile.open(Files.createFile(directory.resolve("empty")))) {
      assertThat(map.size()).isZero();
    }
  }

  @Test
  void missingFilesAndDirectoriesSayWhatTheyAre() {
    assertThatThrownBy(() -> MappedFile.open(directory.resolve("none")))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessage(directory.resolve("none") + ": no such file");
    assertThatThrownBy(() -> MappedFile.open(directory))
        .hasMessage(directory + ": is a directory, not a file");
  }

  /// The error that a shrunk file raises is caught in Java; the same access in native code would
  /// end the process.
  @Test
  void aFileCutShortWhileMappedRaisesALostMap() throws IOException {
    Path path = Files.write(directory.resolve("vmcore"), new byte[1 << 16]);
    try (MappedFile map = MappedFile.open(path)) {
      MemorySegment page = map.slice(1 << 15, 4096);
      try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
        file.setLength(100);
      }
      assertThatThrownBy(() -> page.get(ValueLayout.JAVA_BYTE, 0))
          .isInstanceOfSatisfying(
              InternalError.class, error -> assertThat(MappedFile.isLostMap(error)).isTrue());
    }
  }
}
