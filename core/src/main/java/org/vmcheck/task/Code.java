package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.arch.RecordCanary;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;

/// The kernel's code: which addresses are text, of what function, and how it is unwound.
///
/// Code that the kernel made at run time (BPF, ftrace trampolines) is none of this.
final class Code {
  /// A range of text.
  ///
  /// @param module empty for the kernel image
  /// @param orc its unwind data, if it has any
  /// @param isFreed whether its memory holds something else by now: its addresses are still on the
  ///   stack of the first idle task
  private record Range(
      long start,
      long end,
      Optional<Modules.Module> module,
      Optional<OrcTable> orc,
      boolean isFreed) {
    boolean contains(long address) {
      return Long.compareUnsigned(address, start) >= 0 && Long.compareUnsigned(address, end) < 0;
    }
  }

  /// A function and what is left of it.
  ///
  /// @param start of the symbol
  /// @param end where the next begins
  private record Function(String name, long start, long end, String module) {}

  /// The most bytes of one range of text.
  private static final long MAX_TEXT = 1L << 30;

  /// The most code of one function that is looked through.
  private static final long MAX_FUNCTION = 1 << 16;

  private static final long ENDBR64 = 0xfa1e0ff3L;

  /// Bytes of a `call rel32`, and of the no-operation that stands for one.
  private static final int CALL_BYTES = 5;

  private final Kernel kernel;
  private final Optional<OrcTable> image;
  private final List<Range> ranges = new ArrayList<>();

  Code(Kernel kernel) {
    this.kernel = kernel;
    this.image = OrcTable.ofImage(kernel);
    add(kernel.symbol("_stext"), kernel.symbol("_etext"), false);
    // SYSTEM_BOOTING is 0: the init text is freed at its end.
    boolean isBooting = kernel.variable32("system_state").orElse(1) == 0;
    add(kernel.symbol("_sinittext"), kernel.symbol("_einittext"), !isBooting);
    for (Modules.Module module : kernel.modules().all()) {
      addModule(module);
    }
  }

  private void add(OptionalLong start, OptionalLong end, boolean isFreed) {
    if (start.isPresent() && end.isPresent()) {
      long byteCount = end.getAsLong() - start.getAsLong();
      if (byteCount > 0 && byteCount <= MAX_TEXT) {
        ranges.add(new Range(start.getAsLong(), end.getAsLong(), Optional.empty(), image, isFreed));
      }
    }
  }

  private void add(
      long start, long byteCount, Optional<Modules.Module> module, Optional<OrcTable> orc) {
    if (start != 0 && byteCount > 0 && byteCount <= MAX_TEXT) {
      ranges.add(new Range(start, start + byteCount, module, orc, false));
    }
  }

  private void addModule(Modules.Module module) {
    Optional<StructLayout> layout = kernel.struct("module");
    if (layout.isEmpty()
        || !(StructRef.read(kernel.memory(), layout.get(), module.vaddr())
            instanceof StructRef at)) {
      return;
    }
    Optional<OrcTable> orc =
        at.has("arch.orc_unwind_ip") && at.has("arch.orc_unwind") && at.has("arch.num_orcs")
            ? image.map(
                table ->
                    table.of(
                        at.get("arch.orc_unwind_ip"),
                        at.get("arch.orc_unwind"),
                        at.get("arch.num_orcs")))
            : Optional.empty();
    Optional<Member> parts = at.layout().member("mem");
    Optional<StructLayout> part = parts.flatMap(Member::struct);
    if (part.isPresent() && part.get().has("base") && part.get().has("size")) {
      // Since 6.4 one array with a part for each kind of memory; init text while init runs.
      for (String kind : List.of("MOD_TEXT", "MOD_INIT_TEXT")) {
        OptionalLong index =
            kernel
                .types()
                .map(types -> types.enumerator("mod_mem_type", kind))
                .orElse(OptionalLong.empty());
        if (index.isPresent()
            && index.getAsLong() >= 0
            && index.getAsLong() < parts.get().elementCount()) {
          long from = parts.get().offset() + index.getAsLong() * part.get().size();
          add(
              at.bytes().u64(from + part.get().member("base").orElseThrow().offset()),
              at.bytes().u32(from + part.get().member("size").orElseThrow().offset()),
              Optional.of(module),
              orc);
        }
      }
      return;
    }
    for (String kind : List.of("core_layout", "init_layout")) {
      if (at.has(kind + ".base") && at.has(kind + ".text_size")) {
        add(at.get(kind + ".base"), at.get(kind + ".text_size"), Optional.of(module), orc);
      }
    }
  }

  /// Whether the kernel's own unwind data can be read.
  boolean hasOrc() {
    return image.isPresent();
  }

  /// Whether an address is of code that can be read.
  boolean isText(long address) {
    return range(address).filter(range -> !range.isFreed).isPresent();
  }

  /// Whether an address is of code, be its memory freed.
  boolean wasText(long address) {
    return range(address).isPresent();
  }

