package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.arch.Architectures;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.TableWalk;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.task.CallStacks;

/// The pages that a kernel cannot have been without and that no dump level leaves out, by what they
/// are: are they in the dump?
///
/// A page is looked for only where a symbol, a structure or a page table of this very kernel names
/// it, and only whether it is stored: none is decoded for this but page tables.
final class KernelPages {
  /// Pages of descriptors that are looked for: 1 GiB of them, of 64 GiB of memory; of more an even
  /// sample.
  private static final long MAX_DESCRIPTOR_PAGES = 1 << 18;

  /// Pages of one range: no image nor module is larger.
  private static final long MAX_RANGE_PAGES = 1 << 18;

  private static final int MAX_MISSING = 64;

  /// What VMCOREINFO itself names, with the role of its first page.
  private static final Map<String, String> NAMED =
      namedByVmcoreinfo(
          "_stext", "kernel text",
          "swapper_pg_dir", "page tables, level of the root",
          "init_uts_ns", "the kernel's name",
          "kallsyms_names", "kernel rodata",
          "kallsyms_token_table", "kernel rodata");

  private final PhysicalMemory physical;
  private final Optional<Kernel> kernel;

  /// Whether a page of zeros that was left out would show: this writer stores such pages.
  private final boolean storesZeros;

  /// Whether stored pages may be lost.
  private final boolean isCut;

  private final Map<String, Role> roles = new LinkedHashMap<>();
  private boolean isWhole = true;

  /// A page that is not in the dump.
  ///
  /// @param place its address, with a name where there is one
  record Missing(long pfn, String place, PageRead why) {}

  /// One use of pages.
  static final class Role {
    private final String name;
    private long looked;
    private long excluded;
    private long lost;
    private final List<Missing> missing = new ArrayList<>();

    Role(String name) {
      this.name = name;
    }

    String name() {
      return name;
    }

    /// Pages that were looked for.
    long looked() {
      return looked;
    }

    /// Pages that were left out.
    long excluded() {
      return excluded;
    }

    /// Pages that should be in the file and lie beyond its end, or were never written.
    long lost() {
      return lost;
    }

    /// `12 of 300`, or the number alone where all are.
    String counted(long some) {
      return some == looked ? Long.toString(some) : some + " of " + looked;
    }

    /// Those left out, the first ones.
    List<Missing> missing() {
      return List.copyOf(missing);
    }
  }

  private KernelPages(Dump dump, Optional<Kernel> kernel, boolean storesZeros, boolean isCut) {
    this.physical = kernel.map(found -> found.memory().physical()).orElse(dump.memory());
    this.kernel = kernel;
    this.storesZeros = storesZeros;
    this.isCut = isCut;
  }

  /// Looks for them.
  ///
  /// @param storesZeros whether the writer stored pages of zeros: if not, one may be absent
  /// @param isCut whether stored pages may lie beyond the end of the file
  static KernelPages of(Dump dump, Optional<Kernel> kernel, boolean storesZeros, boolean isCut) {
    KernelPages pages = new KernelPages(dump, kernel, storesZeros, isCut);
    kernel.map(Kernel::vmcoreinfo).or(dump::vmcoreinfo).ifPresent(info -> pages.named(dump, info));
    kernel.ifPresent(pages::all);
    return pages;
  }

  List<Role> roles() {
    return List.copyOf(roles.values());
  }

  /// Whether all were looked for; false if the deadline came first.
  boolean isWhole() {
    return isWhole;
  }

