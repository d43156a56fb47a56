package org.vmcheck.arch;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.RepagedMemory;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;

/// aarch64: pages of 4, 16 or 64 KiB, an address space whose width is configured and may be
/// narrower where it runs, a direct map that begins at a constant and an image that lies apart.
///
/// Source: Linux `arch/arm64/include/asm/memory.h`, `arch/arm64/kernel/vmcore_info.c`,
/// `arch/arm64/mm/init.c` (arm64_memblock_init).
final class Aarch64 implements Architecture {
  /// Words of `user_pt_regs` in an NT_PRSTATUS.
  private static final List<String> REGISTERS = registerNames();

  private static final RegisterSet REGISTER_SET =
      new RegisterSet(392, 112, REGISTERS, "pc", "sp", "x29");

  private static final Instructions INSTRUCTIONS = new Aarch64Instructions();

  private static final TaskStacks TASK_STACKS =
      new TaskStacks(
          "thread.cpu_context.sp", "thread.cpu_context.pc", "thread.cpu_context.fp", true);

  /// Kernels are aligned to 2 MiB, `_stext` lies behind a header of at most 64 KiB.
  private static final long ALIGNMENT = 2 << 20;

  /// Room for an image whose end is not told.
  private static final long IMAGE_SIZE = 128 << 20;

  /// Widths that `CONFIG_ARM64_VA_BITS` can have, and those that 52 falls back to.
  private static final int[] WIDTHS = {52, 48, 47, 42, 39, 36};

  private static final int WIDEST = 52;

  private static List<String> registerNames() {
    List<String> names = new ArrayList<>();
    for (int i = 0; i <= 30; i++) {
      names.add("x" + i);
    }
    names.addAll(List.of("sp", "pc", "pstate"));
    return List.copyOf(names);
  }

  @Override
  public String name() {
    return "aarch64";
  }

  @Override
  public int elfMachine() {
    return ElfFile.EM_AARCH64;
  }

  @Override
  public boolean isDescribedBy(Vmcoreinfo info) {
    return info.number("VA_BITS").isPresent() && info.number("kimage_voffset").isPresent();
  }

  @Override
  public OptionalLong imageOffset(Vmcoreinfo info, List<ElfSegment> segments) {
    return info.number("kimage_voffset");
  }

  @Override
  public String placeVariable() {
    return "kimage_voffset";
  }

  @Override
  public long placeVariable(AddressMap map) {
    return map.imageOffset();
  }

  @Override
  public long imageOffset(long kimageVoffset) {
    return kimageVoffset;
  }

  @Override
  public Placement place(List<ElfSegment> segments, PhysicalMemory physical, Vmcoreinfo info) {
    OptionalLong offset = info.number("kimage_voffset");
    OptionalLong root = info.symbol("swapper_pg_dir");
    OptionalLong text = info.symbol("_stext");
    OptionalLong configured = info.number("VA_BITS");
    int pageShift = Integer.numberOfTrailingZeros(physical.pageSize());
    if (offset.isEmpty() || root.isEmpty() || text.isEmpty() || configured.isEmpty()) {
      return new Placement.Unplaced(
          root.isEmpty()
              ? "SYMBOL(swapper_pg_dir)"
              : text.isEmpty()
                  ? "SYMBOL(_stext)"
                  : offset.isEmpty() ? "NUMBER(kimage_voffset)" : "NUMBER(VA_BITS)");
    }
    long table = root.getAsLong() - offset.getAsLong();
    int widest = (int) configured.getAsLong();
    int width = width(info, physical, table, text.getAsLong() - offset.getAsLong());
    if (!Aarch64Paging.isWidth(pageShift, width) || !Aarch64Paging.isWidth(pageShift, widest)) {
      return new Placement.Unplaced(
          "a width of addresses that its pages can have (NUMBER(VA_BITS)=%d, PAGESIZE=%d)"
              .formatted(configured.getAsLong(), physical.pageSize()));
    }
    long start = text.getAsLong() & -ALIGNMENT;
    AddressMap map =
        new AddressMap(
            new AddressMap.Image(start, start + IMAGE_SIZE, start, start - offset.getAsLong()),
            codeStart(info, pageShift),
            codeEnd(info),
            AddressMap.DirectMap.UNKNOWN,
            0,
            0);
    return new Placement.Placed(
        new VirtualMemory(physical, paging(physical, table, widest, width), map));
  }

  /// Pages of 64 KiB that are configured for 52 bits have tables for 52 bits wherever they run
  /// (`offset_ttbr1`); tables of smaller pages are folded to the width that runs.
  private static Aarch64Paging paging(PhysicalMemory physical, long root, int widest, int width) {
    boolean isLarge = physical.pageSize() == 1 << 16;
    return new Aarch64Paging(
        physical,
        root,
        isLarge ? widest : width,
        isLarge
            ? Aarch64Paging.Wide.LPA
            : width == WIDEST ? Aarch64Paging.Wide.LPA2 : Aarch64Paging.Wide.NONE);
  }

