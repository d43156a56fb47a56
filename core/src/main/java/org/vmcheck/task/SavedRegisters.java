package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;

/// Reads registers where the kernel saved them: a `struct pt_regs`, which an ELF note's `pr_reg`
/// repeats in the same order, or its last five words.
final class SavedRegisters {
  /// `sizeof(struct pt_regs)`.
  static final int BYTES = 168;

  /// Bytes of the part that the processor pushes: ip, cs, flags, sp, ss.
  static final int FRAME_BYTES = 40;

  private SavedRegisters() {}

  /// A whole `pt_regs`.
  ///
  /// @param at offset of its first byte
  static Registers whole(ByteView bytes, long at) {
    List<Long> general = new ArrayList<>();
    for (int i = 0; i < Registers.GENERAL; i++) {
      general.add(bytes.u64(at + 8L * i));
    }
    return frame(general, bytes, at + BYTES - FRAME_BYTES);
  }

  /// The five words that an interrupt pushes.
  static Registers partial(ByteView bytes, long at) {
    return frame(List.of(), bytes, at);
  }

  private static Registers frame(List<Long> general, ByteView bytes, long at) {
    return new Registers(
        general,
        bytes.u64(at),
        bytes.u64(at + 8),
        bytes.u64(at + 16),
        bytes.u64(at + 24),
        bytes.u64(at + 32));
  }
}
