package org.vmcheck.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.Packer;

class SnappyCodecTest extends PageCodecContract {
  SnappyCodecTest() {
    super(new SnappyCodec(), Packer.SNAPPY);
  }

  @Test
  void decodesLiteralsAndEachKindOfCopy() throws CorruptPageException {
    byte[] in = {
      15, // length 15
      2 << 2,
      'a',
      'b',
      'c', // 3 literals
      0 << 2 | 1,
      3, // copy 4 from 3 back
      3 << 2 | 2,
      7,
      0, // copy 4 from 7 back
      3 << 2 | 3,
      1,
      0,
      0,
      0 // copy 4 from 1 back
    };
    assertThat(new String(decoded(in, 15), StandardCharsets.US_ASCII)).isEqualTo("abcabcaabcaaaaa");
  }

  /// The claimed length is what overflows other readers' buffers.
  @Test
  void aClaimOfMoreThanAPageIsRefusedBeforeAnythingIsCopied() {
    byte[] in = {(byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff, 0x0f, 0, 'a'};
    assertThatThrownBy(() -> decoded(in, 4096))
        .hasMessage("snappy: block says 4294967295 bytes, a page has 4096");
  }

  @Test
  void aCopyFromNowhereIsRefused() {
    byte[] in = {4, 0 << 2 | 1, 0};
    assertThatThrownBy(() -> decoded(in, 4)).hasMessage("snappy: copy of 4 bytes from 0 back at 0");
  }
}
