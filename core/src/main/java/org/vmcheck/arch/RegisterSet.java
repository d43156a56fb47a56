package org.vmcheck.arch;

import java.util.List;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteView;

/// The registers that a CPU's note holds (`struct elf_prstatus`): which, where, and what they are
/// for.
///
/// @param byteCount of the note's description
/// @param registersAt offset of `pr_reg` in it
/// @param names in the order of `pr_reg`, a word each
/// @param ip name of the one that says where the CPU was
/// @param sp of the stack pointer
/// @param framePointer of the frame pointer
public record RegisterSet(
    int byteCount, int registersAt, List<String> names, String ip, String sp, String framePointer) {
  public RegisterSet {
    names = List.copyOf(names);
  }

  /// Whether a note holds such registers.
  public boolean isIn(ElfNote note) {
    return note.name().equals("CORE")
        && note.type() == ElfNote.NT_PRSTATUS
        && note.desc().size() >= byteCount;
  }

  /// A register of a note that has them.
  public long word(ByteView status, String name) {
    return status.u64(registersAt + 8L * names.indexOf(name));
  }
}
