package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PageBitmapTest {
  @Test
  void agreesWithABitSetAtEverySize() {
    Random random = new Random(5);
    for (int bits : new int[] {1, 7, 63, 64, 65, 511, 512, 513, 5000}) {
      BitSet expected = new BitSet(bits);
      for (int i = 0; i < bits; i++) {
        expected.set(i, random.nextInt(bits > 1000 ? 40 : 3) == 0);
      }
      byte[] bytes = new byte[(bits + 7) / 8 + random.nextInt(9)];
      // Bits beyond the count are set and must not be seen.
      java.util.Arrays.fill(bytes, (byte) 0xff);
      for (int i = 0; i < bits; i++) {
        if (!expected.get(i)) {
          bytes[i / 8] &= (byte) ~(1 << (i % 8));
        }
      }
      PageBitmap map = new PageBitmap(MemorySegment.ofArray(bytes), bits);
      assertThat(map.setCount()).isEqualTo(expected.cardinality());
      for (int i = 0; i < bits; i++) {
        assertThat(map.get(i)).isEqualTo(expected.get(i));
        assertThat(map.rank(i)).isEqualTo(expected.get(0, i).cardinality());
        assertThat(map.nextSet(i)).isEqualTo(expected.nextSetBit(i));
      }
      long rank = 0;
      for (int set = expected.nextSetBit(0); set >= 0; set = expected.nextSetBit(set + 1)) {
        assertThat(map.select(rank++)).isEqualTo(set);
      }
      assertThat(map.select(rank)).isEqualTo(-1);
      assertThat(map.select(-1)).isEqualTo(-1);
      assertThat(map.get(bits)).isFalse();
      assertThat(map.rank(Long.MAX_VALUE)).isEqualTo(expected.cardinality());
      assertThat(map.rank(-1)).isZero();
      assertThat(map.nextSet(bits)).isEqualTo(-1);
    }
  }

  @Test
  void countsWhatAnotherMapHasNot() {
    PageBitmap a = new PageBitmap(MemorySegment.ofArray(new byte[] {0b1011, 1}), 16);
    PageBitmap b = new PageBitmap(MemorySegment.ofArray(new byte[] {0b0010, 1}), 16);
    assertThat(a.countNotIn(b)).isEqualTo(2);
    assertThat(b.countNotIn(a)).isZero();
  }
}
