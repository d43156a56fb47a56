package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class ByteCursorTest {
  private static ByteCursor over(int... bytes) {
    byte[] copy = new byte[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      copy[i] = (byte) bytes[i];
    }
    return new ByteCursor(ByteView.of("notes", copy), 0);
  }

  @Test
  void readsOneFieldAfterTheOther() throws MalformedFileException {
    ByteCursor cursor = over(1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', 0);
    assertThat(cursor.u8("a")).isEqualTo(1);
    assertThat(cursor.u16("b")).isEqualTo(2);
    assertThat(cursor.u32("c")).isEqualTo(3);
    assertThat(cursor.u64("d")).isEqualTo(4);
    assertThat(cursor.cString("e", 10)).isEqualTo("hi");
    assertThat(cursor.remaining()).isZero();
  }

  @Test
  void aShortFieldNamesItself() {
    assertThatThrownBy(() -> over(1, 2).u32("namesz"))
        .isInstanceOf(MalformedFileException.class)
        .hasMessage("[notes] notes.namesz at 0x0: expected 4 bytes, got only 2 left");
  }

  @Test
  void aCountAboveItsLimitIsRefused() {
    assertThatThrownBy(() -> over(0xff, 0xff, 0xff, 0xff).u32AtMost("count", 4096))
        .hasMessage("[notes] notes.count at 0x0: expected at most 4096, got 4294967295");
  }

  @Test
  void readsLeb128() throws MalformedFileException {
    assertThat(over(0xe5, 0x8e, 0x26).uleb("n")).isEqualTo(624485);
    assertThat(over(0x9b, 0xf1, 0x59).sleb("n")).isEqualTo(-624485);
    assertThat(over(0x7f).sleb("n")).isEqualTo(-1);
    assertThatThrownBy(
            () ->
                over(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0).uleb("n"))
        .hasMessage(
            "[notes] notes.n at 0x0: expected a LEB128 number of at most 10 bytes, got a longer"
                + " one");
  }

  @Test
  void aSeekOutsideIsRefused() {
    assertThatThrownBy(() -> over(1).seek(2)).isInstanceOf(MalformedFileException.class);
    assertThatThrownBy(() -> over(1).seek(-1)).isInstanceOf(MalformedFileException.class);
    assertThatThrownBy(() -> over(1).skip("pad", Long.MAX_VALUE))
        .isInstanceOf(MalformedFileException.class);
  }

  @Test
  void aStringWithoutItsNulIsRefused() {
    assertThatThrownBy(() -> over('a', 'b').cString("name", 100))
        .hasMessage("[notes] notes.name at 0x0: expected a NUL within 2 bytes, got none");
  }
}
