package org.vmcheck.arch;

import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.Translated;

/// Registers of one CPU of x86_64 from QEMU's own note (QEMU, `target/i386/arch_dump.c`, version
/// 1).
///
/// @param cr3 page-table root in bits 51 to 12; below them PCID or cache bits
/// @param fiveLevels CR4.LA57
record QemuCpuState(long rip, long cr3, boolean fiveLevels) {
  private static final int VERSION = 1;
  private static final int RIP = 8 + 16 * 8;
  private static final int CR2 = 392 + 2 * 8;
  private static final int CR3 = 392 + 3 * 8;
  private static final int CR4 = 392 + 4 * 8;
  private static final int MIN_BYTES = 432;
  private static final long LA57 = 1 << 12;
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  static boolean isState(ElfNote note) {
    return note.name().equals("QEMU")
        && note.desc().size() >= MIN_BYTES
        && note.desc().u32(0) == VERSION;
  }

  /// CR2: the address that faulted last.
  static long faultAddress(ElfNote note) {
    return note.desc().u64(CR2);
  }

  /// The state in a note that is whole.
  static QemuCpuState of(ElfNote note) {
    ByteView desc = note.desc();
    return new QemuCpuState(desc.u64(RIP), desc.u64(CR3), (desc.u64(CR4) & LA57) != 0);
  }

  /// Physical addresses that may be the kernel's page-table root: with page-table isolation the
  /// table of a CPU in user mode lies one page behind the kernel's.
  List<Long> roots() {
    long root = cr3 & FRAME;
    return (root & 0x1000) == 0 ? List.of(root) : List.of(root, root & ~0x1000L);
  }

  /// Whether the CPU's page tables map a kernel's text to where it lies.
  boolean isIn(PhysicalMemory memory, Vmcoreinfo info, long imageOffset) {
    OptionalLong text = info.symbol("_stext");
    if (text.isEmpty()) {
      return false;
    }
    long expected = text.getAsLong() - imageOffset;
    long mask = info.number("sme_mask").orElse(0);
    for (long root : roots()) {
      X86_64Paging paging = new X86_64Paging(memory, root, fiveLevels ? 5 : 4, mask);
      if (paging.translate(text.getAsLong()) instanceof Translated.At(long paddr)
          && paddr == expected) {
        return true;
      }
    }
    return false;
  }
}
