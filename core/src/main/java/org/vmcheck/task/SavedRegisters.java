package org.vmcheck.task;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.arch.RegisterSet;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;

/// Reads registers where the kernel of x86_64 saved them: a `struct pt_regs`, which an ELF note's
/// `pr_reg` repeats in the same order, or its last five words (Linux
/// `arch/x86/include/asm/ptrace.h`).
final class SavedRegisters {
  /// `sizeof(struct pt_regs)`.
  static final int BYTES = 168;

  /// Bytes of the part that the processor pushes: ip, cs, flags, sp, ss.
  static final int FRAME_BYTES = 40;

  /// The order in which a `pt_regs` begins.
  private static final List<String> SAVED =
      List.of(
          "R15", "R14", "R13", "R12", "RBP", "RBX", "R11", "R10", "R09", "R08", "RAX", "RCX", "RDX",
          "RSI", "RDI");

  /// The kernel's own order of printing them (`__show_regs`).
  private static final List<String> PRINTED =
      List.of(
          "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R08", "R09", "R10", "R11", "R12", "R13",
          "R14", "R15");

  private SavedRegisters() {}

  /// A whole `pt_regs`.
  ///
  /// @param at offset of its first byte
  static Registers whole(ByteView bytes, long at) {
    Map<String, Long> words = frame(bytes, at + BYTES - FRAME_BYTES);
    for (String name : PRINTED) {
      words.put(name, bytes.u64(at + 8L * SAVED.indexOf(name)));
    }
    return Registers.of(words);
  }

  /// The registers of a CPU's note, whichever its architecture.
  ///
  /// @param at offset of the note's description
  static Registers ofStatus(RegisterSet set, ByteView note, long at) {
    if (set.ip().equals("rip")) {
      return whole(note, at + set.registersAt());
    }
    ByteView status = note.slice("pr_reg", at, set.byteCount());
    Map<String, Long> words = new LinkedHashMap<>();
    // As `__show_regs` of arm64 prints them.
    words.put("pc", set.word(status, "pc"));
    words.put("lr", set.word(status, "x30"));
    words.put("sp", set.word(status, "sp"));
    words.put("pstate", set.word(status, "pstate"));
    for (int i = 29; i >= 0; i--) {
      words.put("x" + i, set.word(status, "x" + i));
    }
    return Registers.of(words);
  }

  /// The five words that an interrupt pushes.
  static Registers partial(ByteView bytes, long at) {
    return Registers.of(frame(bytes, at));
  }

  private static Map<String, Long> frame(ByteView bytes, long at) {
    Map<String, Long> words = new LinkedHashMap<>();
    words.put("RIP", bytes.u64(at));
    words.put("CS", bytes.u64(at + 8));
    words.put("RFLAGS", bytes.u64(at + 16));
    words.put("RSP", bytes.u64(at + 24));
    words.put("SS", bytes.u64(at + 32));
    return words;
  }
}
