package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.stream.Stream;
import org.vmcheck.arch.Architecture;
import org.vmcheck.debuginfo.DebugFile;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The kernel in a dump: its memory, and as much of its symbols and types as could be had.
///
/// Views of its parts are made when first asked for. Safe for use by several threads at once.
public final class Kernel {
  private static final int TAINT_RANDSTRUCT = 17;

  /// Bytes of a note's head with the name `CORE`.
  private static final int NOTE_HEAD_BYTES = 20;

  private final Architecture architecture;
  private final Dump dump;
  private final Vmcoreinfo vmcoreinfo;
  private final VirtualMemory memory;
  private final Optional<Symbols> symbols;
  private final Optional<Types> types;
  private final List<String> missing;
  private final List<DebugFile> debugFiles;
  private final List<String> remarks;
  private final List<KernelEntry> kernels;
  private final List<Kernel> others;
  private final Memo<PerCpu> perCpu = new Memo<>(() -> PerCpu.of(this));
  private final Memo<Identity> identity = new Memo<>(() -> Identity.of(this));
  private final Memo<LogBuffer> log = new Memo<>(() -> LogBuffer.read(this));
  private final Memo<Modules> modules = new Memo<>(() -> Modules.read(this));
  private final Map<Part<?>, Memo<?>> parts = new ConcurrentHashMap<>();

  /// @param missing why symbols or types are not there, a sentence each
  /// @param debugFiles the files of debug information that were looked at
  /// @param remarks what VMCOREINFO or the kernel's variables say that cannot be
  public Kernel(
      Architecture architecture,
      Dump dump,
      Vmcoreinfo vmcoreinfo,
      VirtualMemory memory,
      Optional<Symbols> symbols,
      Optional<Types> types,
      List<String> missing,
      List<DebugFile> debugFiles,
      List<String> remarks) {
    this(
        architecture,
        dump,
        vmcoreinfo,
        memory,
        symbols,
        types,
        missing,
        debugFiles,
        remarks,
        List.of(),
        List.of());
  }

  private Kernel(
      Architecture architecture,
      Dump dump,
      Vmcoreinfo vmcoreinfo,
      VirtualMemory memory,
      Optional<Symbols> symbols,
      Optional<Types> types,
      List<String> missing,
      List<DebugFile> debugFiles,
      List<String> remarks,
      List<KernelEntry> kernels,
      List<Kernel> others) {
    this.architecture = architecture;
    this.dump = dump;
    this.vmcoreinfo = vmcoreinfo;
    this.memory = memory;
    this.symbols = symbols;
    this.types = types;
    this.missing = List.copyOf(missing);
    this.debugFiles = List.copyOf(debugFiles);
    this.remarks = List.copyOf(remarks);
    this.kernels = List.copyOf(kernels);
    this.others = List.copyOf(others);
  }

  /// The same kernel in memory that is read another way: everything is read anew.
  public Kernel over(PhysicalMemory physical) {
    return new Kernel(
        architecture,
        dump,
        vmcoreinfo,
        new VirtualMemory(physical, memory.paging(), memory.map()),
        symbols,
        types,
        missing,
        debugFiles,
        remarks,
        kernels,
        others);
  }

  /// The same kernel as one of several in a memory.
  public Kernel among(List<KernelEntry> all, List<Kernel> allOthers) {
    return new Kernel(
        architecture,
        dump,
        vmcoreinfo,
        memory,
        symbols,
        types,
        missing,
        debugFiles,
        remarks,
        all,
        allOthers);
  }

  /// The kernels of this memory that were found, this one among them.
  public List<KernelEntry> kernels() {
    return kernels;
  }

  /// The notes of the dump without the registers of CPUs whose page tables are another kernel's of
  /// this memory; what the CPUs wrote when this one crashed stands in for them. QEMU writes its own
  /// state of each CPU besides the registers, in the same order.
  public List<ElfNote> notes() {
    List<ElfNote> all = dump.notes();
    List<ElfNote> states = all.stream().filter(architecture::isCpuState).toList();
    List<ElfNote> registers = all.stream().filter(Kernel::isRegisters).toList();
    if (others.isEmpty() || states.size() != registers.size()) {
      return all;
    }
    Set<ElfNote> foreign = Collections.newSetFromMap(new IdentityHashMap<>());
    for (int i = 0; i < states.size(); i++) {
      ElfNote cpu = states.get(i);
      if (!has(cpu) && others.stream().anyMatch(other -> other.has(cpu))) {
        foreign.add(states.get(i));
        foreign.add(registers.get(i));
      }
    }
    if (foreign.isEmpty()) {
      return all;
    }
    List<ElfNote> own = crashNotes();
    return Stream.concat(
            all.stream()
                .filter(note -> !foreign.contains(note))
                .filter(
                    note -> own.isEmpty() || !(isRegisters(note) || architecture.isCpuState(note))),
            own.stream())
        .toList();
  }

  /// What each CPU wrote of itself on its way into the capture kernel (`crash_notes`, Linux
  /// `kernel/crash_core.c`), in the order of the CPUs.
  private List<ElfNote> crashNotes() {
    List<ElfNote> notes = new ArrayList<>();
    OptionalLong table = variable64("crash_notes");
    int byteCount = architecture.registers().byteCount();
    for (int i = 0; table.isPresent() && i < perCpu().cpus().size(); i++) {
      ByteView view =
          memory.bytes(perCpu().address(table.getAsLong(), i), NOTE_HEAD_BYTES + byteCount);
      if (view != null
          && view.u32(0) == 5
          && view.u32(4) == byteCount
          && view.u32(8) == ElfNote.NT_PRSTATUS
          && view.string(12, 8).equals("CORE")) {
        notes.add(
            new ElfNote(
                "CORE",
                ElfNote.NT_PRSTATUS,
                view.slice("crash_notes", NOTE_HEAD_BYTES, byteCount)));
      }
    }
    return notes;
  }

