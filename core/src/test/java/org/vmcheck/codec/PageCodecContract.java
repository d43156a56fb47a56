package org.vmcheck.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.Packer;

/// What every page codec keeps, whatever bytes it is given. The encoders are foreign: zlib of the
/// JDK, LZO and Snappy of aircompressor, zstd's own.
abstract class PageCodecContract {
  private static final byte CANARY = (byte) 0xc5;

  private final PageCodec codec;
  private final Packer packer;

  PageCodecContract(PageCodec codec, Packer packer) {
    this.codec = codec;
    this.packer = packer;
  }

  @Test
  void isTheOneListedForItsFlag() {
    assertThat(codec.flag()).isEqualTo(packer.flag());
    assertThat(Codecs.byFlag(packer.flag())).get().hasSameClassAs(codec);
    assertThat(Codecs.FLAG_MASK & packer.flag()).isEqualTo(packer.flag());
    assertThat(codec.name()).isEqualToIgnoringCase(packer.name());
  }

  @ParameterizedTest
  @ValueSource(ints = {4096, 16384, 65536})
  void decodesWhatAForeignEncoderPacked(int pageSize) throws CorruptPageException {
    for (int seed = 0; seed < 150; seed++) {
      byte[] page = Bytes.mixed(seed, pageSize);
      assertThat(decoded(packer.pack(page), pageSize)).as("seed %d", seed).isEqualTo(page);
    }
  }

  @Test
  void decodesTheExtremes() throws CorruptPageException {
    for (byte[] page :
        new byte[][] {
          new byte[4096], Bytes.filledWith(0xff), Bytes.noise(7, 4096), Bytes.noise(8, 65536)
        }) {
      assertThat(decoded(packer.pack(page), page.length)).isEqualTo(page);
    }
  }

  @Test
  void decodesItsOwnSample() throws CorruptPageException {
    byte[] page = Codecs.sample();
    assertThat(decoded(codec.packedSample(), page.length)).isEqualTo(page);
  }

  @Test
  void readsOnlyTheBytesItIsTold() throws CorruptPageException {
    byte[] page = Bytes.mixed(3);
    byte[] packed = packer.pack(page);
    byte[] longer = Arrays.copyOf(packed, packed.length + 500);
    Arrays.fill(longer, packed.length, longer.length, (byte) 0xff);
    byte[] out = new byte[4096];
    codec.decode(longer, packed.length, out, 4096);
    assertThat(out).isEqualTo(page);
  }

  @Test
  void everyPrefixIsRefused() {
    byte[] packed = packer.pack(Bytes.mixed(11));
    for (int length = 0; length < packed.length; length++) {
      byte[] prefix = Arrays.copyOf(packed, length);
      assertThatThrownBy(() -> decoded(prefix, 4096))
          .as("prefix of %d", length)
          .isInstanceOf(CorruptPageException.class);
    }
  }

  @Test
  void aStreamOfMoreOrFewerBytesThanAPageIsRefused() {
    byte[] larger = packer.pack(Bytes.mixed(5, 8192));
    byte[] smaller = packer.pack(Bytes.mixed(5, 2048));
    assertThatThrownBy(() -> decoded(larger, 4096)).isInstanceOf(CorruptPageException.class);
    assertThatThrownBy(() -> decoded(smaller, 4096)).isInstanceOf(CorruptPageException.class);
  }

  /// A bomb: a small input that wants to become 16 MiB.
  @Test
  void aBombStopsAtThePage() {
    byte[] bomb = packer.pack(new byte[16 << 20]);
    assertThatThrownBy(() -> decoded(bomb, 4096)).isInstanceOf(CorruptPageException.class);
  }

  /// Flips a bit, a byte or a few: the answer is a page or a refusal, nothing is written behind the
  /// page, and no other exception comes out.
  @Test
  void flippedBytesGiveAPageOrARefusal() {
    Random random = new Random(2204);
    for (int round = 0; round < 4000; round++) {
      byte[] packed = packer.pack(Bytes.mixed(round % 40));
      for (int flips = 1 + random.nextInt(4); flips > 0; flips--) {
        packed[random.nextInt(packed.length)] ^= (byte) (1 + random.nextInt(255));
      }
      try {
        decoded(packed, 4096);
      } catch (CorruptPageException e) {
        assertThat(e).hasMessageStartingWith(codec.name() + ": ");
      }
    }
  }

  @Test
  void noiseGivesAPageOrARefusal() {
    Random random = new Random(99);
    for (int round = 0; round < 4000; round++) {
      byte[] noise = new byte[random.nextInt(200)];
      random.nextBytes(noise);
      try {
        decoded(noise, 4096);
      } catch (CorruptPageException e) {
        assertThat(e.getMessage()).isNotEmpty();
      }
    }
  }

  /// Decodes into a page with a canary behind it.
  byte[] decoded(byte[] in, int pageSize) throws CorruptPageException {
    byte[] out = new byte[pageSize + 64];
    Arrays.fill(out, CANARY);
    try {
      codec.decode(in, in.length, out, pageSize);
    } finally {
      for (int i = pageSize; i < out.length; i++) {
        assertThat(out[i]).as("byte %d behind the page", i - pageSize).isEqualTo(CANARY);
      }
    }
    return Arrays.copyOf(out, pageSize);
  }
}
