package org.vmcheck.finding;

import java.util.List;
import java.util.Optional;

/// A stack, unwound: frames from the innermost outwards.
///
/// @param frames in order
/// @param end how it ended
/// @param why in words, where it did not reach its end; else empty
public record Backtrace(List<Frame> frames, End end, String why) {
  /// How a walk ended.
  public enum End {
    /// At the registers of a user's program.
    USER,
    /// Where the unwind data says that the stack ends.
    BOTTOM,
    /// Somewhere else: what follows is not proven.
    INCOMPLETE
  }

  /// How far a frame can be relied upon.
  public enum Mark {
    UNWOUND(' '),
    /// Found behind code that has no unwind data, by the call that led there.
    RECONSTRUCTED('!'),
    /// Only a word of the stack that looks like a return address.
    SEEN('?');

    private final char sign;

    Mark(char sign) {
      this.sign = sign;
    }

    public char sign() {
      return sign;
    }
  }

  /// One frame.
  ///
  /// @param slot where the return address lies; the stack pointer itself for a frame that registers
  ///   gave
  /// @param ip the address, of a call the one it returns to
  /// @param text `function+0xoffset/0xsize [module]`
  /// @param stack the tag of the stack that it is on, as the kernel prints it
  /// @param registers those that were saved when this frame was interrupted; empty for a call
  public record Frame(
      long slot, long ip, String text, Mark mark, String stack, Optional<Registers> registers) {}

  public Backtrace {
    frames = List.copyOf(frames);
  }

  public boolean isComplete() {
    return end != End.INCOMPLETE;
  }
}
