package org.vmcheck.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.Zstd;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.Packer;

class ZstdCodecTest extends PageCodecContract {
  ZstdCodecTest() {
    super(new ZstdCodec(), Packer.ZSTD);
  }

  @Test
  void decodesFramesOfOtherLevels() throws CorruptPageException {
    byte[] page = Bytes.mixed(17);
    for (int level : new int[] {-5, 3, 19}) {
      assertThat(decoded(Zstd.compress(page, level), 4096)).isEqualTo(page);
    }
  }

  @Test
  void otherBytesAreNoFrame() {
    assertThatThrownBy(() -> decoded(new byte[20], 4096)).hasMessage("zstd: no frame magic");
  }

  @Test
  void aFrameThatNeedsADictionaryIsRefused() {
    byte[] frame = Packer.ZSTD.pack(Bytes.mixed(17));
    frame[4] |= 1;
    assertThatThrownBy(() -> decoded(frame, 4096)).hasMessage("zstd: frame needs a dictionary");
  }
}
