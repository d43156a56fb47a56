package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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

  /// Blocks are larger there: their table stays as small as it is.
  @Test
  void aMapOfTwoBillionBitsAnswersTheSame(@TempDir Path directory) throws Exception {
    long bits = (1L << 31) + 100;
    long[] set = {3, 511, 513, 1024, 5000, 1L << 30, (1L << 30) + 4095, 1L << 31, bits - 1};
    try (Arena arena = Arena.ofConfined();
        FileChannel file =
            FileChannel.open(
                directory.resolve("bits"),
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
      long bytes = bits / 8 + 1;
      MemorySegment map = file.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
      for (long bit : set) {
        long at = bit / 8;
        int now = map.get(ValueLayout.JAVA_BYTE, at);
        map.set(ValueLayout.JAVA_BYTE, at, (byte) (now | 1 << bit % 8));
      }
      PageBitmap bitmap = new PageBitmap(map, bits);
      assertThat(bitmap.setCount()).isEqualTo(set.length);
      for (int i = 0; i < set.length; i++) {
        assertThat(bitmap.get(set[i])).isTrue();
        assertThat(bitmap.get(set[i] + 1)).isFalse();
        assertThat(bitmap.rank(set[i])).isEqualTo(i);
        assertThat(bitmap.rank(set[i] + 1)).isEqualTo(i + 1);
        assertThat(bitmap.select(i)).isEqualTo(set[i]);
        assertThat(bitmap.nextSet(i == 0 ? 0 : set[i - 1] + 1)).isEqualTo(set[i]);
      }
      assertThat(bitmap.nextSet(bits)).isEqualTo(-1);
    }
  }
}
