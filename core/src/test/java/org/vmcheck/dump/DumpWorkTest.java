package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.io.MalformedFileException;
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
        400,
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

  /// A header for all members with many keys, again and again; and headers for one, one behind the
  /// other.
  @Test
  void extendedHeadersOfTar() throws Exception {
    for (char kind : new char[] {'g', 'x', 'L'}) {
      Work.growsLinearly(
          8,
          size -> {
            ByteArrayOutputStream tar = new ByteArrayOutputStream();
            for (int i = 0; i < size; i++) {
              tar.writeBytes(member(kind, "9 k%03d=v\n".formatted(i % 1000).repeat(200)));
              tar.writeBytes(member('0', "no dump"));
            }
            return Files.write(directory.resolve("t.tar"), tar.toByteArray());
          },
          this::open);
    }
  }

  /// Members that are no dump, empty and full, of a zip and of a packed tar.
  @Test
  void membersThatArePassedOver() throws Exception {
    for (int bytes : new int[] {0, 100, 10_000}) {
      Work.growsLinearly(
          50,
          size -> {
            ByteArrayOutputStream zip = new ByteArrayOutputStream();
            try (ZipOutputStream out = new ZipOutputStream(zip)) {
              for (int i = 0; i < size; i++) {
                out.putNextEntry(new ZipEntry("case/" + i));
                out.write(new byte[bytes]);
              }
              out.putNextEntry(new ZipEntry("vmcore"));
              out.write(ElfWriter.of64().load(0, new byte[4096]).bytes());
            }
            return Files.write(directory.resolve("m.zip"), zip.toByteArray());
          },
          this::open);
    }
    Work.growsLinearly(
        50,
        size -> {
          ByteArrayOutputStream packed = new ByteArrayOutputStream();
          try (GZIPOutputStream tar = new GZIPOutputStream(packed)) {
            for (int i = 0; i < size; i++) {
              tar.write(member('0', "no dump"));
            }
            tar.write(new byte[1024]);
          }
          return Files.write(directory.resolve("m.tar.gz"), packed.toByteArray());
        },
        this::open);
  }

  private static byte[] member(char kind, String data) {
    byte[] bytes = new byte[512 + (data.length() + 511) / 512 * 512];
    ByteBuffer tar = ByteBuffer.wrap(bytes);
    tar.put(0, ascii("member")).put(100, ascii("0000644")).put(108, ascii("0000000"));
    tar.put(116, ascii("0000000")).put(124, ascii("%011o".formatted(data.length())));
    tar.put(136, ascii("00000000000")).put(148, ascii("        "));
    tar.put(156, (byte) kind).put(257, ascii("ustar\u000000"));
    int sum = 0;
    for (byte b : bytes) {
      sum += b & 0xff;
    }
    tar.put(148, ascii("%06o\u0000 ".formatted(sum))).put(512, ascii(data));
    return bytes;
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }

  @Test
  void tooLargeAHeaderOfTarIsRefused() throws Exception {
    Path tar = directory.resolve("t.tar");
    Files.write(tar, member('x', "9 k000=v\n".repeat(10_000)));
    assertThatThrownBy(() -> open(tar))
        .isInstanceOf(MalformedFileException.class)
        .hasMessage(
            "[t.tar] damaged archive after 0 members: an extended header of tar: expected at most"
                + " 65536 bytes, got 90000");
    ByteArrayOutputStream chain = new ByteArrayOutputStream();
    for (int i = 0; i < 100_000; i++) {
      chain.writeBytes(member('x', "9 k000=v\n"));
    }
    Files.write(tar, chain.toByteArray());
    assertThatThrownBy(() -> open(tar))
        .hasMessageContaining("expected at most 8 for a member, got more");
  }
}
