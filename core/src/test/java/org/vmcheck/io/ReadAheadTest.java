package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReadAheadTest {
  private static final int PAGE = 4096;

  @TempDir private Path directory;

  private final byte[] contents = new byte[1 << 20];
  private final byte[] page = new byte[PAGE];
  private Path path;

  @BeforeEach
  void write() throws IOException {
    new Random(1).nextBytes(contents);
    path = Files.write(directory.resolve("vmcore"), contents);
  }

  private void assertSame(MappedFile file, long offset, ReadAhead ahead) throws IOException {
    Arrays.fill(page, (byte) 0);
    file.copy(offset, page, PAGE, ahead);
    assertThat(Arrays.equals(page, 0, PAGE, contents, (int) offset, (int) offset + PAGE))
        .as("page at 0x%x", offset)
        .isTrue();
  }

  @Test
  void everyOrderOfReadingGivesTheSameBytes() throws IOException {
    try (MappedFile file = MappedFile.open(path)) {
      ReadAhead ahead = new ReadAhead();
      for (int at = 0; at <= contents.length - PAGE; at += PAGE) {
        assertSame(file, at, ahead);
      }
      for (int at = contents.length - PAGE; at >= 0; at -= PAGE) {
        assertSame(file, at, ahead);
      }
      Random random = new Random(2);
      long at = 0;
      for (int i = 0; i < 5000; i++) {
        // Runs with gaps, at any byte, as the data of a core that is not aligned.
        at = random.nextInt(8) == 0 ? random.nextInt(contents.length) : at + random.nextInt(20_000);
        at = at > contents.length - PAGE ? 0 : at;
        assertSame(file, at, ahead);
      }
    }
  }

  @Test
  void filesReadInTurnAreNotMixedUp() throws IOException {
    Path other = Files.write(directory.resolve("other"), new byte[contents.length]);
    try (MappedFile file = MappedFile.open(path);
        MappedFile zeros = MappedFile.open(other)) {
      ReadAhead ahead = new ReadAhead();
      for (int at = 0; at < 10 * PAGE; at += PAGE) {
        assertSame(file, at, ahead);
        zeros.copy(at, page, PAGE, ahead);
        assertThat(page).containsOnly(0);
      }
    }
  }

  @Test
  void largePagesAndWhatIsLargerThanAnyReadAreWhole() throws IOException {
    try (MappedFile file = MappedFile.open(path)) {
      byte[] all = new byte[contents.length];
      ReadAhead ahead = new ReadAhead();
      for (int byteCount : new int[] {all.length, 1 << 17, 1 << 16}) {
        for (int at = 0; at <= all.length - byteCount; at += byteCount) {
          file.copy(at, all, byteCount, ahead);
          assertThat(Arrays.equals(all, 0, byteCount, contents, at, at + byteCount)).isTrue();
        }
      }
    }
  }

  /// An interrupt closes the channel for good.
  @Test
  void anInterruptedThreadReadsOnAndStaysInterrupted() throws IOException {
    try (MappedFile file = MappedFile.open(path)) {
      ReadAhead ahead = new ReadAhead();
      assertSame(file, 0, ahead);
      Thread.currentThread().interrupt();
      try {
        assertSame(file, 64 * PAGE, ahead);
        assertThat(Thread.currentThread().isInterrupted()).isTrue();
      } finally {
        boolean _ = Thread.interrupted();
      }
      for (int at = 0; at <= contents.length - PAGE; at += PAGE) {
        assertSame(file, at, new ReadAhead());
        assertSame(file, at, ahead);
      }
    }
  }
}
