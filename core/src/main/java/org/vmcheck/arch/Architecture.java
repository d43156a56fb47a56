package org.vmcheck.arch;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.VirtualMemory;

/// What differs from one processor to another in how a kernel lies in memory: its page tables, the
/// regions of its address space, and what notes of a dump say of its CPUs. [Architectures] is the
/// list.
public interface Architecture {
  /// As `uname -m` says.
  String name();

  /// `e_machine` of its ELF files.
  int elfMachine();

  /// Whether VMCOREINFO has what only kernels of this architecture write.
  boolean isDescribedBy(Vmcoreinfo info);

  /// What an address in the kernel image is more than its physical address; empty if neither
  /// VMCOREINFO nor a program header tells.
  OptionalLong imageOffset(Vmcoreinfo info, List<ElfSegment> segments);

  /// The memory of the kernel that VMCOREINFO describes, with its page tables and its image, and
  /// with no other region yet.
  ///
  /// @param segments of the dump, with the addresses that the writer gave; may be none
  /// @param physical in pages of the kernel's size
  Placement place(List<ElfSegment> segments, PhysicalMemory physical, Vmcoreinfo info);

  /// What came of [#place].
  sealed interface Placement {
    record Placed(VirtualMemory memory) implements Placement {}

    /// @param why a sentence's end: what VMCOREINFO lacks
    record Unplaced(String why) implements Placement {}
  }

  /// Where the regions of the address space lie in this boot: from the kernel's own variables, else
  /// from its page tables, else from what VMCOREINFO and the dump's writer say. No default is
  /// taken: a region that is not found is empty.
  Regions regions(
      List<ElfSegment> segments, Vmcoreinfo info, VirtualMemory memory, Optional<Symbols> symbols);

  /// @param remarks variables that hold what cannot be, a sentence each
  record Regions(AddressMap map, List<String> remarks) {
    public Regions {
      remarks = List.copyOf(remarks);
    }
  }

  /// The variable of the kernel that says where its image lies.
  String placeVariable();

  /// The value of [#placeVariable] that goes with a map.
  long placeVariable(AddressMap map);

  /// What an address in the image is more than its physical address, by the value of
  /// [#placeVariable].
  long imageOffset(long placeVariable);

  /// What VMCOREINFO would say of a kernel of which nothing is known but its symbols and where its
  /// image lies, besides its names; empty if it has no page tables.
  ///
  /// @param physical in pages of any size
  Optional<String> describe(Symbols symbols, long imageOffset, PhysicalMemory physical);

  /// The registers of a CPU's NT_PRSTATUS.
  RegisterSet registers();

  Instructions instructions();

  /// The tables through which system calls and interrupts enter the kernel.
  List<EntryTable> entryTables();

  /// How the stacks of tasks and CPUs are kept.
  TaskStacks taskStacks();

  /// A word of a stack as an address of code, without the bits that sign it.
  long returnAddress(Vmcoreinfo info, long word);

  /// Whether firmware and kexec use the low 640 KiB as on a PC.
  boolean hasLowMemory();

  /// The address that faulted last, by a note for which [#isCpuState] holds; empty if it does not
  /// tell.
  OptionalLong faultAddress(ElfNote state);

  /// Whether a note holds a CPU's state beside its registers, with the page tables it used.
  boolean isCpuState(ElfNote note);

  /// Whether a note shows that its CPU was in the kernel that VMCOREINFO describes. A CPU in user
  /// mode, in firmware or in another kernel does not show it; it does not disprove it either.
  boolean isCpuIn(ElfNote note, PhysicalMemory memory, Vmcoreinfo info, long imageOffset);
}
