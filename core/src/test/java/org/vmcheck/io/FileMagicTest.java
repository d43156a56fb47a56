package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

class FileMagicTest {
  /// A file that begins with one magic and nothing else.
  private static byte[] fileOf(FileMagic magic) {
    byte[] digits = HexFormat.of().parseHex(magic.digits());
    byte[] file = new byte[FileMagic.HEAD_BYTES];
    System.arraycopy(digits, 0, file, offset(magic), digits.length);
    return file;
  }

  private static int offset(FileMagic kind) {
    return switch (kind) {
      case TAR -> 257;
      case ARM64_IMAGE -> 0x38;
      default -> 0;
    };
  }

  @Test
  void aFileIsOfOneKind() {
    for (FileMagic kind : FileMagic.values()) {
      byte[] file = fileOf(kind);
      for (FileMagic magic : FileMagic.values()) {
        assertThat(magic.startsWith(file)).as("%s: %s", kind, magic).isEqualTo(magic == kind);
        assertThat(magic.startsWith(ByteView.of("start", file))).isEqualTo(magic == kind);
      }
    }
  }

  @Test
  void aCutMagicIsNone() {
    for (FileMagic kind : FileMagic.values()) {
      int whole = offset(kind) + kind.digits().length() / 2;
      byte[] file = fileOf(kind);
      assertThat(kind.startsWith(Arrays.copyOf(file, whole))).isTrue();
      assertThat(kind.startsWith(Arrays.copyOf(file, whole - 1))).isFalse();
      assertThat(kind.startsWith(ByteView.of("start", Arrays.copyOf(file, whole - 1)))).isFalse();
    }
  }

  @Test
  void standsInsideOtherBytes() {
    byte[] bytes = {1, 2, 0x7f, 'E', 'L', 'F'};
    assertThat(FileMagic.ELF.isAt(bytes, 2)).isTrue();
    assertThat(FileMagic.ELF.isAt(bytes, 3)).isFalse();
    assertThat(FileMagic.ELF.isAt(bytes, 1)).isFalse();
  }
}
