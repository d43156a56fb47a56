package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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

class KallsymsTest {
  static final long TEXT = 0xffff_ffff_9200_0000L;
  private static final long TABLES = 0xffff_ffff_9300_0000L;
  private static final OptionalLong STEXT = OptionalLong.of(TEXT);

  /// A thousand symbols as an x86_64 kernel has them: `percpu` of them per-CPU.
  static List<Symbol> symbols(int percpu) {
    List<Symbol> symbols = new ArrayList<>();
    for (int i = 0; i < percpu; i++) {
      symbols.add(new Symbol("percpu_counter_" + i, 'A', 0x40L * i));
    }
    symbols.add(new Symbol("_stext", 'T', TEXT));
    symbols.add(new Symbol("_text", 'T', TEXT));
    for (int i = 0; i < 1000; i++) {
      symbols.add(new Symbol("do_sys_open" + i * 7919 % 1000, 't', TEXT + 0x100 + 0x40L * i));
    }
    symbols.add(new Symbol("linux_banner", 'D', TEXT + 0xa0_0000));
    symbols.add(new Symbol("_end", 'B', TEXT + 0x100_0000));
    return symbols;
  }

  static Stream<KallsymsWriter> generations() {
    return Stream.of(
        KallsymsWriter.as418(symbols(40)).relativeBase(TEXT),
        KallsymsWriter.as53(symbols(40)).relativeBase(TEXT),
        KallsymsWriter.as53(symbols(0)).encoding(Kallsyms.Encoding.ABSOLUTE),
        KallsymsWriter.as61(symbols(40)).relativeBase(TEXT),
        KallsymsWriter.as612(symbols(40)).relativeBase(TEXT),
        KallsymsWriter.as612(symbols(0))
            .encoding(Kallsyms.Encoding.BASE_RELATIVE)
            .relativeBase(TEXT),
        KallsymsWriter.as70(symbols(0)));
  }

  @ParameterizedTest
  @MethodSource("generations")
  void everyGenerationGivesItsSymbolsBack(KallsymsWriter writer) throws Exception {
    KallsymsWriter.Image image = writer.at(TABLES);

    Symbols symbols = Kallsyms.decode(image.tables(), STEXT);

    List<Symbol> decoded = new ArrayList<>();
    for (int i = 0; i < symbols.count(); i++) {
      decoded.add(symbols.get(i));
    }
    assertThat(decoded)
        .containsExactlyInAnyOrderElementsOf(symbols(image.count() == 1044 ? 40 : 0));
    assertThat(symbols.source()).isEqualTo("kallsyms");
  }

  @Test
  void perCpuSymbolsAreNotMovedByTheBase() throws Exception {
    Symbols symbols =
        Kallsyms.decode(
            KallsymsWriter.as61(symbols(40)).relativeBase(TEXT).at(TABLES).tables(), STEXT);

    assertThat(symbols.address("percpu_counter_3")).hasValue(0xc0);
    assertThat(symbols.address("_stext")).hasValue(TEXT);
  }

  /// A name of letters that no token shortens, so that its record has as many codes.
  private static String incompressible(int length) {
    Random random = new Random(length);
    StringBuilder name = new StringBuilder();
    for (int i = 0; i < length; i++) {
      name.append((char) ('!' + random.nextInt(94)));
    }
    return name.toString();
  }

  @Test
  void namesOf128CodesAndMoreTakeTwoLengthBytesSince61() throws Exception {
    List<Symbol> symbols = symbols(0);
    symbols.add(new Symbol(incompressible(500), 't', TEXT + 0x80));
    symbols.add(new Symbol(incompressible(130), 't', TEXT + 0x90));

    Symbols decoded =
        Kallsyms.decode(KallsymsWriter.as61(symbols).relativeBase(TEXT).at(TABLES).tables(), STEXT);

    assertThat(decoded.address(incompressible(500))).hasValue(TEXT + 0x80);
    assertThat(decoded.address(incompressible(130))).hasValue(TEXT + 0x90);
    assertThat(decoded.address("linux_banner")).hasValue(TEXT + 0xa0_0000);
  }

  @Test
  void lengthByteOf128AndMoreIsItselfBefore61() throws Exception {
    List<Symbol> symbols = symbols(0);
    symbols.add(new Symbol(incompressible(200), 't', TEXT + 0x80));

    for (KallsymsWriter writer :
        List.of(KallsymsWriter.as53(symbols), KallsymsWriter.as418(symbols))) {
      Symbols decoded = Kallsyms.decode(writer.relativeBase(TEXT).at(TABLES).tables(), STEXT);

      assertThat(decoded.address(incompressible(200))).hasValue(TEXT + 0x80);
      assertThat(decoded.address("linux_banner")).hasValue(TEXT + 0xa0_0000);
    }
  }

