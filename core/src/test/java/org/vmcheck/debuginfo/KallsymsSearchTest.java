package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.KallsymsWriter;

class KallsymsSearchTest {
  private static final long TEXT = KallsymsTest.TEXT;
  private static final long TABLES = 0xffff_ffff_9300_0000L;

  /// The tables somewhere in noise, in which positions are offsets.
  private static byte[] buried(byte[] tables, int at, int seed) {
    byte[] memory = new byte[at + tables.length + 5000];
    new Random(seed).nextBytes(memory);
    System.arraycopy(tables, 0, memory, at, tables.length);
    return memory;
  }

  private static KallsymsSearch.Image image(byte[] memory) {
    return (position, byteCount) ->
        position < 0 || position > memory.length - byteCount
            ? null
            : ByteView.of("memory", memory).slice("part", position, byteCount);
  }

  private static List<KallsymsSearch.Located> search(byte[] memory) {
    List<KallsymsSearch.Located> found = new ArrayList<>();
    long last = -1;
    long at = KallsymsSearch.findTrace(MemorySegment.ofArray(memory), 0);
    while (at >= 0) {
      OptionalLong digits = KallsymsSearch.digitsAround(image(memory), at);
      if (digits.isPresent() && digits.getAsLong() != last) {
        last = digits.getAsLong();
        found.addAll(KallsymsSearch.at(image(memory), last));
      }
      at = KallsymsSearch.findTrace(MemorySegment.ofArray(memory), at + 8);
    }
    return found;
  }

  private static List<Symbol> decoded(
      List<KallsymsSearch.Located> found, long addressLessPosition) {
    for (KallsymsSearch.Located located : found) {
      try {
        Symbols symbols = located.symbols(addressLessPosition, OptionalLong.of(TEXT));
        List<Symbol> all = new ArrayList<>();
        for (int i = 0; i < symbols.count(); i++) {
          all.add(symbols.get(i));
        }
        return all;
      } catch (MalformedFileException _) {
        // The next reading may be the right one.
      }
    }
    return List.of();
  }

  static Stream<KallsymsWriter> generations() {
    List<Symbol> many = new ArrayList<>(KallsymsTest.symbols(40));
    for (int i = 0; i < 3000; i++) {
      many.add(new Symbol("another_function_" + i, 't', TEXT + 0x10_0000 + 16L * i));
    }
    return Stream.concat(
        KallsymsTest.generations(),
        Stream.of(
            // 6.2 and 6.3: the order by name lies between the markers and the tokens.
            KallsymsWriter.as61(many).sequences().relativeBase(TEXT),
            KallsymsWriter.as612(many).relativeBase(TEXT),
            KallsymsWriter.as418(many).relativeBase(TEXT),
            KallsymsWriter.as61(many.subList(40, 140)).relativeBase(TEXT),
            KallsymsWriter.as70(many.subList(40, many.size()))));
  }

  @ParameterizedTest
  @MethodSource("generations")
  void everyGenerationIsFoundInNoise(KallsymsWriter writer) throws Exception {
    int at = 0x2_3000;
    KallsymsWriter.Image tables = writer.at(TABLES);
    Symbols told = Kallsyms.decode(tables.tables(), OptionalLong.of(TEXT));

    List<Symbol> found = decoded(search(buried(tables.bytes(), at, 1)), TABLES - at);

    assertThat(found).hasSize(told.count());
    for (int i = 0; i < told.count(); i++) {
      assertThat(found.get(i)).isEqualTo(told.get(i));
    }
  }

  @Test
  void positionsOfTheTablesAreTold() {
    KallsymsWriter.Image tables =
        KallsymsWriter.as53(KallsymsTest.symbols(40)).relativeBase(TEXT).at(TABLES);

    KallsymsSearch.Located located = search(buried(tables.bytes(), 0x1000, 2)).getFirst();

    tables
        .labels()
        .forEach(
            (label, address) ->
                assertThat(located.position(label)).as(label).hasValue(address - TABLES + 0x1000));
  }

  @Test
  void tenDigitsAloneAreNoTable() {
    byte[] memory = new byte[8192];
    for (int i = 0; i < 10; i++) {
      memory[3001 + 2 * i] = (byte) ('0' + i);
    }

    assertThat(KallsymsSearch.digitsAround(image(memory), 3008)).hasValue(3001);
    assertThat(search(memory)).isEmpty();
  }

  @Test
  void tablesWithAByteOfTheNamesChangedAreNotFoundOrDecodeAsBefore() {
    KallsymsWriter.Image tables =
        KallsymsWriter.as61(KallsymsTest.symbols(8)).relativeBase(TEXT).at(TABLES);
    Random random = new Random(3);
    for (int round = 0; round < 40; round++) {
      byte[] memory = buried(tables.bytes(), 4096, round);
      memory[4096 + random.nextInt(tables.bytes().length)] ^= (byte) (1 << random.nextInt(8));

      List<Symbol> found = decoded(search(memory), TABLES - 4096);

      assertThat(found.size()).isIn(0, 1012);
    }
  }
}
