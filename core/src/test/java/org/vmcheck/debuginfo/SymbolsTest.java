package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class SymbolsTest {
  private static final long TEXT = 0xffff_ffff_8100_0000L;

  private static Symbols symbols() {
    return new Symbols.Builder(4)
        .add(new Symbol("schedule", 'T', TEXT + 0x200))
        .add(new Symbol("_text", 'T', TEXT))
        .add(new Symbol("_stext", 'T', TEXT))
        .add(new Symbol("__func__.0", 'r', TEXT + 0x1000))
        .add(new Symbol("__func__.0", 'r', TEXT + 0x900))
        .add(new Symbol("vvar", 'A', 0x10))
        .build("test");
  }

  @Test
  void nameGivesItsAddress() {
    assertThat(symbols().address("schedule")).hasValue(TEXT + 0x200);
    assertThat(symbols().address("schedul")).isEmpty();
    assertThat(symbols().address("")).isEmpty();
  }

  @Test
  void nameThatSeveralHaveGivesAllAndTheFirst() {
    assertThat(symbols().all("__func__.0"))
        .extracting(Symbol::address)
        .containsExactlyInAnyOrder(TEXT + 0x1000, TEXT + 0x900);
    assertThat(symbols().address("__func__.0")).hasValue(TEXT + 0x1000);
  }

  @Test
  void addressGivesTheSymbolAtOrBeforeItWhateverTheOrder() {
    assertThat(symbols().atOrBefore(TEXT + 0x2ff))
        .contains(new Symbol("schedule", 'T', TEXT + 0x200));
    assertThat(symbols().atOrBefore(TEXT + 0x901))
        .contains(new Symbol("__func__.0", 'r', TEXT + 0x900));
    assertThat(symbols().atOrBefore(0xf)).isEmpty();
  }

  @Test
  void ofSeveralAtOneAddressTheFirstIsNamed() {
    assertThat(symbols().describe(TEXT)).contains("_text");
  }

  @Test
  void descriptionAddsTheDistanceUnlessItIsAbsurd() {
    assertThat(symbols().describe(TEXT + 0x210)).contains("schedule+0x10");
    assertThat(symbols().describe(TEXT + 0x1000 + (32 << 20))).isEmpty();
  }

  @Test
  void noSymbolsAreNoTrouble() {
    Symbols none = new Symbols.Builder(0).build("test");

    assertThat(none.count()).isZero();
    assertThat(none.address("schedule")).isEmpty();
    assertThat(none.atOrBefore(TEXT)).isEmpty();
  }

  @Test
  void builderGrowsBeyondWhatWasExpected() {
    Symbols.Builder builder = new Symbols.Builder(1);
    for (int i = 0; i < 5000; i++) {
      builder.add(new Symbol("a_rather_long_symbol_name_" + i, 't', i));
    }
    Symbols many = builder.build("test");

    assertThat(many.count()).isEqualTo(5000);
    for (int i = 0; i < 5000; i++) {
      assertThat(many.address("a_rather_long_symbol_name_" + i)).hasValue(i);
    }
  }
}
