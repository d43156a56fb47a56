package org.vmcheck.codec;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.Packer;

class ZlibCodecTest extends PageCodecContract {
  ZlibCodecTest() {
    super(new ZlibCodec(), Packer.ZLIB);
  }

  @Test
  void aWrongChecksumIsRefused() {
    byte[] packed = Packer.ZLIB.pack(Bytes.mixed(1));
    packed[packed.length - 1] ^= 1;
    assertThatThrownBy(() -> decoded(packed, 4096))
        .isInstanceOf(CorruptPageException.class)
        .hasMessage("zlib: incorrect data check");
  }

  @Test
  void aStreamThatEndsEarlySaysWhere() {
    byte[] packed = Packer.ZLIB.pack(new byte[4000]);
    assertThatThrownBy(() -> decoded(packed, 4096))
        .hasMessage("zlib: stream ends after 4000 of 4096 bytes");
    assertThatThrownBy(() -> decoded(Arrays.copyOf(packed, 0), 4096))
        .hasMessage("zlib: stream ends after 0 of 4096 bytes");
  }
}