  /// The width that runs: 64 - TCR_EL1.T1SZ. Kernels before 5.9 do not tell it: there it is what is
  /// configured, or what the tables put the kernel's text at its place with.
  private static int width(Vmcoreinfo info, PhysicalMemory physical, long root, long text) {
    for (String name : List.of("TCR_EL1_T1SZ", "tcr_el1_t1sz")) {
      OptionalLong told = info.number(name);
      if (told.isPresent()) {
        return 64 - (int) told.getAsLong();
      }
    }
    int configured = (int) info.number("VA_BITS").orElse(0);
    if (configured < WIDEST) {
      return configured;
    }
    long vaddr = text + info.number("kimage_voffset").orElse(0);
    for (int width : WIDTHS) {
      if (Aarch64Paging.isWidth(Integer.numberOfTrailingZeros(physical.pageSize()), width)
          && paging(physical, root, configured, width).translate(vaddr)
              instanceof Translated.At(long paddr)
          && paddr == text) {
        return width;
      }
    }
    return configured;
  }

  /// `PAGE_END`, where the direct map ends and modules may begin: half of the narrowest space that
  /// the configuration runs with.
  private static long pageEnd(int configured, int pageShift) {
    int narrowest = configured < WIDEST ? configured : pageShift == 14 ? 47 : 48;
    return -1L << (narrowest - 1);
  }

  /// Modules lie anywhere in vmalloc, the image too.
  private static long codeStart(Vmcoreinfo info, int pageShift) {
    return info.number("MODULES_VADDR")
        .orElseGet(() -> pageEnd((int) info.number("VA_BITS").orElse(WIDEST), pageShift));
  }

  private static long codeEnd(Vmcoreinfo info) {
    return info.number("VMALLOC_END").orElse(0);
  }

  @Override
  public Regions regions(
      List<ElfSegment> segments, Vmcoreinfo info, VirtualMemory memory, Optional<Symbols> symbols) {
    AddressMap map = memory.map();
    List<String> remarks = new ArrayList<>();
    AddressMap.Image image = map.image();
    if (symbols.isPresent()) {
      long start = symbols.get().address("_text").orElse(image.start());
      long end = symbols.get().address("_end").orElse(image.end());
      image = new AddressMap.Image(start, end, start, start - map.imageOffset());
    }
    OptionalLong told = info.number("PHYS_OFFSET");
    OptionalLong physOffset = told.isPresent() ? told : variable(memory, symbols, "memstart_addr");
    AddressMap.DirectMap direct =
        physOffset.isPresent()
            ? directMap(info, memory, physOffset.getAsLong(), remarks)
            : AddressMap.DirectMap.UNKNOWN;
    OptionalLong vmemmap = info.symbol("vmemmap");
    if (vmemmap.isEmpty()) {
      OptionalLong start = info.number("VMEMMAP_START");
      OptionalLong size = info.size("page");
      vmemmap =
          start.isPresent() && size.isPresent() && physOffset.isPresent()
              ? OptionalLong.of(
                  start.getAsLong()
                      - (physOffset.getAsLong() >> memory.pageShift()) * size.getAsLong())
              : OptionalLong.empty();
    }
    return new Regions(
        new AddressMap(
            image,
            map.codeStart(),
            map.codeEnd(),
            direct,
            vmemmap.orElse(0),
            info.number("VMALLOC_START").orElse(0)),
        remarks);
  }

  private static OptionalLong variable(
      VirtualMemory memory, Optional<Symbols> symbols, String name) {
    OptionalLong address = symbols.isPresent() ? symbols.get().address(name) : OptionalLong.empty();
    ByteView view = address.isPresent() ? memory.bytes(address.getAsLong(), 8) : null;
    return view == null ? OptionalLong.empty() : OptionalLong.of(view.u64(0));
  }

  /// From 5.4 on the direct map is the lower part of the space that is configured, before it was
  /// the upper half. PHYS_OFFSET is what its first address would map to, and may be "negative":
  /// sums wrap.
  private static AddressMap.DirectMap directMap(
      Vmcoreinfo info, VirtualMemory memory, long physOffset, List<String> remarks) {
    int configured = (int) info.number("VA_BITS").orElse(WIDEST);
    long text = info.symbol("_stext").orElse(-1);
    boolean isLower = Long.compareUnsigned(text, -1L << (Math.min(configured, 48) - 1)) > 0;
    long pageOffset = -1L << (isLower ? configured : configured - 1);
    long zero = pageOffset - physOffset;
    long first = isLower ? memory.paging().canonical(pageOffset) : pageOffset;
    if (isLower) {
      first = Math.max(first, memory.paging().canonical(0)); // Both are negative.
    }
    long last = isLower ? pageEnd(configured, memory.pageShift()) : 0;
    long end = zero + memory.paddr(memory.physical().endPfn());
    if (last != 0 && Long.compareUnsigned(end, last) > 0) {
      end = last;
    }
    if (Long.compareUnsigned(end, first) <= 0) {
      remarks.add(
          "by NUMBER(PHYS_OFFSET)=0x%x no memory of the dump is in the direct map: it is not used"
              .formatted(physOffset));
      return AddressMap.DirectMap.UNKNOWN;
    }
    return new AddressMap.DirectMap(zero, first, end);
  }