  @Test
  void baseThatPutsStextElsewhereIsRefused() {
    Kallsyms.Tables tables =
        KallsymsWriter.as61(symbols(40)).relativeBase(TEXT).at(TABLES).tables();

    assertThatThrownBy(() -> Kallsyms.decode(tables, OptionalLong.of(TEXT + 0x1000)))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("ABSOLUTE_PERCPU: _stext comes out at 0xffffffff92000000")
        .hasMessageContaining("VMCOREINFO says 0xffffffff92001000")
        .hasMessageContaining("BASE_RELATIVE");
  }

  @Test
  void addressesThatDescendAreRefused() {
    KallsymsWriter.Image image = KallsymsWriter.as61(symbols(0)).relativeBase(TEXT).at(TABLES);
    int at = image.offsetOf("kallsyms_offsets") + 400;
    image.bytes()[at + 1] ^= 0x40;

    assertThatThrownBy(() -> Kallsyms.decode(image.tables(), STEXT))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("lies below the one before it");
  }

  @Test
  void tokenIndexThatDoesNotFollowTheTableIsNamed() {
    KallsymsWriter.Image image = KallsymsWriter.as61(symbols(0)).relativeBase(TEXT).at(TABLES);
    image.bytes()[image.offsetOf("kallsyms_token_index") + 2 * 7]++;

    assertThatThrownBy(() -> Kallsyms.decode(image.tables(), STEXT))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("kallsyms_token_index[7]")
        .hasMessageContaining("expected 7,");
  }

  @Test
  void countLargerThanTheNamesIsRefusedBeforeAnythingIsAllocated() {
    Kallsyms.Tables image = KallsymsWriter.as61(symbols(0)).relativeBase(TEXT).at(TABLES).tables();
    Kallsyms.Tables tables =
        new Kallsyms.Tables(
            Kallsyms.MAX_SYMBOLS,
            image.names(),
            image.tokenTable(),
            image.tokenIndex(),
            image.offsets(),
            0,
            null,
            image.relativeBase());

    assertThatThrownBy(() -> Kallsyms.decode(tables, STEXT))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("10000000 symbols");
  }

  @Test
  void recordOfLengthZeroIsNamed() {
    KallsymsWriter.Image image = KallsymsWriter.as61(symbols(0)).relativeBase(TEXT).at(TABLES);
    image.bytes()[image.offsetOf("kallsyms_names")] = 0;

    assertThatThrownBy(() -> Kallsyms.decode(image.tables(), STEXT))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("kallsyms_names[0].length")
        .hasMessageContaining("got 0");
  }

  @Test
  void tablesWithAnyByteFlippedAreDecodedOrRefused() {
    Random random = new Random(42);
    for (int round = 0; round < 300; round++) {
      KallsymsWriter.Image image = KallsymsWriter.as612(symbols(8)).relativeBase(TEXT).at(TABLES);
      image.bytes()[random.nextInt(image.bytes().length)] ^= (byte) (1 << random.nextInt(8));
      try {
        Symbols symbols = Kallsyms.decode(image.tables(), STEXT);
        assertThat(symbols.get(symbols.count() - 1).name()).isNotEmpty();
      } catch (MalformedFileException expected) {
        assertThat(expected).hasMessageContaining("kallsyms");
      }
    }
  }

  @Test
  void everyPrefixOfTheNamesIsRefused() {
    KallsymsWriter.Image image = KallsymsWriter.as61(symbols(0)).relativeBase(TEXT).at(TABLES);
    Kallsyms.Tables whole = image.tables();
    int end = image.offsetOf("kallsyms_markers") - image.offsetOf("kallsyms_names") - 8;
    for (int length = 0; length < end; length += 13) {
      ByteView names = whole.names().slice("kallsyms_names", 0, length);
      Kallsyms.Tables cut =
          new Kallsyms.Tables(
              whole.count(),
              names,
              whole.tokenTable(),
              whole.tokenIndex(),
              whole.offsets(),
              0,
              null,
              whole.relativeBase());
      assertThatThrownBy(() -> Kallsyms.decode(cut, STEXT))
          .isInstanceOf(MalformedFileException.class);
    }
  }
}
