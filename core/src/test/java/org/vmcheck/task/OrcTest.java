package org.vmcheck.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.io.ByteView;

/// The four forms of an ORC entry, told by a sample without types, as of a kernel without BTF.
class OrcTest {
  private static final int CALLS = 800;

  /// Mostly calls counted from the stack pointer, some from the frame pointer, and one other entry.
  private static ByteView sample(int spNumber, int callType, int other) {
    ByteBuffer bytes =
        ByteBuffer.allocate((CALLS + 101) * Orc.ENTRY_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < CALLS; i++) {
      bytes.putShort((short) 16).putShort((short) 0).putShort((short) (spNumber | callType << 8));
    }
    for (int i = 0; i < 100; i++) {
      bytes.putShort((short) 16).putShort((short) -16).putShort((short) (4 | callType << 8));
    }
    bytes.putShort((short) 0).putShort((short) 0).putShort((short) other);
    return ByteView.of("sample", bytes.array());
  }

  private static Orc.Entry entry(Orc orc, int sp, int bp, int bits) {
    return orc.entry(
        ByteView.of(
            "entry",
            ByteBuffer.allocate(6)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putShort((short) sp)
                .putShort((short) bp)
                .putShort((short) bits)
                .array()));
  }

  @Test
  void theFirstFormHasTwoBitsOfTypeAndAnEnd() {
    Orc orc = Orc.of(Optional.empty(), sample(5, 0, 1 << 10)).orElseThrow();

    assertThat(entry(orc, 24, -16, 5 | 1 << 4))
        .isEqualTo(new Orc.Entry(Orc.Base.SP, 24, Orc.Base.PREV_SP, -16, Orc.Type.CALL, false));
    assertThat(entry(orc, 0, 0, 5 | 1 << 8).type()).isEqualTo(Orc.Type.REGS);
    assertThat(entry(orc, 0, 0, 5 | 1 << 8).signal()).isTrue();
    assertThat(entry(orc, 0, 0, 5 | 2 << 8).type()).isEqualTo(Orc.Type.REGS_PARTIAL);
    assertThat(entry(orc, 0, 0, 1 << 10).type()).isEqualTo(Orc.Type.END_OF_STACK);
    assertThat(entry(orc, 0, 0, 0).type()).isEqualTo(Orc.Type.UNDEFINED);
    assertThat(entry(orc, 8, 0, 9).sp()).isEqualTo(Orc.Base.SP_INDIRECT);
  }

  @Test
  void theSecondFormHasASignalBitBeforeTheEnd() {
    Orc orc = Orc.of(Optional.empty(), sample(5, 0, 1 << 11)).orElseThrow();

    assertThat(entry(orc, 0, 0, 1 << 11).type()).isEqualTo(Orc.Type.END_OF_STACK);
    assertThat(entry(orc, 0, 0, 1 << 10).type()).isEqualTo(Orc.Type.UNDEFINED);
    assertThat(entry(orc, 8, 0, 5 | 1 << 10).signal()).isTrue();
    assertThat(entry(orc, 8, 0, 5 | 1 << 8).signal()).isFalse();
  }

  @Test
  void theThirdFormHasThreeBitsOfType() {
    Orc orc = Orc.of(Optional.empty(), sample(5, 2, 1 << 8)).orElseThrow();

    assertThat(entry(orc, 8, 0, 5 | 2 << 8).type()).isEqualTo(Orc.Type.CALL);
    assertThat(entry(orc, 8, 0, 5 | 3 << 8 | 1 << 11))
        .isEqualTo(new Orc.Entry(Orc.Base.SP, 8, Orc.Base.UNDEFINED, 0, Orc.Type.REGS, true));
    assertThat(entry(orc, 0, 0, 5 | 4 << 8).type()).isEqualTo(Orc.Type.REGS_PARTIAL);
    assertThat(entry(orc, 0, 0, 1 << 8).type()).isEqualTo(Orc.Type.END_OF_STACK);
    assertThat(entry(orc, 0, 0, 0).type()).isEqualTo(Orc.Type.UNDEFINED);
    assertThat(entry(orc, 0, 0, 10 | 2 << 8).sp()).isEqualTo(Orc.Base.AX);
    assertThat(entry(orc, 0, 0, 5 | 7 << 8).type()).isEqualTo(Orc.Type.UNDEFINED);
  }

  @Test
  void theFourthFormNumbersItsRegistersAnew() {
    Orc orc = Orc.of(Optional.empty(), sample(3, 2, 1 << 8)).orElseThrow();

    assertThat(entry(orc, 40, -24, 3 | 8 << 4 | 2 << 8))
        .isEqualTo(new Orc.Entry(Orc.Base.SP, 40, Orc.Base.PREV_SP, -24, Orc.Type.CALL, false));
    assertThat(entry(orc, 0, 0, 1 | 2 << 8).sp()).isEqualTo(Orc.Base.AX);
    assertThat(entry(orc, 0, 0, 10 | 2 << 8).sp()).isEqualTo(Orc.Base.BP_INDIRECT);
    assertThat(entry(orc, 0, 0, 15 | 2 << 8).sp()).isEqualTo(Orc.Base.UNKNOWN);
  }

  @Test
  void whatIsNoTableOfEntriesIsRefused() {
    assertThat(Orc.of(Optional.empty(), ByteView.of("zeros", new byte[600]))).isEmpty();
    byte[] noise = new byte[6000];
    new java.util.Random(1).nextBytes(noise);
    assertThat(Orc.of(Optional.empty(), ByteView.of("noise", noise))).isEmpty();
  }
}
