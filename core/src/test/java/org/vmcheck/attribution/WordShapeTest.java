package org.vmcheck.attribution;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// What a word is called by whoever wonders who wrote it.
class WordShapeTest {
  private static final FakeImage IMAGE =
      FakeKernel.of(Layout.V6_1).seed(3).cache(FakeCache.named("victim", 64)).build();
  private static final Kernel KERNEL = IMAGE.kernel();

  private static String words(long word) {
    WordShape shape = WordShape.of(KERNEL, word);
    assertThat(shape.known()).isEqualTo(!shape.words().equals("not recognised"));
    return shape.words();
  }

  private static long text(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.ISO_8859_1))
        .order(ByteOrder.LITTLE_ENDIAN)
        .getLong();
  }

  /// Linux `include/linux/poison.h`.
  @ParameterizedTest
  @CsvSource({
    "0000000000000000, zero",
    "ffffffffffffffff, all ones",
    "dead000000000100, list poison (the element was deleted from its list)",
    "dead000000000122, list poison (the element was deleted from its list)",
    "dead000000000101, not recognised",
    "6b6b6b6b6b6b6b6b, slab poison of a free object (0x6b)",
    "a56b6b6b6b6b6b6b, end of slab poison (0x6b..a5)",
    "a46b6b6b6b6b6b6b, 'text \"kkkkkkk.\"'",
    "a56b6b6b6b6b6b01, not recognised",
    "5a5a5a5a5a5a5a5a, slab padding (0x5a)",
    "a5a5a5a5a5a5a5a5, end of slab poison (0xa5)",
    "bbbbbbbbbbbbbbbb, inactive red zone (0xbb)",
    "cccccccccccccccc, active red zone or freed init memory (0xcc)",
    "aaaaaaaaaaaaaaaa, poison of a free page (0xaa)",
    "4141414141414141, one byte repeated (0x41)",
    "0101010101010101, one byte repeated (0x01)",
    "0000000000000001, small number (1)",
    "00000000ffffffff, small number (4294967295)",
    "0000000100000000, not recognised",
    "8000000000000001, not recognised",
    "00007fff12345678, not recognised",
  })
  void valuesThatTheKernelWritesAreNamed(String hex, String expected) {
    assertThat(words(Long.parseUnsignedLong(hex, 16))).isEqualTo(expected);
  }

  @Test
  void sevenOfEightCharactersAreText() {
    assertThat(words(text("admin;us"))).isEqualTo("text \"admin;us\"");
    assertThat(words(text("admin;u\0"))).isEqualTo("text \"admin;u.\"");
    assertThat(words(text("\0admin;u"))).isEqualTo("text \".admin;u\"");
    assertThat(words(text("a\nb\tc de"))).isEqualTo("text \"a.b.c de\"");
    assertThat(words(text("      ~ "))).isEqualTo("text \"      ~ \"");
    assertThat(words(text("admin;\0\1"))).isEqualTo("not recognised");
    // DEL and what has the eighth bit are no text.
    assertThat(words(text("admi\u007f;u\1"))).isEqualTo("not recognised");
    assertThat(words(text("adm\u00e9n;u\1"))).isEqualTo("not recognised");
    assertThat(words(text("admin;\u001f\1"))).isEqualTo("not recognised");
    assertThat(words(text("admin\u007f;u"))).isEqualTo("text \"admin.;u\"");
  }

  @Test
  void addressesAreNamedByWhatIsThere() {
    long symbol = IMAGE.symbol("slab_caches");
    assertThat(words(symbol)).isEqualTo("kernel address " + KERNEL.describe(symbol));
    assertThat(words(symbol)).contains("slab_caches");
    long object = IMAGE.cache("victim").slabs().getFirst().object(1);
    assertThat(words(object)).isEqualTo("pointer into the direct map (slab victim)");
    long beyond = KERNEL.memory().map().directMap().end() - 4096;
    assertThat(words(beyond)).startsWith("pointer into the direct map (");
  }

  @Test
  void theVmemmapIsMappedKernelMemory() {
    long descriptor = IMAGE.cache("victim").slabs().getFirst().address();
    assertThat(words(descriptor)).isEqualTo("pointer to mapped kernel memory");
  }

  @Test
  void oneFlippedBitIsTold() {
    assertThat(FlippedBit.isOne(0b1010, 0b1000)).isTrue();
    assertThat(FlippedBit.isOne(0b1010, 0b1010)).isFalse();
    assertThat(FlippedBit.isOne(0b1010, 0b0110)).isFalse();
    assertThat(FlippedBit.isOne(1L << 63, 0)).isTrue();
    assertThat(FlippedBit.isTelling(0x1040, 0x1000, 0x40)).isTrue();
    assertThat(FlippedBit.isTelling(0x1020, 0x1000, 0x40)).isFalse();
    assertThat(FlippedBit.isTelling(0x1060, 0x1000, 0x40)).isFalse();
    assertThat(FlippedBit.isTelling(1L << 63, 0, 0x40)).isTrue();
    assertThat(FlippedBit.words(0x2000, 0, 0x1000))
        .isEqualTo("bit 13 is flipped (bit 5 of the byte at physical 0x1001)");
    assertThat(FlippedBit.words(1 << 16, 0, 0x1000))
        .isEqualTo("bit 16 is flipped (bit 0 of the byte at physical 0x1002)");
    assertThat(FlippedBit.words(0, 1, 0x1000))
        .isEqualTo("bit 0 is flipped (bit 0 of the byte at physical 0x1000)");
    assertThat(FlippedBit.words(0xff, 0, 0x1000)).isEqualTo("8 bits differ");
  }
}
