package org.vmcheck.arch;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;

/// x86_64: 4 or 5 levels of page tables, an image at -2 GiB, regions whose bases are variables.
///
/// Source: Linux `Documentation/arch/x86/x86_64/mm.rst`, `arch/x86/kernel/vmcore_info_64.c`.
final class X86_64 implements Architecture {
  private static final Instructions INSTRUCTIONS = new X86_64Instructions();

  /// `__START_KERNEL_map`.
  static final long IMAGE_BASE = 0xffff_ffff_8000_0000L;

  /// `struct user_regs_struct`.
  private static final RegisterSet REGISTERS =
      new RegisterSet(
          336,
          112,
          List.of(
              "r15",
              "r14",
              "r13",
              "r12",
              "rbp",
              "rbx",
              "r11",
              "r10",
              "r9",
              "r8",
              "rax",
              "rcx",
              "rdx",
              "rsi",
              "rdi",
              "orig_rax",
              "rip",
              "cs",
              "eflags",
              "rsp"),
          "rip",
          "rsp",
          "rbp");

  /// Fallback when VMCOREINFO names no image size: the larger of the two that exist.
  private static final long DEFAULT_IMAGE_SIZE = 1L << 30;

  @Override
  public String name() {
    return "x86_64";
  }

  @Override
  public int elfMachine() {
    return ElfFile.EM_X86_64;
  }

  /// Old kernels write nothing of their own; others than this write the width of addresses.
  @Override
  public boolean isDescribedBy(Vmcoreinfo info) {
    return info.number("VA_BITS").isEmpty();
  }

  /// `NUMBER(phys_base)`, else from the program header that maps the kernel image.
  @Override
  public OptionalLong imageOffset(Vmcoreinfo info, List<ElfSegment> segments) {
    OptionalLong base = info.number("phys_base");
    if (base.isPresent()) {
      return OptionalLong.of(imageOffset(base.getAsLong()));
    }
    for (ElfSegment segment : segments) {
      if (Long.compareUnsigned(segment.vaddr(), IMAGE_BASE) >= 0 && segment.paddr() != -1) {
        return OptionalLong.of(segment.vaddr() - segment.paddr());
      }
    }
    return OptionalLong.empty();
  }

  @Override
  public Placement place(List<ElfSegment> segments, PhysicalMemory physical, Vmcoreinfo info) {
    OptionalLong offset = imageOffset(info, segments);
    OptionalLong root = info.symbol("swapper_pg_dir");
    if (offset.isEmpty() || root.isEmpty()) {
      return new Placement.Unplaced(
          root.isEmpty() ? "SYMBOL(swapper_pg_dir)" : "NUMBER(phys_base)");
    }
    long imageEnd = IMAGE_BASE + info.number("KERNEL_IMAGE_SIZE").orElse(DEFAULT_IMAGE_SIZE);
    AddressMap map =
        new AddressMap(
            new AddressMap.Image(IMAGE_BASE, imageEnd, IMAGE_BASE, IMAGE_BASE - offset.getAsLong()),
            IMAGE_BASE,
            0,
            AddressMap.DirectMap.UNKNOWN,
            0,
            0);
    long table = map.imagePhysical(root.getAsLong());
    long mask =
        info.number("sme_mask").orElseGet(() -> X86_64Paging.encryptionBit(physical, table));
    X86_64Paging paging =
        new X86_64Paging(physical, table, levels(physical, map, info, table, mask), mask);
    return new Placement.Placed(new VirtualMemory(physical, paging, map));
  }

  /// `NUMBER(pgtable_l5_enabled)`; where it is not said, the depth at which the page tables put the
  /// kernel's text where it is: builds with five levels before 4.17 always use them.
  private static int levels(
      PhysicalMemory physical, AddressMap map, Vmcoreinfo info, long root, long mask) {
    OptionalLong told = info.number("pgtable_l5_enabled");
    if (told.isPresent()) {
      return told.getAsLong() == 1 ? 5 : 4;
    }
    long text = info.symbol("_stext").orElse(IMAGE_BASE);
    return new X86_64Paging(physical, root, 5, mask).translate(text)
                instanceof Translated.At(long paddr)
            && paddr == map.imagePhysical(text)
        ? 5
        : 4;
  }

