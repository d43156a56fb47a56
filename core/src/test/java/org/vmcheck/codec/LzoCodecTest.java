package org.vmcheck.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.Packer;

class LzoCodecTest extends PageCodecContract {
  LzoCodecTest() {
    super(new LzoCodec(), Packer.LZO);
  }

  /// First byte 17 + 5: five literals; then the end marker.
  @Test
  void decodesAFirstLiteralRun() throws CorruptPageException {
    byte[] in = {22, 'h', 'e', 'l', 'l', 'o', 0x11, 0, 0};
    assertThat(new String(decoded(in, 5), StandardCharsets.US_ASCII)).isEqualTo("hello");
  }

  /// A match of distance 1 writes the byte it has just written.
  @Test
  void decodesAMatchThatOverlapsItself() throws CorruptPageException {
    // 18: one literal; 0x20|5: length 7, operand 0: distance 1, no literals after.
    byte[] in = {18, 'a', 0x25, 0, 0, 0x11, 0, 0};
    assertThat(new String(decoded(in, 8), StandardCharsets.US_ASCII)).isEqualTo("aaaaaaaa");
  }

  @Test
  void aMatchBeforeThePageIsRefused() {
    byte[] in = {18, 'a', 0x25, 4, 0, 0x11, 0, 0};
    assertThatThrownBy(() -> decoded(in, 8)).hasMessage("lzo: match reaches 1 before the page");
  }

  @Test
  void anEndlessRunIsRefused() {
    byte[] in = new byte[100];
    assertThatThrownBy(() -> decoded(in, 4096)).hasMessage("lzo: run longer than a page at 1");
  }
}
