package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.BootImageWriter;

class BootImageTest {
  /// A small ELF file with something behind its end, as the relocations of a kernel are.
  private static byte[] vmlinux(int byteCount) throws IOException {
    byte[] bytes = new byte[byteCount];
    new Random(5).nextBytes(bytes);
    Arrays.fill(bytes, byteCount / 2, byteCount, (byte) 7);
    try (InputStream in = BootImageTest.class.getResourceAsStream("/dwarf/dwarf5")) {
      byte[] elf = in.readAllBytes();
      System.arraycopy(elf, 0, bytes, 0, elf.length);
    }
    return bytes;
  }

  private static ByteSource source(byte[] bytes) {
    return new FileBytes("vmlinuz", MemorySegment.ofArray(bytes));
  }

  private static byte[] unpacked(byte[] image) throws IOException {
    ByteSource unpacked = BootImage.unpack(source(image));
    return unpacked.slice(0, unpacked.size()).toArray(ValueLayout.JAVA_BYTE);
  }

  @ParameterizedTest
  @EnumSource(BootImageWriter.class)
  void everyPackingGivesTheVmlinux(BootImageWriter packing) throws Exception {
    byte[] vmlinux = vmlinux(700_000);

    assertThat(unpacked(packing.image(vmlinux))).isEqualTo(vmlinux);
  }

  /// The flat image of arm64.
  private static byte[] flat(int byteCount) {
    byte[] bytes = new byte[byteCount];
    new Random(6).nextBytes(bytes);
    Arrays.fill(bytes, byteCount / 2, byteCount, (byte) 7);
    System.arraycopy(new byte[] {'A', 'R', 'M', 'd'}, 0, bytes, 0x38, 4);
    return bytes;
  }

  private static byte[] zboot(byte[] packed, int behind) {
    byte[] image = new byte[1500 + packed.length + behind];
    ByteBuffer header = ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
    header.putInt(0, 0x5a4d).put(4, "zimg".getBytes(StandardCharsets.ISO_8859_1));
    header.putInt(8, 1500).putInt(12, packed.length);
    System.arraycopy(packed, 0, image, 1500, packed.length);
    return image;
  }

  @Test
  void theFlatImageOfArm64IsReadPlainAndCompressed() throws Exception {
    byte[] flat = flat(500_000);

    assertThat(unpacked(flat)).isEqualTo(flat);
    assertThat(unpacked(BootImageWriter.GZIP.pack(flat))).isEqualTo(flat);
  }

  @ParameterizedTest
  @EnumSource(
      value = BootImageWriter.class,
      names = {"GZIP", "XZ", "ZSTD"})
  void theProgramOfEfiGivesTheFlatImage(BootImageWriter packing) throws Exception {
    byte[] flat = flat(500_000);

    assertThat(unpacked(zboot(packing.pack(flat), 300))).isEqualTo(flat);
  }

  @Test
  void aProgramOfEfiThatIsCutShortIsRefused() throws Exception {
    byte[] whole = zboot(BootImageWriter.GZIP.pack(flat(500_000)), 0);

    assertThatThrownBy(() -> unpacked(Arrays.copyOf(whole, whole.length / 2)))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("payload_offset");
  }

  @Test
  void lz4BlocksFollowOneAnother() throws Exception {
    byte[] vmlinux = vmlinux((17 << 20) + 3);

    assertThat(unpacked(BootImageWriter.LZ4.image(vmlinux))).isEqualTo(vmlinux);
  }

  @ParameterizedTest
  @EnumSource(
      value = BootImageWriter.class,
      names = {"GZIP", "XZ", "ZSTD"})
  void compressedVmlinuxWithoutAHeaderIsUnpackedToo(BootImageWriter packing) throws Exception {
    byte[] vmlinux = vmlinux(700_000);

    assertThat(unpacked(packing.pack(vmlinux))).isEqualTo(vmlinux);
  }

  @ParameterizedTest
  @EnumSource(BootImageWriter.class)
  void payloadInsideAnotherFileIsFound(BootImageWriter packing) throws Exception {
    byte[] vmlinux = vmlinux(20_000);
    byte[] packed = packing.pack(vmlinux);
    byte[] outer = new byte[5000 + packed.length + 64];
    new Random(9).nextBytes(outer);
    outer[0] = 'M';
    outer[1] = 'Z';
    outer[0x1fe] = 0;
    System.arraycopy(packed, 0, outer, 5000, packed.length);
    Arrays.fill(outer, 5000 + packed.length, outer.length, (byte) 0);

    assertThat(unpacked(outer)).startsWith(vmlinux);
  }

  @ParameterizedTest
  @EnumSource(BootImageWriter.class)
  void imageCutShortIsRefused(BootImageWriter packing) throws Exception {
    byte[] image = packing.image(vmlinux(50_000));

    assertThatThrownBy(() -> unpacked(Arrays.copyOf(image, image.length / 2)))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("payload_offset")
        .hasMessageContaining("file truncated?");
  }

  @Test
  void sizeThatNoPayloadCanHaveIsRefusedBeforeItIsAllocated() throws Exception {
    byte[] image = BootImageWriter.XZ.image(vmlinux(50_000));
    ByteBuffer.wrap(image).putInt(image.length - 104, 0x3fff_ff00);

    assertThatThrownBy(() -> unpacked(image)).isInstanceOf(MalformedFileException.class);
  }

  @Test
  void whatIsNoKernelIsRefusedByName() {
    byte[] noise = new byte[100_000];
    new Random(3).nextBytes(noise);

    assertThatThrownBy(() -> unpacked(noise))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageContaining("[vmlinuz] neither an ELF file nor a bootable Linux image");
    assertThatThrownBy(() -> unpacked(new byte[10])).isInstanceOf(UnsupportedFormatException.class);
  }

  @ParameterizedTest
  @EnumSource(BootImageWriter.class)
  void imagesWithBytesFlippedAreUnpackedOrRefused(BootImageWriter packing) throws Exception {
    byte[] whole = packing.image(vmlinux(20_000));
    Random random = new Random(11);
    for (int round = 0; round < 150; round++) {
      byte[] image = whole.clone();
      int within = round % 2 == 0 ? 1400 : image.length;
      image[random.nextInt(within)] ^= (byte) (1 << random.nextInt(8));
      try {
        assertThat(unpacked(image)).isNotEmpty();
      } catch (IOException expected) {
        assertThat(expected.getMessage()).startsWith("[vmlinuz]");
      }
    }
  }
}
