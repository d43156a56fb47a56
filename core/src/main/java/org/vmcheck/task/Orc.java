package org.vmcheck.task;

import java.util.Optional;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;

/// How a kernel writes its ORC entries (Linux `arch/x86/include/asm/orc_types.h`): two offsets of
/// 16 bits and a word of bit fields, whose meaning changed with ffb1b4a41016 (6.3), fb799447ae29
/// (6.4) and 1735858caa4b (7.1), each of which was backported.
///
/// The widths of the fields come from the kernel's types, else from the entries. The numbers of the
/// registers are in no type: the stack pointer is the register that most entries count from.
///
/// @param hasWideType whether the type has three bits, with an "undefined" of its own (6.4)
/// @param signalBit the bit that marks a frame entered by a trap; -1 if there is none
/// @param endBit the bit that marks the end of a stack; -1 if that is a type
/// @param isRenumbered whether the registers have the numbers of 7.1
record Orc(boolean hasWideType, int signalBit, int endBit, boolean isRenumbered) {
  static final int ENTRY_BYTES = 6;

  /// What the frame's address, the CFA, is counted from.
  enum Base {
    UNDEFINED,
    PREV_SP,
    SP,
    BP,
    R10,
    R13,
    DI,
    DX,
    AX,
    SP_INDIRECT,
    BP_INDIRECT,
    UNKNOWN
  }

  enum Type {
    /// No information: the unwinder is blind here.
    UNDEFINED,
    END_OF_STACK,
    CALL,
    /// A whole `pt_regs` lies at the CFA.
    REGS,
    /// Only the words that the processor pushes do.
    REGS_PARTIAL
  }

  /// One entry.
  ///
  /// @param spOffset added to the base; of SP_INDIRECT after the load, of BP_INDIRECT before it
  /// @param bpOffset where the caller's frame pointer is, from the CFA or from BP
  record Entry(Base sp, int spOffset, Base bp, int bpOffset, Type type, boolean signal) {}

  private static final Base[] OLD = {
    Base.UNDEFINED,
    Base.PREV_SP,
    Base.DX,
    Base.DI,
    Base.BP,
    Base.SP,
    Base.R10,
    Base.R13,
    Base.BP_INDIRECT,
    Base.SP_INDIRECT,
    Base.AX
  };

  private static final Base[] NEW = {
    Base.UNDEFINED,
    Base.AX,
    Base.DX,
    Base.SP,
    Base.BP,
    Base.DI,
    Base.R10,
    Base.R13,
    Base.PREV_SP,
    Base.SP_INDIRECT,
    Base.BP_INDIRECT
  };

  private static final int OLD_SP = 5;
  private static final int NEW_SP = 3;
  private static final int TYPE_AT = 8;

  /// What a sample of entries says of their form; empty if it is no table of these.
  ///
  /// @param layout `struct orc_entry`, if the types have it
  static Optional<Orc> of(Optional<StructLayout> layout, ByteView sample) {
    int[] bases = new int[16];
    int[] types = new int[8];
    boolean hasBit11 = false;
    long count = sample.size() / ENTRY_BYTES;
    for (long i = 0; i < count; i++) {
      int bits = sample.u16(i * ENTRY_BYTES + 4);
      bases[bits & 15]++;
      types[bits >>> TYPE_AT & 7]++;
      hasBit11 |= (bits >>> 11 & 1) != 0;
    }
    if (Math.max(bases[OLD_SP], bases[NEW_SP]) * 2L < count) {
      return Optional.empty();
    }
    boolean isRenumbered = bases[NEW_SP] > bases[OLD_SP];
    Optional<Member> type = layout.flatMap(l -> l.member("type"));
    if (type.isPresent() && type.get().isBitField()) {
      return Optional.of(
          new Orc(
              type.get().bitFieldSize() >= 3,
              bit(layout.get(), "signal"),
              bit(layout.get(), "end"),
              isRenumbered));
    }
    // A call, by far the commonest, is type 2 where "undefined" and "end" are types too.
    boolean isWide = types[2] > types[0];
    int signalBit = isWide ? 11 : hasBit11 ? 10 : -1;
    int endBit = isWide ? -1 : hasBit11 ? 11 : 10;
    return Optional.of(new Orc(isWide, signalBit, endBit, isRenumbered));
  }

  /// Position of a bit field of one bit in the entry's last word; -1 if there is none.
  private static int bit(StructLayout layout, String name) {
    return layout
        .member(name)
        .filter(member -> member.isBitField() && member.bitOffset() >= 32)
        .map(member -> (int) member.bitOffset() - 32)
        .orElse(-1);
  }

  Entry entry(ByteView bytes) {
    int bits = bytes.u16(4);
    Base sp = base(bits & 15);
    int raw = bits >>> TYPE_AT & (hasWideType ? 7 : 3);
    Type type =
        hasWideType
            ? raw < Type.values().length ? Type.values()[raw] : Type.UNDEFINED
            : sp == Base.UNDEFINED
                ? has(bits, endBit) ? Type.END_OF_STACK : Type.UNDEFINED
                : raw == 0 ? Type.CALL : raw == 1 ? Type.REGS : Type.REGS_PARTIAL;
    boolean signal =
        signalBit < 0 ? type == Type.REGS || type == Type.REGS_PARTIAL : has(bits, signalBit);
    return new Entry(
        sp, (short) bytes.u16(0), base(bits >>> 4 & 15), (short) bytes.u16(2), type, signal);
  }

  private static boolean has(int bits, int bit) {
    return bit >= 0 && (bits >>> bit & 1) != 0;
  }

  private Base base(int number) {
    Base[] numbers = isRenumbered ? NEW : OLD;
    return number < numbers.length ? numbers[number] : Base.UNKNOWN;
  }
}
