package org.vmcheck.kernel;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.memory.MemoryRead;

/// The loaded modules with their symbols and types (Linux `include/linux/module.h`).
///
/// Symbols are those of the core part: these of the init part were freed. Safe for use by several
/// threads at once.
public final class Modules {
  private static final int MAX_MODULES = 4096;
  private static final int MAX_SYMBOLS = 1 << 20;
  private static final int MAX_RANGES = 16;
  private static final int MAX_NAME = 512;
  private static final int MAX_BTF_BYTES = 32 << 20;

  /// Bytes of an `Elf64_Sym`.
  private static final int ENTRY_BYTES = 24;

  private final Kernel kernel;
  private final List<Module> modules;
  private final boolean isWhole;
  private final Map<Long, Optional<Symbols>> symbols = new ConcurrentHashMap<>();

  private Modules(Kernel kernel, List<Module> modules, boolean isWhole) {
    this.kernel = kernel;
    this.modules = List.copyOf(modules);
    this.isWhole = isWhole;
  }

  /// A range of a module's memory.
  public record Range(long start, long byteCount) {
    boolean contains(long vaddr) {
      return Long.compareUnsigned(vaddr - start, byteCount) < 0;
    }
  }

  /// A loaded module.
  ///
  /// @param name safe to print
  /// @param vaddr of its `struct module`
  /// @param ranges where its code and data lie
  public record Module(String name, long vaddr, List<Range> ranges) {
    public Module {
      ranges = List.copyOf(ranges);
    }
  }

  static Modules read(Kernel kernel) {
    OptionalLong head = kernel.symbol("modules");
    Optional<StructLayout> layout = kernel.struct("module", "list", "name");
    if (head.isEmpty() || layout.isEmpty()) {
      return new Modules(kernel, List.of(), false);
    }
    ListWalk walk = ListWalk.walk(kernel.memory(), head.getAsLong(), MAX_MODULES);
    List<Module> found = new ArrayList<>();
    int listAt = layout.get().member("list").orElseThrow().offset();
    for (long node : walk.nodes()) {
      if (StructRef.read(kernel.memory(), layout.get(), node - listAt)
          instanceof StructRef module) {
        found.add(module(module));
      }
    }
    return new Modules(kernel, found, walk.isClosed() && found.size() == walk.nodes().size());
  }

  private static Module module(StructRef module) {
    List<Range> ranges = new ArrayList<>();
    Optional<Member> parts = module.layout().member("mem");
    if (parts.isPresent()) {
      // Since 6.4 an array with a part for each kind of memory.
      StructLayout part = parts.get().struct().orElse(null);
      int count = Math.clamp(parts.get().elementCount(), 0, MAX_RANGES);
      if (part != null && part.has("base") && part.has("size")) {
        for (int i = 0; i < count; i++) {
          long at = parts.get().offset() + i * part.size();
          add(
              ranges,
              module.bytes().u64(at + part.member("base").orElseThrow().offset()),
              module.bytes().u32(at + part.member("size").orElseThrow().offset()));
        }
      }
    } else if (module.has("core_layout.base")) {
      add(ranges, module.get("core_layout.base"), module.get("core_layout.size"));
    } else if (module.has("module_core")) {
      add(ranges, module.get("module_core"), module.get("core_size"));
    }
    Member name = module.layout().member("name").orElseThrow();
    return new Module(
        Printable.of(module.bytes().string(name.offset(), (int) Math.min(name.byteSize(), 64))),
        module.vaddr(),
        ranges);
  }

  private static void add(List<Range> ranges, long start, long byteCount) {
    if (start != 0 && byteCount > 0 && byteCount < 1L << 32) {
      ranges.add(new Range(start, byteCount));
    }
  }

  /// The modules that could be read, the last loaded first.
  public List<Module> all() {
    return modules;
  }

  /// Whether the list of modules is whole.
  public boolean isWhole() {
    return isWhole;
  }

  /// The module that has an address in one of its ranges.
  public Optional<Module> at(long vaddr) {
    for (Module module : modules) {
      for (Range range : module.ranges) {
        if (range.contains(vaddr)) {
          return Optional.of(module);
        }
      }
    }
    return Optional.empty();
  }

