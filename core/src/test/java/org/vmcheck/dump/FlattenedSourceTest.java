package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.KdumpWriter;

class FlattenedSourceTest extends DumpFormatContract {
  private static byte[] plain() {
    return KdumpWriter.version(6)
        .vmcoreinfo(INFO)
        .zlib(0x10, contents(0x10))
        .raw(0x11, contents(0x11))
        .excluded(0x12)
        .zlib(0x20, contents(0x20))
        .bytes();
  }

  @Override
  byte[] fixture() {
    return FlattenedWriter.of(plain(), 3000).shuffled(7).bytes();
  }

  @Override
  String format() {
    return "kdump-compressed";
  }

  @Test
  void theLaterOfTwoRecordsCounts() throws IOException {
    byte[] logical = plain();
    Path file =
        FlattenedWriter.of(logical, 5000)
            .recordFirst(64, Bytes.filledWith(0xee, 1224))
            .trailer(Bytes.noise(1, 999))
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().flattened()).isTrue();
      assertThat(bytes(dump.memory().read(0x11))).isEqualTo(contents(0x11));
      assertThat(dump.audit().remarks())
          .containsExactly(
              "1224 bytes of the flattened stream are written twice; the later record counts",
              "999 bytes follow the end marker of the flattened stream and are not part of the"
                  + " dump");
    }
    byte[] wrong = logical.clone();
    Arrays.fill(wrong, 100, 200, (byte) 0xee);
    Path nested =
        FlattenedWriter.of(wrong, 1 << 20)
            .record(100, Arrays.copyOfRange(logical, 100, 200))
            .write(directory);
    try (Dump dump = Dumps.open(nested)) {
      assertThat(bytes(dump.memory().read(0x10))).isEqualTo(contents(0x10));
    }
  }

  @Test
  void aStreamCutShortOpensAndSaysSo() throws IOException {
    byte[] whole = FlattenedWriter.of(plain(), 4096).bytes();
    Path file = Files.write(directory.resolve("cut"), Arrays.copyOf(whole, whole.length - 300));
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().remarks())
          .containsExactly("the flattened stream ends without its end marker: it was cut short");
      assertThat(bytes(dump.memory().read(0x11))).isEqualTo(contents(0x11));
      assertThat(dump.memory().read(0x20).words()).isEqualTo("truncated");
    }
  }

  /// makedumpfile writes the second bitmap in slices between the pages: a bit that is not there is
  /// not a bit that is zero.
  @Test
  void aBitmapThatWasCutOffExcludesNothing() throws IOException {
    byte[] logical = plain();
    // Headers and first bitmap; then the end of page data, so that the file is long enough.
    Path file =
        FlattenedWriter.empty()
            .record(0, Arrays.copyOf(logical, 3 * 4096))
            .record(logical.length - 8, new byte[8])
            .withoutEndMarker()
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().read(0x10).words()).isEqualTo("truncated");
      assertThat(dump.memory().read(0x12).words()).isEqualTo("truncated");
    }
  }

  @Test
  void impossibleRecordsAreNamed() throws IOException {
    assertRefused(
        FlattenedWriter.empty().type(2).bytes(),
        "[x] makedumpfile_header.type at 0x10: expected 1, got 2");
    assertRefused(
        FlattenedWriter.empty().version(9).bytes(),
        "[x] makedumpfile_header.version at 0x18: expected 1, got 9");
    assertRefused(FlattenedWriter.empty().bytes(), "[x] flattened stream without a record");
    assertRefused(
        FlattenedWriter.empty().record(-2, new byte[1]).bytes(),
        "[x] flattened stream.record.offset at 0x1000: expected 0 or more, got -2");
    assertRefused(
        FlattenedWriter.empty().record(5, new byte[0]).bytes(),
        "[x] flattened stream.record.size at 0x1008: expected 1 or more, got 0");
    assertRefused(
        FlattenedWriter.empty().record(Long.MAX_VALUE, new byte[1]).bytes(),
        "[x] flattened stream.record.size at 0x1008: expected an end below 2^63, got 1");
    assertRefused(
        FlattenedWriter.empty().record(4096, new byte[100]).withoutEndMarker().bytes(),
        "[x] flattened stream: expected a record with the dump's first bytes, got none in 1 records"
            + " (file truncated?)");
  }

  private void assertRefused(byte[] bytes, String message) throws IOException {
    Path file = Files.write(directory.resolve("x"), bytes);
    assertThatThrownBy(() -> Dumps.open(file)).hasMessage(message);
  }
}