  /// The page size is the distance of two page-table roots that the linker puts side by side; the
  /// width is the one with which the tables put the kernel's text at its place.
  @Override
  public Optional<String> describe(Symbols symbols, long imageOffset, PhysicalMemory physical) {
    OptionalLong root = symbols.address("swapper_pg_dir");
    OptionalLong reserved = symbols.address("reserved_pg_dir");
    OptionalLong text = symbols.address("_stext");
    OptionalLong memstart = symbols.address("memstart_addr");
    if (root.isEmpty() || reserved.isEmpty() || text.isEmpty() || memstart.isEmpty()) {
      return Optional.empty();
    }
    long pageSize = root.getAsLong() - reserved.getAsLong();
    OptionalLong physOffset = PhysicalWords.read(physical, memstart.getAsLong() - imageOffset);
    if (!RepagedMemory.isPageSize(pageSize) || physOffset.isEmpty()) {
      return Optional.empty();
    }
    PhysicalMemory memory = RepagedMemory.of(physical, (int) pageSize);
    int pageShift = Long.numberOfTrailingZeros(pageSize);
    long table = root.getAsLong() - imageOffset;
    for (int width : WIDTHS) {
      if (Aarch64Paging.isWidth(pageShift, width)
          && paging(memory, table, width, width).translate(text.getAsLong())
              instanceof Translated.At(long paddr)
          && paddr == text.getAsLong() - imageOffset) {
        return Optional.of(
            """
            PAGESIZE=%d
            SYMBOL(swapper_pg_dir)=%x
            NUMBER(kimage_voffset)=0x%x
            NUMBER(PHYS_OFFSET)=0x%x
            NUMBER(VA_BITS)=%d
            NUMBER(TCR_EL1_T1SZ)=0x%x
            NUMBER(SECTION_SIZE_BITS)=%d
            """
                .formatted(
                    pageSize,
                    root.getAsLong(),
                    imageOffset,
                    physOffset.getAsLong(),
                    configured(width, physOffset.getAsLong(), table, pageShift),
                    64 - width,
                    pageShift == 16 ? 29 : 27));
      }
    }
    return Optional.empty();
  }

  /// The width that is configured: the widest, if PHYS_OFFSET puts memory at the start of the space
  /// that runs only if counted from the start of the widest.
  private static int configured(int width, long physOffset, long paddr, int pageShift) {
    long vaddr = (-1L << WIDEST) - physOffset + paddr;
    boolean isInSpace =
        vaddr >> width == -1 && Long.compareUnsigned(vaddr, pageEnd(WIDEST, pageShift)) < 0;
    return isInSpace ? WIDEST : width;
  }

  @Override
  public Instructions instructions() {
    return INSTRUCTIONS;
  }

  @Override
  public TaskStacks taskStacks() {
    return TASK_STACKS;
  }

  @Override
  public RegisterSet registers() {
    return REGISTER_SET;
  }

  @Override
  public boolean isCpuState(ElfNote note) {
    return false;
  }

  @Override
  public OptionalLong faultAddress(ElfNote state) {
    return OptionalLong.empty();
  }

  /// By the program counter of a CPU that was in the kernel (EL1, or EL2 of a host kernel): the
  /// kernel's page tables put it where the image has it.
  @Override
  public boolean isCpuIn(ElfNote note, PhysicalMemory memory, Vmcoreinfo info, long imageOffset) {
    if (!REGISTER_SET.isIn(note)) {
      return false;
    }
    long mode = REGISTER_SET.word(note.desc(), "pstate") & 0xf;
    long pc = REGISTER_SET.word(note.desc(), "pc");
    long pageSize = info.pageSize().orElse(0);
    long text = info.symbol("_stext").orElse(0);
    if ((mode & 0xc) == 0
        || !RepagedMemory.isPageSize(pageSize)
        || pc - text < 0
        || pc - text > IMAGE_SIZE) {
      return false;
    }
    return place(List.of(), RepagedMemory.of(memory, (int) pageSize), info)
            instanceof Placement.Placed(VirtualMemory found)
        && found.paging().translate(pc) instanceof Translated.At(long paddr)
        && paddr == pc - imageOffset;
  }

  /// A return address on a stack is signed where the CPU can: the bits above the address are the
  /// signature.
  @Override
  public long returnAddress(Vmcoreinfo info, long word) {
    return word | info.number("KERNELPACMASK").orElse(0);
  }

  @Override
  public List<EntryTable> entryTables() {
    return List.of(
        EntryTable.ofFunctions("sys_call_table"), EntryTable.ofFunctions("compat_sys_call_table"));
  }

  @Override
  public boolean hasLowMemory() {
    return false;
  }
}
