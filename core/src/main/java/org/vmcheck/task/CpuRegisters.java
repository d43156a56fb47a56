package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.arch.RegisterSet;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// The registers that each CPU had when it was stopped: the `struct elf_prstatus` that a CPU wrote
/// into its own `crash_notes` on its way into the capture kernel (Linux `kernel/crash_core.c`,
/// crash_save_cpu), else the notes of the file, in the order of the CPUs.
final class CpuRegisters {
  private static final int DESC_AT = 20;

  private CpuRegisters() {}

  /// One element a possible CPU; empty for a CPU that left none.
  static List<Optional<Registers>> of(Kernel kernel) {
    int cpus = kernel.perCpu().cpus().size();
    List<Optional<Registers>> own = new ArrayList<>();
    OptionalLong notes = kernel.variable64("crash_notes");
    for (int i = 0; i < cpus; i++) {
      own.add(
          notes.isPresent() && notes.getAsLong() != 0
              ? note(kernel, kernel.perCpu().address(notes.getAsLong(), i))
              : Optional.empty());
    }
    return own.stream().anyMatch(Optional::isPresent) ? own : ofFile(kernel, cpus);
  }

  /// The note that a CPU wrote; empty if it has none.
  private static Optional<Registers> note(Kernel kernel, long at) {
    RegisterSet set = kernel.architecture().registers();
    return kernel.memory().read(at, DESC_AT + set.byteCount())
                instanceof MemoryRead.Bytes(ByteView view)
            && view.u32(0) == 5
            && view.u32(4) >= set.byteCount()
            && view.u32(8) == ElfNote.NT_PRSTATUS
            && view.string(12, 8).equals("CORE")
        ? Optional.of(SavedRegisters.ofStatus(set, view, DESC_AT))
        : Optional.empty();
  }

  private static List<Optional<Registers>> ofFile(Kernel kernel, int cpus) {
    RegisterSet set = kernel.architecture().registers();
    List<Registers> notes = new ArrayList<>();
    for (ElfNote note : kernel.notes()) {
      if (set.isIn(note)) {
        notes.add(SavedRegisters.ofStatus(set, note.desc(), 0));
      }
    }
    List<Integer> online = kernel.perCpu().onlineCpus();
    List<Integer> possible = kernel.perCpu().cpus();
    List<Integer> writers =
        online.size() == notes.size()
            ? online
            : possible.size() == notes.size() ? possible : List.of();
    List<Optional<Registers>> byCpu = new ArrayList<>();
    for (int i = 0; i < cpus; i++) {
      int index = writers.indexOf(possible.get(i));
      byCpu.add(index < 0 ? Optional.empty() : Optional.of(notes.get(index)));
    }
    return byCpu;
  }
}
