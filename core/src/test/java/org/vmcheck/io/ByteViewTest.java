package org.vmcheck.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class ByteViewTest {
  private static final byte[] BYTES = {
    (byte) 0x81, 2, 3, 4, 5, 6, 7, (byte) 0x88, 'a', 'b', 0, 'c'
  };

  @Test
  void readsInTheFilesByteOrder() {
    ByteView little = ByteView.of("x", BYTES);
    ByteView big = new ByteView("x", "x", MemorySegment.ofArray(BYTES), 0, true);
    assertThat(little.u16(0)).isEqualTo(0x0281);
    assertThat(big.u16(0)).isEqualTo(0x8102);
    assertThat(little.u32(0)).isEqualTo(0x04030281L);
    assertThat(big.u32(0)).isEqualTo(0x81020304L);
    assertThat(little.u64(0)).isEqualTo(0x8807060504030281L);
    assertThat(big.u64(0)).isEqualTo(0x8102030405060788L);
    assertThat(big.i32(0)).isEqualTo(0x81020304);
    assertThat(little.unsigned(7, 1)).isEqualTo(0x88);
    assertThat(big.unsigned(0, 8)).isEqualTo(0x8102030405060788L);
  }

  @Test
  void anAccessOutsideThrows() {
    ByteView view = ByteView.of("x", BYTES);
    assertThatThrownBy(() -> view.u64(5)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> view.u8(-1)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> view.slice("y", 4, 9)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void aStringEndsAtItsNulOrAtTheEnd() {
    ByteView view = ByteView.of("x", BYTES);
    assertThat(view.string(8, 10)).isEqualTo("ab");
    assertThat(view.string(11, 10)).isEqualTo("c");
    assertThat(view.string(0, 1)).isEqualTo("\u0081");
  }

  @Test
  void anErrorNamesFilePartFieldAndOffsetInTheFile() {
    ByteView part =
        new ByteView("web7.vmcore", "kdump page_desc", MemorySegment.ofArray(BYTES), 0x41c0, false)
            .slice("kdump page_desc", 8, 4);
    assertThat(part.malformed("size", 0, "at most 4096 bytes", "65535"))
        .hasMessage(
            "[web7.vmcore] kdump page_desc.size at 0x41c8: expected at most 4096 bytes, got 65535");
  }
}
