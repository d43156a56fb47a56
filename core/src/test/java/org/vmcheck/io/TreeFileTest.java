package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What may stand in a dump's place by the time it is opened.
@Timeout(20)
class TreeFileTest {
  @TempDir private Path given;
  private Path dir;

  @BeforeEach
  void resolve() throws IOException {
    dir = given.toRealPath();
  }

  @Test
  void aFileIsRead() throws Exception {
    Path file = Files.writeString(dir.resolve("näme \u00e9"), "bytes");

    try (InputStream in = TreeFile.stream(file)) {
      assertThat(in.readAllBytes())
          .isEqualTo("bytes".getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }
    try (MappedFile map = MappedFile.openInTree(file)) {
      assertThat(map.size()).isEqualTo(5);
    }
  }

  @Test
  void aLinkIsNotFollowed() throws Exception {
    Path file = Files.writeString(dir.resolve("secret"), "bytes");
    Path link = Files.createSymbolicLink(dir.resolve("vmcore"), file);

    assertThatThrownBy(() -> TreeFile.open(link)).isInstanceOf(IOException.class);
    assertThatThrownBy(() -> MappedFile.openInTree(link)).isInstanceOf(IOException.class);
    try (MappedFile byHand = MappedFile.open(link)) {
      assertThat(byHand.size()).isEqualTo(5);
    }
  }

  @Test
  void aDirectoryThatBecameALinkIsNotFollowed() throws Exception {
    Path real = Files.createDirectory(dir.resolve("real"));
    Files.writeString(real.resolve("vmcore"), "bytes");
    Path link = Files.createSymbolicLink(dir.resolve("link"), real);

    assertThatThrownBy(() -> TreeFile.open(link.resolve("vmcore")))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("a link");
  }

  @Test
  void aPipeIsNotWaitedFor() throws Exception {
    Path pipe = dir.resolve("vmcore");
    assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor()).isZero();

    assertThatThrownBy(() -> TreeFile.open(pipe)).hasMessageContaining("no regular file");
  }

  @Test
  void whatIsGoneIsSaidToBe() {
    assertThatThrownBy(() -> TreeFile.open(dir.resolve("none")))
        .isInstanceOf(NoSuchFileException.class);
  }

  /// A spool file is mapped after it lost its name.
  @Test
  void whatHasNoNameAnyMoreIsMapped() throws Exception {
    Path file = Files.writeString(dir.resolve("spool"), "bytes");
    FileChannel channel = FileChannel.open(file);
    Files.delete(file);

    try (MappedFile map = MappedFile.of(file, "spool", channel)) {
      assertThat(map.view("all", 0, 5, false).string(0, 5)).isEqualTo("bytes");
      assertThat(map.changed()).isEmpty();
    }
  }
}
