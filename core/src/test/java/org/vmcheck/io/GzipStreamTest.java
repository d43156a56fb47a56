package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipException;
import org.junit.jupiter.api.Test;

class GzipStreamTest {
  private static final byte[] TEXT = "a dump".repeat(5000).getBytes(StandardCharsets.US_ASCII);

  private static byte[] member(byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (GZIPOutputStream gzip = new GZIPOutputStream(out)) {
      gzip.write(bytes);
    }
    return out.toByteArray();
  }

  private static byte[] joined(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }

  private static byte[] unpacked(byte[] packed, int bufferSize) throws IOException {
    try (GzipStream in = new GzipStream(new ByteArrayInputStream(packed), bufferSize)) {
      return in.readAllBytes();
    }
  }

  /// A header with all that RFC 1952 lets it have, before the data of a plain member.
  private static byte[] fullHeader(byte[] plain) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(new byte[] {0x1f, (byte) 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3, 2, 0, 'x', 'y'});
    out.writeBytes("name\0and a comment\0".getBytes(StandardCharsets.US_ASCII));
    CRC32 crc = new CRC32();
    crc.update(out.toByteArray());
    out.write((int) crc.getValue());
    out.write((int) (crc.getValue() >>> 8));
    out.write(plain, 10, plain.length - 10);
    return out.toByteArray();
  }

  @Test
  void membersAreReadOneAfterTheOther() throws IOException {
    byte[] noise = new byte[70_000];
    new Random(1).nextBytes(noise);
    byte[] packed = joined(member(TEXT), member(noise), member(new byte[0]), member(TEXT));
    for (int bufferSize : new int[] {1, 7, 4096, 1 << 20}) {
      assertThat(unpacked(packed, bufferSize)).isEqualTo(joined(TEXT, noise, TEXT));
    }
    try (GzipStream in = new GzipStream(new ByteArrayInputStream(member(TEXT)), 64)) {
      assertThat(in.read()).isEqualTo('a');
      assertThat(in.read(new byte[0])).isZero();
      assertThat(in.skip(TEXT.length)).isEqualTo(TEXT.length - 1);
      assertThat(in.read()).isEqualTo(-1);
    }
  }

  /// Their number is bounded by the bytes alone.
  @Test
  void emptyMembersWithoutEndOverflowNoStack() throws IOException {
    byte[] empty = member(new byte[0]);
    byte[] packed = new byte[empty.length * 200_000];
    for (int i = 0; i < packed.length; i++) {
      packed[i] = empty[i % empty.length];
    }
    assertThat(unpacked(joined(packed, member(TEXT)), 4096)).isEqualTo(TEXT);
  }

  @Test
  void allPartsOfAHeaderArePassed() throws IOException {
    byte[] full = fullHeader(member(TEXT));
    assertThat(unpacked(full, 3)).isEqualTo(TEXT);
    assertThat(unpacked(joined(member(TEXT), full), 4096)).isEqualTo(joined(TEXT, TEXT));
    for (int at : new int[] {4, 13, 15, 20, 34}) {
      byte[] changed = full.clone();
      changed[at] ^= 1;
      assertThatThrownBy(() -> unpacked(changed, 4096))
          .isInstanceOf(ZipException.class)
          .hasMessage("the check sum of a header is another");
    }
  }

  @Test
  void paddingBehindAMemberIsNone() throws IOException {
    for (byte[] padding :
        new byte[][] {new byte[512], {0x1f}, {0x1f, 0}, {0x1f, (byte) 0x8b, 8, 0, 0}, {1, 2, 3}}) {
      assertThat(unpacked(joined(member(TEXT), padding), 4096)).isEqualTo(TEXT);
    }
  }

  @Test
  void whatIsCutOrChangedIsRefused() throws IOException {
    byte[] good = member(TEXT);
    for (int length = 0; length < good.length; length++) {
      byte[] cut = Arrays.copyOf(good, length);
      assertThatThrownBy(() -> unpacked(cut, 4096)).isInstanceOf(EOFException.class);
    }
    assertRefused(good, good.length - 8, "the check sum is another");
    assertRefused(good, good.length - 4, "the length is another");
    assertRefused(good, 0, "not in gzip format");
    assertRefused(good, 1, "not in gzip format");
    assertRefused(good, 2, "an unknown method of compression");
    byte[] reserved = good.clone();
    reserved[3] = 0x20;
    assertThatThrownBy(() -> unpacked(reserved, 4096))
        .isInstanceOf(ZipException.class)
        .hasMessage("reserved bits of a header are set");
    byte[] broken = good.clone();
    broken[10] = (byte) 0xff;
    assertThatThrownBy(() -> unpacked(broken, 4096)).isInstanceOf(ZipException.class);
  }

  private static void assertRefused(byte[] good, int at, String why) {
    byte[] changed = good.clone();
    changed[at] ^= 1;
    assertThatThrownBy(() -> unpacked(changed, 4096))
        .isInstanceOf(ZipException.class)
        .hasMessage(why);
  }
}