  private static Map<String, String> namedByVmcoreinfo(String... pairs) {
    Map<String, String> named = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      named.put(pairs[i], pairs[i + 1]);
    }
    return named;
  }

  /// What can be found without a kernel that is understood: the image lies where `phys_base` says.
  private void named(Dump dump, Vmcoreinfo info) {
    OptionalLong offset =
        Architectures.of(dump.container(), info)
            .map(architecture -> architecture.imageOffset(info, List.of()))
            .orElse(OptionalLong.empty());
    if (offset.isEmpty()) {
      return;
    }
    NAMED.forEach(
        (symbol, role) ->
            info.symbol(symbol)
                .ifPresent(
                    vaddr -> {
                      long pfn = (vaddr - offset.getAsLong()) / physical.pageSize();
                      if (pfn >= 0 && pfn < physical.endPfn()) {
                        page(role, pfn, vaddr, symbol, false);
                      }
                    }));
  }

  private void all(Kernel found) {
    range(found, "kernel text", "_stext", "_etext", false);
    range(found, "kernel rodata", "__start_rodata", "__end_rodata", true);
    first(found, "IDT", "idt_table");
    first(found, "syscall table", "sys_call_table");
    first(found, "init_task", "init_task");
    tables(found);
    perCpu(found);
    descriptors(found);
    modules(found);
    stacks(found);
  }

  private void range(Kernel found, String role, String from, String to, boolean mayBeZero) {
    OptionalLong start = found.symbol(from);
    OptionalLong end = found.symbol(to);
    if (start.isPresent() && end.isPresent()) {
      range(found, role, start.getAsLong(), end.getAsLong(), mayBeZero, mayBeZero);
    }
  }

  private void first(Kernel found, String role, String symbol) {
    found.symbol(symbol).ifPresent(vaddr -> page(found, role, vaddr, symbol, false));
  }

  /// @param firstMayBeZero of the first page
  private void range(
      Kernel found,
      String role,
      long start,
      long end,
      boolean firstMayBeZero,
      boolean othersMayBeZero) {
    VirtualMemory memory = found.memory();
    long first = memory.pageStart(start);
    long count = memory.pfn(memory.pageStart(end - 1) - first) + 1;
    if (Long.compareUnsigned(start, end) >= 0 || count > MAX_RANGE_PAGES) {
      return;
    }
    for (long i = 0; i < count; i++) {
      if (i % 1024 == 0 && isOver()) {
        return;
      }
      long vaddr = i == 0 ? start : first + memory.paddr(i);
      page(found, role, vaddr, "", i == 0 ? firstMayBeZero : othersMayBeZero);
    }
  }

  private void tables(Kernel found) {
    VirtualMemory memory = found.memory();
    TableWalk walk = TableWalk.of(memory.paging(), physical, Cancellation.current().asSupplier());
    isWhole &= walk.isWhole();
    walk.byLevel().forEach((level, count) -> role(tableRole(level)).looked += count);
    for (TableWalk.Missing table : walk.missing()) {
      role(tableRole(table.level())).looked++;
      missed(
          role(tableRole(table.level())),
          memory.pfn(table.paddr()),
          "of 0x%x and up%s"
              .formatted(table.firstVaddr(), region(memory.map(), table.firstVaddr())),
          table.why());
    }
  }

  private static String tableRole(int level) {
    return "page tables, level " + level;
  }

  private static String region(AddressMap map, long vaddr) {
    return map.isDirectMap(vaddr)
        ? " (direct map)"
        : vaddr == map.vmemmapStart()
            ? " (page descriptors)"
            : map.isImage(vaddr) ? " (image)" : "";
  }

  /// The areas of CPUs that run; that of one that does not was never written to.
  private void perCpu(Kernel found) {
    PerCpu perCpu = found.perCpu();
    OptionalLong start = found.symbol("__per_cpu_start");
    OptionalLong end = found.symbol("__per_cpu_end");
    OptionalLong gdt = found.symbol("gdt_page");
    for (int i = 0; i < perCpu.cpus().size() && !isOver(); i++) {
      int cpu = perCpu.cpus().get(i);
      if (!perCpu.onlineCpus().contains(cpu)) {
        continue;
      }
      if (start.isPresent() && end.isPresent()) {
        range(
            found,
            "per-CPU areas",
            perCpu.address(start.getAsLong(), i),
            perCpu.address(end.getAsLong(), i),
            true,
            true);
      }
      OptionalLong own = found.symbol("this_cpu_off");
      if (own.isPresent()) {
        String of = "this_cpu_off of cpu " + cpu;
        page(found, "per-CPU areas", perCpu.address(own.getAsLong(), i), of, false);
      }
      if (gdt.isPresent()) {
        page(found, "GDT", perCpu.address(gdt.getAsLong(), i), "gdt_page of cpu " + cpu, false);
      }
    }
  }

  /// The descriptors of the frames that are in the dump.
  private void descriptors(Kernel found) {
    int pageSize = found.memory().pageSize();
    MemMap map = MemMap.of(found).orElse(null);
    if (map == null || map.endPfn() <= 0) {
      return;
    }
    long bytes = map.descriptor(1) - map.descriptor(0);
    if (bytes <= 0 || bytes > pageSize) {
      return;
    }
    long frames = pageSize / bytes;
    long step = frames * Math.max(1, map.endPfn() / frames / MAX_DESCRIPTOR_PAGES);
    long rounds = 0;
    for (long pfn = physical.nextStored(0);
        pfn >= 0 && pfn < map.endPfn();
        pfn = physical.nextStored((pfn / step + 1) * step)) {
      if (rounds++ % 1024 == 0 && isOver()) {
        return;
      }
      page(found, "page descriptors", map.descriptor(pfn), "of page frame 0x%x", pfn, false);
    }
  }

  private void modules(Kernel found) {
    for (Modules.Module module : found.modules().all()) {
      boolean isFirst = true;
      for (Modules.Range range : module.ranges()) {
        range(
            found,
            "module memory",
            range.start(),
            range.start() + range.byteCount(),
            // Its code comes first.
            !isFirst,
            true);
        isFirst = false;
      }
      first(module);
    }
  }

  private void first(Modules.Module module) {
    kernel.ifPresent(
        found -> page(found, "module memory", module.vaddr(), "module " + module.name(), false));
  }

  /// The stacks that CPUs were on: the end of each holds STACK_END_MAGIC, the top its first frame,
  /// and where the stack pointer is its last one.
  private void stacks(Kernel found) {
    if (found.struct("task_struct", "stack").isEmpty()) {
      return;
    }
    CallStacks stacks = CallStacks.of(found);
    PerCpu perCpu = found.perCpu();
    long bytes = stacks.stackBytes();
    int pageSize = found.memory().pageSize();
    for (int i = 0; i < perCpu.cpus().size() && !isOver(); i++) {
      int cpu = perCpu.cpus().get(i);
      Optional<Task> task = stacks.onCpu(i);
      if (task.isPresent() && task.get().stack() != 0 && perCpu.onlineCpus().contains(cpu)) {
        long low = task.get().stack();
        String of = "of the task on cpu " + cpu;
        page(found, "stacks", low, of + ", its end", false);
        for (long at = low + pageSize; at < low + bytes - pageSize; at += pageSize) {
          page(found, "stacks", at, of, true);
        }
        page(found, "stacks", low + bytes - pageSize, of + ", its top", false);
      }
      Optional<Registers> registers = stacks.registers(i);
      if (registers.isPresent() && !registers.get().isUser() && registers.get().sp() < 0) {
        page(found, "stacks", registers.get().sp(), "where RSP of cpu " + cpu + " points", false);
      }
    }
  }

  private boolean isOver() {
    boolean over = Cancellation.current().isOver();
    isWhole &= !over;
    return over;
  }

  private void page(
      Kernel found, String role, long vaddr, String name, long value, boolean mayBeZero) {
    if (found.memory().translate(vaddr) instanceof Translated.At(long paddr)) {
      // The name is made only where it is needed.
      if (isStored(found.memory().pfn(paddr)) && !isCut) {
        role(role).looked++;
      } else {
        page(role, found.memory().pfn(paddr), vaddr, name.formatted(value), mayBeZero);
      }
    }
  }

  private void page(Kernel found, String role, long vaddr, String name, boolean mayBeZero) {
    // Where nothing is mapped the kernel had nothing; a table that is missing is named as one.
    if (found.memory().translate(vaddr) instanceof Translated.At(long paddr)) {
      page(role, found.memory().pfn(paddr), vaddr, name, mayBeZero);
    }
  }

  private boolean isStored(long pfn) {
    return physical.nextStored(pfn) == pfn;
  }

  private void page(String name, long pfn, long vaddr, String what, boolean mayBeZero) {
    Role role = role(name);
    if (isStored(pfn)) {
      role.looked++;
      if (isCut && physical.defect(pfn).isPresent()) {
        role.lost++;
      }
      return;
    }
    if (mayBeZero && !storesZeros) {
      return;
    }
    role.looked++;
    String place =
        kernel
            .filter(found -> found.memory().map().isImage(vaddr) && what.isEmpty())
            .map(found -> " (" + found.describe(vaddr) + ")")
            .orElse(what.isEmpty() ? "" : " (" + what + ")");
    missed(role, pfn, "at 0x%x%s".formatted(vaddr, place), physical.read(pfn));
  }

  private void missed(Role role, long pfn, String place, PageRead why) {
    switch (why) {
      case PageRead.Excluded _ -> {
        if (isRole(pfn, false)) {
          leftOut(role, pfn, place, why);
        }
      }
      case PageRead.NotInDump _ -> {
        if (isRole(pfn, true)) {
          leftOut(role, pfn, place, why);
        }
      }
      case PageRead.Damaged _ -> role.lost++;
      case PageRead.Unreadable _, PageRead.Present _ -> {}
    }
  }

  private static void leftOut(Role role, long pfn, String place, PageRead why) {
    if (role.missing.stream().anyMatch(other -> other.pfn == pfn)) {
      return;
    }
    role.excluded++;
    if (role.missing.size() < MAX_MISSING) {
      role.missing.add(new Missing(pfn, place, why));
    }
  }

  /// Whether the kernel's own descriptor lets a page be what something says that it is: a wild
  /// pointer leads into memory of any use, and the writer may leave out what it pleases there.
  ///
  /// @param mustBeKnown whether there must be a descriptor: a page that the dump does not speak of
  ///   may be no memory at all
  private boolean isRole(long pfn, boolean mustBeKnown) {
    Optional<MemMap> map = kernel.flatMap(MemMap::of);
    PageState.Kind kind = map.map(found -> found.state(pfn).kind()).orElse(PageState.Kind.UNKNOWN);
    return switch (kind) {
      case BUDDY, ANONYMOUS, PAGE_CACHE, FREE, HWPOISON -> false;
      case SLAB, RESERVED, PAGE_TABLE, KERNEL -> true;
      case UNKNOWN -> !mustBeKnown;
    };
  }

  private Role role(String name) {
    return roles.computeIfAbsent(name, Role::new);
  }
}