  @Override
  public Regions regions(
      List<ElfSegment> segments, Vmcoreinfo info, VirtualMemory memory, Optional<Symbols> symbols) {
    return X86_64Regions.find(segments, info, memory, symbols);
  }

  @Override
  public String placeVariable() {
    return "phys_base";
  }

  @Override
  public long placeVariable(AddressMap map) {
    return map.physBase();
  }

  @Override
  public long imageOffset(long physBase) {
    return IMAGE_BASE - physBase;
  }

  @Override
  public Optional<String> describe(Symbols symbols, long imageOffset, PhysicalMemory physical) {
    OptionalLong root = symbols.address("init_top_pgt");
    root = root.isPresent() ? root : symbols.address("init_level4_pgt");
    if (root.isEmpty()) {
      return Optional.empty();
    }
    StringBuilder text = new StringBuilder();
    text.append("PAGESIZE=4096\n");
    text.append("SYMBOL(swapper_pg_dir)=%x\n".formatted(root.getAsLong()));
    text.append("NUMBER(phys_base)=%d\n".formatted(IMAGE_BASE - imageOffset));
    OptionalLong five = symbols.address("__pgtable_l5_enabled");
    OptionalLong enabled =
        five.isPresent() ? PhysicalWords.read(physical, five.getAsLong() - imageOffset) : five;
    text.append("NUMBER(pgtable_l5_enabled)=%d\n".formatted((int) enabled.orElse(0)));
    OptionalLong mask = symbols.address("sme_me_mask");
    OptionalLong value =
        mask.isPresent() ? PhysicalWords.read(physical, mask.getAsLong() - imageOffset) : mask;
    // Without the variable nothing is known: the page tables are asked then.
    value.ifPresent(known -> text.append("NUMBER(sme_mask)=%d\n".formatted(known)));
    return Optional.of(text.toString());
  }

  @Override
  public Instructions instructions() {
    return INSTRUCTIONS;
  }

  @Override
  public TaskStacks taskStacks() {
    return new TaskStacks("thread.sp", "", "", false);
  }

  @Override
  public RegisterSet registers() {
    return REGISTERS;
  }

  @Override
  public OptionalLong faultAddress(ElfNote state) {
    return OptionalLong.of(QemuCpuState.faultAddress(state));
  }

  @Override
  public long returnAddress(Vmcoreinfo info, long word) {
    return word;
  }

  @Override
  public List<EntryTable> entryTables() {
    return List.of(
        EntryTable.ofFunctions("sys_call_table"),
        EntryTable.ofFunctions("ia32_sys_call_table"),
        EntryTable.ofFunctions("x32_sys_call_table"),
        new EntryTable("idt_table", 256, 2, false, X86_64::gateTarget));
  }

  /// Of a `gate_desc` (arch/x86/include/asm/desc_defs.h): __KERNEL_CS, an interrupt gate or a trap
  /// gate, present, callable from ring 0 or 3; the interrupt stack table has 7 entries, and all
  /// other bits are 0.
  private static OptionalLong gateTarget(long low, long high) {
    if (low == 0 && high == 0) {
      return OptionalLong.of(0);
    }
    long privilege = low >>> 45 & 3;
    boolean isGate =
        (low >>> 16 & 0xffff) == 0x10
            && (low >>> 41 & 7) == 7
            && (low >>> 44 & 1) == 0
            && (privilege == 0 || privilege == 3)
            && (low >>> 47 & 1) == 1
            && (low >>> 35 & 0x1f) == 0
            && high >>> 32 == 0;
    return isGate
        ? OptionalLong.of(high << 32 | (low >>> 32 & 0xffff_0000L) | (low & 0xffff))
        : OptionalLong.empty();
  }

  @Override
  public boolean hasLowMemory() {
    return true;
  }

  @Override
  public boolean isCpuState(ElfNote note) {
    return QemuCpuState.isState(note);
  }

  @Override
  public boolean isCpuIn(ElfNote note, PhysicalMemory memory, Vmcoreinfo info, long imageOffset) {
    return isCpuState(note) && QemuCpuState.of(note).isIn(memory, info, imageOffset);
  }
}