  private static boolean isRegisters(ElfNote note) {
    return note.name().equals("CORE") && note.type() == ElfNote.NT_PRSTATUS;
  }

  private boolean has(ElfNote cpu) {
    return architecture.isCpuIn(cpu, memory.physical(), vmcoreinfo, memory.map().imageOffset());
  }

  public Architecture architecture() {
    return architecture;
  }

  public Dump dump() {
    return dump;
  }

  public Vmcoreinfo vmcoreinfo() {
    return vmcoreinfo;
  }

  public VirtualMemory memory() {
    return memory;
  }

  public Optional<Symbols> symbols() {
    return symbols;
  }

  public Optional<Types> types() {
    return types;
  }

  /// Why symbols or types are not there, a sentence each.
  public List<String> missing() {
    return missing;
  }

  /// The files of debug information that were looked at, whose they are and what is taken from
  /// them: a named one always, others where the dump itself lacks symbols or types.
  public List<DebugFile> debugFiles() {
    return debugFiles;
  }

  /// What VMCOREINFO or the kernel's variables say that cannot be, and that is not used; a sentence
  /// each.
  public List<String> remarks() {
    return remarks;
  }

  public PerCpu perCpu() {
    return perCpu.get();
  }

  public Identity identity() {
    return identity.get();
  }

  public LogBuffer log() {
    return log.get();
  }

  /// What a domain reads of a kernel, once and when first asked for. The domain keeps the key, so
  /// that the kernel knows none of its domains.
  ///
  /// @param <T> what is read
  public static final class Part<T> {
    private final Function<Kernel, T> reader;

    public Part(Function<Kernel, T> reader) {
      this.reader = reader;
    }
  }

  /// A domain's part of this kernel, read by whichever thread asks first.
  @SuppressWarnings("unchecked") // the memo of a key is made of the key's own reader
  public <T> T part(Part<T> part) {
    return ((Memo<T>) parts.computeIfAbsent(part, _ -> new Memo<>(() -> part.reader.apply(this))))
        .get();
  }

  public Modules modules() {
    return modules.get();
  }

  /// Whether the kernel is known to have stopped all CPUs before its memory was copied, as it does
  /// after a panic: all of the memory is of one moment then.
  public boolean isStopped() {
    return identity().panicCpu() >= 0 || vmcoreinfo.crashTime().orElse(0) != 0;
  }

  /// Whether the order of members was shuffled in this build (taint `T`): then only its own types
  /// fit, and those of a kernel rebuilt from the same source do not.
  public boolean hasShuffledStructs() {
    return (variable64("tainted_mask").orElse(0) >>> TAINT_RANDSTRUCT & 1) != 0;
  }

  public OptionalLong symbol(String name) {
    return symbols.isPresent() ? symbols.get().address(name) : OptionalLong.empty();
  }

  public Optional<StructLayout> struct(String name, String... requiredMembers) {
    return types.flatMap(t -> t.struct(name, requiredMembers));
  }

  /// The 64-bit variable behind a symbol; empty if there is no such symbol or it cannot be read.
  public OptionalLong variable64(String name) {
    OptionalLong address = symbol(name);
    return address.isPresent() ? word(address.getAsLong()) : OptionalLong.empty();
  }

  /// The 32-bit variable behind a symbol.
  public OptionalLong variable32(String name) {
    OptionalLong address = symbol(name);
    return address.isPresent()
            && memory.read(address.getAsLong(), 4) instanceof MemoryRead.Bytes(ByteView view)
        ? OptionalLong.of(view.u32(0))
        : OptionalLong.empty();
  }

  /// The 64-bit word at an address.
  public OptionalLong word(long vaddr) {
    return memory.read(vaddr, 8) instanceof MemoryRead.Bytes(ByteView view)
        ? OptionalLong.of(view.u64(0))
        : OptionalLong.empty();
  }

  /// The C string at an address, unescaped: at most `maxBytes`, and what of it can be read.
  public Optional<String> string(long vaddr, int maxBytes) {
    StringBuilder text = new StringBuilder();
    long at = vaddr;
    int left = maxBytes;
    while (left > 0) {
      int count = (int) Math.min(left, memory.pageSize() - (at & (memory.pageSize() - 1)));
      if (!(memory.read(at, count) instanceof MemoryRead.Bytes(ByteView view))) {
        break;
      }
      String piece = view.string(0, count);
      text.append(piece);
      if (piece.length() < count) {
        return Optional.of(text.toString());
      }
      at += count;
      left -= count;
    }
    return at == vaddr ? Optional.empty() : Optional.of(text.toString());
  }

  /// `symbol+0xoffset` of an address in the image or, with the module's name, in a module; else the
  /// address itself.
  public String describe(long vaddr) {
    return symbols
        .flatMap(
            s ->
                memory.map().isImage(vaddr)
                    ? s.describe(vaddr)
                    : memory.map().mayBeCode(vaddr) ? modules().describe(vaddr) : Optional.empty())
        .orElseGet(() -> "0x" + Long.toHexString(vaddr));
  }
}
