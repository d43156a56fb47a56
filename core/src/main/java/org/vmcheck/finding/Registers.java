package org.vmcheck.finding;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.Function;

/// The registers of one moment of x86_64, as a `struct pt_regs` has them (Linux
/// `arch/x86/include/asm/ptrace.h`).
///
/// Where only a part was saved (the five words that the processor pushes by itself) the general
/// registers are not known.
///
/// @param general r15 to rdi in the order of `pt_regs`; empty if they were not saved
/// @param flags RFLAGS
public record Registers(List<Long> general, long ip, long cs, long flags, long sp, long ss) {
  /// The kernel's own order of printing them (`__show_regs`).
  public static final List<String> PRINTED =
      List.of(
          "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R08", "R09", "R10", "R11", "R12", "R13",
          "R14", "R15");

  /// The order in which a `pt_regs` begins.
  private static final List<String> SAVED =
      List.of(
          "R15", "R14", "R13", "R12", "RBP", "RBX", "R11", "R10", "R09", "R08", "RAX", "RCX", "RDX",
          "RSI", "RDI");

  /// How many general registers there are, the stack pointer apart.
  public static final int GENERAL = SAVED.size();

  public Registers {
    general = List.copyOf(general);
  }

  /// With general registers by their names; all or none are known.
  public static Registers of(
      Function<String, OptionalLong> byName, long ip, long cs, long flags, long sp, long ss) {
    List<Long> general = new ArrayList<>();
    for (String name : SAVED) {
      byName.apply(name).ifPresent(general::add);
    }
    return new Registers(general.size() == GENERAL ? general : List.of(), ip, cs, flags, sp, ss);
  }

  /// A general register by the kernel's name for it; empty if it was not saved.
  public OptionalLong get(String name) {
    int index = SAVED.indexOf(name);
    return general.isEmpty() || index < 0
        ? OptionalLong.empty()
        : OptionalLong.of(general.get(index));
  }

  /// Whether the processor was in a user's program.
  public boolean isUser() {
    return (cs & 3) != 0;
  }
}