  /// The symbols of a module; empty if they cannot be read. Without CONFIG_KALLSYMS_ALL they are
  /// functions only.
  public Optional<Symbols> symbols(Module module) {
    return symbols.computeIfAbsent(module.vaddr, _ -> readSymbols(module));
  }

  private Optional<Symbols> readSymbols(Module module) {
    Optional<StructLayout> layout = kernel.struct("module");
    Optional<StructLayout> tables = kernel.struct("mod_kallsyms", "symtab", "num_symtab", "strtab");
    if (layout.isEmpty()
        || tables.isEmpty()
        || !layout.get().has("kallsyms")
        || !(StructRef.read(kernel.memory(), layout.get(), module.vaddr) instanceof StructRef at)
        || !(StructRef.read(kernel.memory(), tables.get(), at.get("kallsyms"))
            instanceof StructRef kallsyms)) {
      return Optional.empty();
    }
    long count = kallsyms.get("num_symtab");
    if (count > MAX_SYMBOLS
        || !(kernel.memory().read(kallsyms.get("symtab"), (int) count * ENTRY_BYTES)
            instanceof MemoryRead.Bytes(ByteView entries))) {
      return Optional.empty();
    }
    // Before 5.2 the letter took the place of another field of the entry.
    ByteView letters =
        kallsyms.has("typetab")
                && kernel.memory().read(kallsyms.get("typetab"), (int) count)
                    instanceof MemoryRead.Bytes(ByteView view)
            ? view
            : null;
    Symbols.Builder builder = new Symbols.Builder((int) count);
    for (int i = 1; i < count; i++) {
      long entry = (long) i * ENTRY_BYTES;
      Optional<String> name = kernel.string(kallsyms.get("strtab") + entries.u32(entry), MAX_NAME);
      if (name.isPresent() && !name.get().isEmpty()) {
        builder.add(
            new Symbol(
                name.get(), letters == null ? '?' : (char) letters.u8(i), entries.u64(entry + 8)));
      }
    }
    return Optional.of(builder.build("kallsyms of " + module.name));
  }

  /// `symbol+0xoffset [module]` of an address in a module; empty if it is in none.
  public Optional<String> describe(long vaddr) {
    return at(vaddr)
        .map(
            module ->
                symbols(module)
                        .flatMap(found -> found.describe(vaddr))
                        .map(Printable::of)
                        .orElseGet(() -> "0x" + Long.toHexString(vaddr))
                    + " ["
                    + module.name
                    + "]");
  }

  /// The types of a module, the kernel's included; empty if the kernel keeps none for it (before
  /// 5.11, or without CONFIG_DEBUG_INFO_BTF_MODULES) or its own are not of BTF.
  ///
  /// `module.btf_data` is cleared after loading, so the list `btf_modules` is asked. A module with
  /// a distilled base keeps the ids of that base and is refused by its own checks.
  public Optional<Types> types(Module module) {
    OptionalLong head = kernel.symbol("btf_modules");
    Optional<StructLayout> entry = kernel.struct("btf_module", "list", "module", "btf");
    Optional<StructLayout> btf = kernel.struct("btf", "data", "data_size");
    if (head.isEmpty()
        || entry.isEmpty()
        || btf.isEmpty()
        || !(kernel.types().orElse(null) instanceof BtfTypes base)) {
      return Optional.empty();
    }
    int listAt = entry.get().member("list").orElseThrow().offset();
    for (long node : ListWalk.walk(kernel.memory(), head.getAsLong(), MAX_MODULES).nodes()) {
      if (StructRef.read(kernel.memory(), entry.get(), node - listAt) instanceof StructRef found
          && found.get("module") == module.vaddr
          && StructRef.read(kernel.memory(), btf.get(), found.get("btf"))
              instanceof StructRef blob) {
        return types(blob, base);
      }
    }
    return Optional.empty();
  }

  private Optional<Types> types(StructRef blob, BtfTypes base) {
    long byteCount = blob.get("data_size");
    if (byteCount > MAX_BTF_BYTES
        || !(kernel.memory().read(blob.get("data"), (int) byteCount)
            instanceof MemoryRead.Bytes(ByteView bytes))) {
      return Optional.empty();
    }
    try {
      return Optional.of(BtfTypes.parseSplit(bytes, base));
    } catch (IOException _) {
      return Optional.empty();
    }
  }
}
