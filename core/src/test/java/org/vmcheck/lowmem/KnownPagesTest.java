package org.vmcheck.lowmem;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.finding.PageMap;
import org.vmcheck.memory.PageMask;

/// Pages of which every number is known beforehand, and what they are called at each limit.
class KnownPagesTest {
  private static final int SIZE = 4096;
  private static final long ADDRESS = 0xffff_8881_0000_1000L;

  private static PageStatistics of(byte[] page) {
    return PageStatistics.of(MemorySegment.ofArray(page));
  }

  private static PageStatistics of(ByteBuffer page) {
    return PageStatistics.of(MemorySegment.ofBuffer(page));
  }

  private static byte[] filled(int value) {
    byte[] page = new byte[SIZE];
    Arrays.fill(page, (byte) value);
    return page;
  }

  /// Every block another, and nothing that is text or an address.
  private static ByteBuffer binary() {
    ByteBuffer page = ByteBuffer.allocate(SIZE).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < SIZE / 8; i++) {
      page.putLong(8 * i, 0x8182_8384_8586_0000L | (0x8000 + i));
    }
    return page;
  }

  @Test
  void zeros() {
    PageStatistics page = of(new byte[SIZE]);

    assertThat(page.isZero()).isTrue();
    assertThat(page.looks()).isEqualTo(PageMap.Looks.ZERO);
    assertThat(page.zeroBytes()).isEqualTo(SIZE);
    assertThat(page.zeroBlocks()).isEqualTo(256);
    assertThat(page.blocks()).isEqualTo(256);
    assertThat(page.distinctBlocks()).isEqualTo(1);
    assertThat(page.distinctBytes()).isEqualTo(1);
    assertThat(page.commonestCount()).isZero();
    assertThat(page.entropy()).isZero();
    assertThat(page.serialCorrelation()).isEqualTo(1);
    assertThat(page.chiSquare()).isEqualTo(4080.0 * 4080 / 16 + 255 * 16);
  }

  @Test
  void twoBytesInTurn() {
    byte[] bytes = filled('a');
    for (int i = 0; i < SIZE; i += 2) {
      bytes[i] = 'b';
    }
    PageStatistics page = of(bytes);

    assertThat(page.entropy()).isCloseTo(1, within(1e-12));
    assertThat(page.serialCorrelation()).isCloseTo(-1, within(1e-12));
    assertThat(page.distinctBytes()).isEqualTo(2);
    assertThat(page.printableBytes()).isEqualTo(SIZE);
    assertThat(page.chiSquare()).isEqualTo(2 * 2032.0 * 2032 / 16 + 254 * 16);
    assertThat(page.commonest())
        .isEqualTo(new PageMask(0x6162_6162_6162_6162L, 0x6162_6162_6162_6162L));
    assertThat(page.commonestCount()).isEqualTo(256);
    assertThat(page.looks()).isEqualTo(PageMap.Looks.FILLED);
  }

  @Test
  void halvesCorrelateButForTheirBorders() {
    byte[] bytes = filled(0);
    Arrays.fill(bytes, 0, SIZE / 2, (byte) 1);

    // Of 4096 neighbours 2047 are ones in a row: (n * 2047 - 2048^2) / (n * 2048 - 2048^2).
    assertThat(of(bytes).serialCorrelation())
        .isCloseTo(
            (4096.0 * 2047 - 2048.0 * 2048) / (4096.0 * 2048 - 2048.0 * 2048), within(1e-12));
    assertThat(of(bytes).zeroBlocks()).isEqualTo(128);
    assertThat(of(bytes).isZero()).isFalse();
    assertThat(of(bytes).commonestCount()).isEqualTo(128);
    assertThat(of(bytes).distinctBlocks()).isEqualTo(2);
  }

  @Test
  void blocksAreToldApartByEitherHalf() {
    ByteBuffer page = binary();
    page.putLong(0, 7).putLong(8, 9);
    page.putLong(16, 7).putLong(24, 8);
    page.putLong(32, 6).putLong(40, 9);
    page.putLong(48, 7).putLong(56, 9);

    PageStatistics found = of(page);

    assertThat(found.distinctBlocks()).isEqualTo(255);
    assertThat(found.commonest()).isEqualTo(new PageMask(7, 9));
    assertThat(found.commonestCount()).isEqualTo(2);
    assertThat(found.zeroBlocks()).isZero();
  }

  /// The table of blocks is one thread's for all its pages.
  @Test
  void whatAPageHadIsForgottenWithTheNext() {
    of(filled('x'));

    PageStatistics found = of(binary());

    assertThat(found.distinctBlocks()).isEqualTo(256);
    assertThat(found.commonestCount()).isEqualTo(1);
    assertThat(of(new byte[SIZE]).distinctBlocks()).isEqualTo(1);
  }

  @ParameterizedTest
  @CsvSource({"63, DATA", "64, POINTERS", "512, POINTERS"})
  void aQuarterOfTheBlocksInAddressesIsPointers(int addresses, PageMap.Looks looks) {
    ByteBuffer page = binary();
    for (int i = 0; i < addresses; i++) {
      // On either half of a block.
      page.putLong(8 * (i * 7 % 512), ADDRESS + 0x100L * i);
    }

    assertThat(of(page).addresses()).isEqualTo(addresses);
    assertThat(of(page).looks()).isEqualTo(looks);
  }

  /// Nine of ten bytes are text or zero, and more than half are text.
  @ParameterizedTest
  @CsvSource({
    "3687, 0, TEXT",
    "3686, 0, DATA",
    "2049, 1638, TEXT",
    "2048, 1639, DATA",
    "2049, 1637, DATA"
  })
  void textIsTextToNineTenths(int text, int zeros, PageMap.Looks looks) {
    byte[] page = binary().array();
    byte[] letters = new byte[text];
    for (int i = 0; i < text; i++) {
      letters[i] = (byte) (' ' + (i * 31 + i / 95 * 7) % 95);
    }
    System.arraycopy(letters, 0, page, 0, text);
    Arrays.fill(page, text, text + zeros, (byte) 0);

    PageStatistics found = of(page);

    assertThat(found.printableBytes()).isEqualTo(text);
    assertThat(found.looks()).isEqualTo(looks);
  }

  @Test
  void whatCountsAsPrintable() {
    for (int value = 0; value < 256; value++) {
      boolean isText = (value >= 0x20 && value <= 0x7e) || value == 9 || value == 10 || value == 13;
      assertThat(of(filled(value)).printableBytes()).as("0x%x", value).isEqualTo(isText ? SIZE : 0);
    }
  }

  @Test
  void oneBlockTwiceOrTooFewBytesAreNotRandom() {
    byte[] bytes = new byte[SIZE];
    new Random(4).nextBytes(bytes);
    assertThat(of(bytes).looksRandom()).isTrue();
    assertThat(of(bytes).looks()).isEqualTo(PageMap.Looks.RANDOM);

    byte[] twice = bytes.clone();
    System.arraycopy(bytes, 0, twice, 2048, 16);
    assertThat(of(twice).distinctBlocks()).isEqualTo(255);
    assertThat(of(twice).looksRandom()).isFalse();

    for (int without = 1; without <= 3; without++) {
      byte[] fewer = bytes.clone();
      for (int i = 0; i < SIZE; i++) {
        if ((fewer[i] & 0xff) < without) {
          fewer[i] = (byte) (0x80 + i % 64);
        }
      }
      assertThat(of(fewer).distinctBytes()).isEqualTo(256 - without);
      assertThat(of(fewer).looksRandom()).isEqualTo(without <= 2);
    }
  }

  /// Of several that are met equally often, the first that is: in small pages, whose blocks crowd.
  @Test
  void theCommonestBlockIsTheFirstThatIsMetMostOften() {
    Random random = new Random(7);
    for (int i = 0; i < 400; i++) {
      ByteBuffer page = ByteBuffer.allocate(128).order(ByteOrder.LITTLE_ENDIAN);
      long kind = random.nextLong();
      Map<PageMask, Integer> counts = new HashMap<>();
      PageMask commonest = new PageMask(0, 0);
      for (int block = 0; block < 8; block++) {
        PageMask words = new PageMask(kind + random.nextInt(3), kind * 3);
        page.putLong(16 * block, words.low()).putLong(16 * block + 8, words.high());
        int count = counts.merge(words, 1, Integer::sum);
        commonest = count > counts.getOrDefault(commonest, 0) ? words : commonest;
      }
      PageStatistics found = of(page);
      assertThat(found.commonestCount()).isEqualTo(counts.get(commonest));
      assertThat(found.commonest()).isEqualTo(commonest);
      assertThat(found.distinctBlocks()).isEqualTo(counts.size());
    }
  }

  @Test
  void deviationIsInStandardDeviations() {
    assertThat(PageStatistics.deviation(255.0 * 2, 2)).isZero();
    assertThat(PageStatistics.deviation(255.0 * 2 + Math.sqrt(2.0 * 255 * 2), 2))
        .isCloseTo(1, within(1e-12));
    assertThat(PageStatistics.deviation(255.0 * 8 - 2 * Math.sqrt(2.0 * 255 * 8), 8))
        .isCloseTo(-2, within(1e-12));
  }
}
