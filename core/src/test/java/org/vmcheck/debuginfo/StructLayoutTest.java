package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class StructLayoutTest {
  private static Member member(String name, long bitOffset, StructLayout struct) {
    return new Member(name, bitOffset, 0, 8, -1, () -> Optional.ofNullable(struct));
  }

  private final StructLayout inner =
      new StructLayout("inner", 16, List.of(member("a", 0, null), member("b", 64, null)));
  private final StructLayout outer =
      new StructLayout(
          "outer", 32, List.of(member("first", 0, null), member("nested", 128, inner)));

  @Test
  void pathAddsTheOffsetsOfItsParts() {
    Member found = outer.member("nested.b").orElseThrow();

    assertThat(found.offset()).isEqualTo(24);
    assertThat(found.name()).isEqualTo("nested.b");
  }

  @Test
  void pathThroughWhatIsNoStructureIsAbsent() {
    assertThat(outer.member("first.a")).isEmpty();
    assertThat(outer.member("nested.")).isEmpty();
    assertThat(outer.member(".b")).isEmpty();
    assertThat(outer.has("nested.b.c")).isFalse();
  }

  @Test
  void firstOfSeveralNamesThatExistsIsTaken() {
    assertThat(outer.firstMember("per_node", "nested.a").orElseThrow().offset()).isEqualTo(16);
    assertThat(outer.firstMember("x", "y")).isEmpty();
  }

  @Test
  void ofEqualNamesTheFirstCounts() {
    StructLayout twice =
        new StructLayout("twice", 16, List.of(member("a", 0, null), member("a", 64, null)));

    assertThat(twice.member("a").orElseThrow().offset()).isZero();
    assertThat(twice.memberCount()).isEqualTo(1);
  }

  /// A word is a pointer only where every member of a union that has it is one.
  @Test
  void wordsThatAreAlwaysPointersAreKnown() {
    Member pointer = pointer("next", 0, 1);
    Member number = member("count", 64, null);
    Member either = pointer("link", 128, 1);
    Member orNumber = member("key", 128, null);
    Member array = pointer("slots", 192, 2);
    StructLayout inner = new StructLayout("inner", 16, List.of(pointer("p", 64, 1)));
    Member nested = new Member("nested", 320, 0, 16, -1, () -> Optional.of(inner));
    StructLayout layout =
        new StructLayout("s", 56, List.of(pointer, number, either, orNumber, array, nested));
    assertThat(layout.pointees())
        .containsExactly("struct t", null, null, "struct t", "struct t", null, "struct t");
  }

  private static Member pointer(String name, long bitOffset, int count) {
    return new Member(
        name, bitOffset, 0, 8L * count, count > 1 ? count : -1, Optional::empty, "struct t", false);
  }
}