  private Optional<Range> range(long address) {
    if (address >= 0) {
      return Optional.empty();
    }
    for (Range range : ranges) {
      if (range.contains(address)) {
        return Optional.of(range);
      }
    }
    return Optional.empty();
  }

  /// The unwind entry of an address of text.
  Optional<Orc.Entry> orc(long address) {
    return range(address).flatMap(Range::orc).flatMap(table -> table.at(address));
  }

  /// Address of the first byte of the function that has an address.
  OptionalLong functionStart(long address) {
    return function(address)
        .map(function -> OptionalLong.of(function.start))
        .orElse(OptionalLong.empty());
  }

  private Optional<Function> function(long address) {
    Optional<Range> range = range(address);
    Optional<Symbols> symbols =
        range.flatMap(
            r ->
                r.module.isPresent() ? kernel.modules().symbols(r.module.get()) : kernel.symbols());
    Optional<Symbol> symbol = symbols.flatMap(s -> s.atOrBefore(address));
    if (symbol.isEmpty() || Long.compareUnsigned(symbol.get().address(), range.get().start) < 0) {
      return Optional.empty();
    }
    long end = symbols.get().nextAbove(symbol.get().address()).orElse(range.get().end);
    return Optional.of(
        new Function(
            symbol.get().name(),
            symbol.get().address(),
            Long.compareUnsigned(end, range.get().end) > 0 ? range.get().end : end,
            range.get().module.map(Modules.Module::name).orElse("")));
  }

  /// The name of the function that has an address, unescaped; empty if there is none.
  String functionName(long address) {
    return function(address).map(Function::name).orElse("");
  }

  /// `function+0xoffset/0xsize [module]`, as the kernel prints it: the size reaches to the next
  /// symbol, whatever that is.
  ///
  /// @param isReturn whether it is a return address, whose call may be the last instruction of its
  ///   function: then the function is that of the byte before
  String describe(long address, boolean isReturn) {
    return function(isReturn ? address - 1 : address)
        .map(
            function ->
                "%s+0x%x/0x%x%s"
                    .formatted(
                        Printable.of(function.name),
                        address - function.start,
                        function.end - function.start,
                        function.module.isEmpty() ? "" : " [" + function.module + "]"))
        .orElseGet(() -> "0x" + Long.toHexString(address));
  }

  /// Where the `call rel32` before a return address leads; empty if there is none.
  OptionalLong calledBefore(long address) {
    return isText(address - CALL_BYTES)
            && kernel.memory().read(address - CALL_BYTES, CALL_BYTES)
                instanceof MemoryRead.Bytes(ByteView call)
            && call.u8(0) == 0xe8
        ? OptionalLong.of(address + call.i32(1))
        : OptionalLong.empty();
  }

  /// How far above its stack pointer the function of an address keeps its canary.
  OptionalLong canaryOffset(long address) {
    Optional<ByteView> bytes = bytesOfFunction(address);
    return bytes.isEmpty() ? OptionalLong.empty() : StackCanary.offset(bytes.get());
  }

  /// The same above its frame record, for functions of arm64.
  ///
  /// @param member offset of `stack_canary` in `task_struct`
  OptionalLong canaryOffsetOfRecord(long address, long member) {
    Optional<ByteView> bytes = bytesOfFunction(address);
    return bytes.isEmpty() ? OptionalLong.empty() : RecordCanary.offset(bytes.get(), member);
  }

  private Optional<ByteView> bytesOfFunction(long address) {
    Optional<Function> function = function(address);
    if (function.isEmpty() || !isText(function.get().start)) {
      return Optional.empty();
    }
    int size = (int) Math.min(MAX_FUNCTION, function.get().end - function.get().start);
    return kernel.memory().read(function.get().start, size) instanceof MemoryRead.Bytes(ByteView b)
        ? Optional.of(b)
        : Optional.empty();
  }

  /// Whether a function begins with `push %rbp`, behind an `endbr64` and the place of a call of
  /// ftrace. True where its code cannot be read.
  boolean makesFrame(long function) {
    if (!(kernel.memory().read(function, 10) instanceof MemoryRead.Bytes(ByteView bytes))) {
      return true;
    }
    int at = bytes.u32(0) == ENDBR64 ? 4 : 0;
    int first = bytes.u8(at);
    at += first == 0xe8 || first == 0x0f ? CALL_BYTES : 0;
    return bytes.u8(at) == 0x55;
  }

  /// Whether the bytes before an address can be a call of any form.
  boolean isBehindCall(long address) {
    if (calledBefore(address).isPresent()) {
      return true;
    }
    // ff /2: two to seven bytes, a prefix aside.
    for (int length = 2; length <= 7; length++) {
      if (kernel.memory().read(address - length, 2) instanceof MemoryRead.Bytes(ByteView call)
          && call.u8(0) == 0xff
          && (call.u8(1) >>> 3 & 7) == 2) {
        return true;
      }
    }
    return false;
  }
}
