package org.vmcheck.search;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.arch.Architecture;
import org.vmcheck.arch.Architectures;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.UtsName;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.RepagedMemory;
import org.vmcheck.memory.VirtualMemory;

/// Finds the kernel in a dump: VMCOREINFO gives the page tables, these give memory, memory gives
/// the kernel's own symbol table and types. Each step is proven before the next relies on it.
public final class KernelFinder {
  /// Names of kallsyms take 1 to 6 MiB.
  private static final int MAX_NAMES_BYTES = 64 << 20;

  private static final int MAX_BTF_BYTES = 32 << 20;

  private static final String FUNCTIONS_ONLY =
      "no symbols of data: the kernel was built without CONFIG_KALLSYMS_ALL and names functions"
          + " only (give its vmlinux or vmlinuz)";

  private final Architecture architecture;
  private final Dump dump;
  private final Vmcoreinfo info;
  private final DebugSources sources;
  private final List<String> missing = new ArrayList<>();
  private final Set<String> remarks = new LinkedHashSet<>();

  private KernelFinder(
      Architecture architecture, Dump dump, Vmcoreinfo info, DebugSources sources) {
    this.architecture = architecture;
    this.dump = dump;
    this.info = info;
    this.sources = sources;
  }

  /// [#find(Dump, DebugSources)] with no file named by the user.
  public static KernelSearch find(Dump dump) {
    try {
      return find(dump, DebugSources.DEFAULT);
    } catch (IOException e) {
      throw new AssertionError("only a named file throws", e);
    }
  }

  /// Finds the kernel, and its symbols and types where these are to be had.
  ///
  /// @throws IOException if the vmlinux that the user names cannot be read or is none; one of
  ///   another kernel is no error here but stands in [Kernel#debugFiles]
  public static KernelSearch find(Dump dump, DebugSources sources) throws IOException {
    return find(dump, sources, 0);
  }

  /// The same, where several kernels lie in one memory.
  ///
  /// @param number which of [Kernel#kernels] is looked at, from 1 on; 0 for the crashed one
  public static KernelSearch find(Dump dump, DebugSources sources, int number) throws IOException {
    Optional<Vmlinux> named =
        sources.vmlinux().isPresent()
            ? Optional.of(Vmlinux.open(sources.vmlinux().get()))
            : Optional.empty();
    Optional<String> refusal = Architectures.refusal(dump.container());
    if (refusal.isPresent()) {
      return new KernelSearch.NotFound(List.of(refusal.get()), true);
    }
    List<KernelChoice.Candidate> candidates = candidates(dump, sources);
    if (candidates.isEmpty()) {
      return new KernelSearch.NotFound(
          List.of(
              "the dump carries no VMCOREINFO note, and neither one nor a kernel's symbol table was"
                  + " found in its memory"),
          false);
    }
    return KernelChoice.choose(dump, candidates, info -> read(dump, info, sources, named), number);
  }

  private static KernelSearch read(
      Dump dump, Vmcoreinfo info, DebugSources sources, Optional<Vmlinux> named) {
    return Architectures.of(dump.container(), info)
        .map(found -> new KernelFinder(found, dump, info, sources).find(named))
        .orElseGet(
            () ->
                new KernelSearch.NotFound(
                    List.of("VMCOREINFO is of no architecture that is read here"), true));
  }

  /// Descriptions of kernels: the dump's own, else those in its memory, else what a symbol table in
  /// memory gives.
  private static List<KernelChoice.Candidate> candidates(Dump dump, DebugSources sources) {
    if (dump.vmcoreinfo().isPresent()) {
      return List.of(
          new KernelChoice.Candidate(dump.vmcoreinfo().get(), "the dump's own note", ""));
    }
    List<KernelChoice.Candidate> found = new ArrayList<>();
    for (VmcoreinfoSearch.Found note : VmcoreinfoSearch.all(dump)) {
      found.add(new KernelChoice.Candidate(note.info(), "a note in memory", note.evidence()));
    }
    if (found.isEmpty() && !sources.ignores(DebugSources.Kind.KALLSYMS)) {
      for (Architecture architecture : Architectures.candidates(dump.container())) {
        KallsymsFinder kallsyms = new KallsymsFinder(dump.memory(), architecture);
        kallsyms
            .findAnywhere()
            .flatMap(kallsyms::vmcoreinfo)
            .ifPresent(
                info ->
                    found.add(
                        new KernelChoice.Candidate(
                            info,
                            "a symbol table in memory",
                            "the text is made up from that table: the kernel wrote none that was"
                                + " found")));
      }
    }
    return found;
  }

  private KernelSearch find(Optional<Vmlinux> named) {
    PhysicalMemory physical = dump.memory();
    OptionalLong pageSize = info.pageSize();
    if (pageSize.isPresent() && RepagedMemory.isPageSize(pageSize.getAsLong())) {
      physical = RepagedMemory.of(physical, (int) pageSize.getAsLong());
    }
    VirtualMemory memory;
    switch (architecture.place(dump.loadSegments(), physical, info)) {
      case Architecture.Placement.Unplaced(String why) -> {
        return notFound("VMCOREINFO lacks " + why + ": page tables cannot be found");
      }
      case Architecture.Placement.Placed(VirtualMemory placed) -> memory = placed;
    }

    String refusal = disproof(memory);
    if (refusal != null) {
      return notFound(refusal);
    }
    Optional<Symbols> symbols = symbols(memory);
    memory = withRegions(memory, symbols);
    Optional<Types> types = types(memory, symbols);
    boolean functionsOnly = symbols.isPresent() && hasFunctionsOnly(symbols.get());
    if (functionsOnly) {
      missing.add(FUNCTIONS_ONLY);
    }
    if (named.isEmpty() && symbols.isPresent() && !functionsOnly && types.isPresent()) {
      return new KernelSearch.Found(
          new Kernel(
              architecture, dump, info, memory, symbols, types, missing, List.of(), remarks()));
    }
    VirtualMemory found = memory;
    DebugFiles files =
        new DebugFiles(sources, info, memory, symbols, others -> types(found, Optional.of(others)));
    DebugFiles.Gain gain = files.use(named, symbols.isEmpty() || functionsOnly, types.isEmpty());
    if (gain.symbols().isPresent()) {
      symbols = gain.symbols();
      memory = withRegions(memory, symbols);
      missing.removeIf(reason -> reason.startsWith("no symbols") || reason.equals(FUNCTIONS_ONLY));
    }
    if (types.isEmpty() && gain.types().isPresent()) {
      String disagreement = contradiction(gain.types().get());
      if (disagreement == null) {
        types = gain.types();
        missing.removeIf(reason -> reason.startsWith("no types"));
      } else {
        missing.add("no types: " + disagreement);
      }
    }
    missing.addAll(gain.problems());
    return new KernelSearch.Found(
        new Kernel(
            architecture, dump, info, memory, symbols, types, missing, gain.files(), remarks()));
  }

  /// Without CONFIG_KALLSYMS_ALL kallsyms names functions, and no variable.
  private static boolean hasFunctionsOnly(Symbols symbols) {
    return symbols.address("init_task").isEmpty()
        && symbols.address("slab_caches").isEmpty()
        && symbols.address("__per_cpu_offset").isEmpty();
  }

  private KernelSearch notFound(String reason) {
    List<String> reasons = new ArrayList<>(List.of(reason));
    reasons.addAll(implausible());
    return new KernelSearch.NotFound(reasons, false);
  }

  private List<String> implausible() {
    return info.implausible().stream()
        .map(value -> "VMCOREINFO says " + Printable.of(value, 160) + "; it is not used")
        .toList();
  }

  private List<String> remarks() {
    List<String> all = new ArrayList<>(implausible());
    all.addAll(remarks);
    return all;
  }

  /// Why this memory is not the kernel's that VMCOREINFO describes; null if it is.
  private String disproof(VirtualMemory memory) {
    OptionalLong uts = info.symbol("init_uts_ns");
    if (uts.isEmpty()) {
      return null;
    }
    ByteView names = UtsName.read(memory::bytes, info, uts.getAsLong());
    if (names == null) {
      return "the kernel's name (init_uts_ns at 0x%x) cannot be read: %s"
          .formatted(uts.getAsLong(), memory.read(uts.getAsLong(), UtsName.BYTES).words());
    }
    String release = UtsName.release(names);
    if (!release.equals(info.release())) {
      return "the memory at init_uts_ns holds \"%s\" where VMCOREINFO says release \"%s\""
          .formatted(Printable.of(release, 70), Printable.of(info.release(), 70));
    }
    return null;
  }

  /// Where VMCOREINFO names the tables of kallsyms, from there; else, or where these do not decode,
  /// from where the image looks like them.
  private Optional<Symbols> symbols(VirtualMemory memory) {
    if (sources.ignores(DebugSources.Kind.KALLSYMS)) {
      missing.add("no symbols: kallsyms is not to be used");
      return Optional.empty();
    }
    String reason = "VMCOREINFO does not name the tables of kallsyms";
    if (info.symbol("kallsyms_names").isPresent()
        && !sources.ignores(DebugSources.Kind.KALLSYMS_KEYS)) {
      try {
        return Optional.of(
            Kallsyms.decode(kallsyms(info, memory), info.symbol("_stext"), sources.known()));
      } catch (MalformedFileException e) {
        reason = e.getMessage();
      }
    }
    Optional<Symbols> found =
        new KallsymsFinder(memory.physical(), architecture)
            .find(
                memory.map().imageOffset(),
                memory.map().imageStart(),
                info.symbol("_stext"),
                memory.map().imageEnd());
    if (found.isEmpty()) {
      missing.add("no symbols: " + reason + "; none are found in the kernel image either");
    }
    return found;
  }

  /// The tables of kallsyms where VMCOREINFO says that they are.
  static Kallsyms.Tables kallsyms(Vmcoreinfo info, VirtualMemory memory)
      throws MalformedFileException {
    long names = needed(info, "kallsyms_names");
    long tokenTable = needed(info, "kallsyms_token_table");
    long tokenIndex = needed(info, "kallsyms_token_index");
    // 6.0 does not export the count: it stands before the names.
    long countAt = info.symbol("kallsyms_num_syms").orElse(names - 8);
    long count = bytes(memory, "kallsyms_num_syms", countAt, 4).u32(0);
    if (count < 1 || count > Kallsyms.MAX_SYMBOLS) {
      throw new MalformedFileException(
          "kallsyms_num_syms at 0x%x: expected 1 to %d, got %d"
              .formatted(countAt, Kallsyms.MAX_SYMBOLS, count));
    }
    OptionalLong offsets = info.symbol("kallsyms_offsets");
    OptionalLong absolute = info.symbol("kallsyms_addresses");
    if (offsets.isEmpty() && absolute.isEmpty()) {
      throw new MalformedFileException("VMCOREINFO names no kallsyms_offsets");
    }
    OptionalLong relativeBase = OptionalLong.empty();
    if (info.symbol("kallsyms_relative_base").isPresent()) {
      long at = info.symbol("kallsyms_relative_base").getAsLong();
      relativeBase = OptionalLong.of(bytes(memory, "kallsyms_relative_base", at, 8).u64(0));
    }
    // The names end before the next table, whichever that is in this kernel's order.
    long namesEnd = names + MAX_NAMES_BYTES;
    for (long other : new long[] {tokenTable, tokenIndex, offsets.orElse(0), absolute.orElse(0)}) {
      if (Long.compareUnsigned(other, names) > 0 && Long.compareUnsigned(other, namesEnd) < 0) {
        namesEnd = other;
      }
    }
    int n = (int) count;
    return new Kallsyms.Tables(
        n,
        bytes(memory, "kallsyms_names", names, (int) (namesEnd - names)),
        upTo(memory, "kallsyms_token_table", tokenTable, 1 << 14),
        bytes(memory, "kallsyms_token_index", tokenIndex, 512),
        offsets.isPresent() ? bytes(memory, "kallsyms_offsets", offsets.getAsLong(), 4 * n) : null,
        offsets.orElse(0),
        offsets.isEmpty() ? bytes(memory, "kallsyms_addresses", absolute.getAsLong(), 8 * n) : null,
        relativeBase);
  }

  private static long needed(Vmcoreinfo info, String symbol) throws MalformedFileException {
    return info.symbol(symbol)
        .orElseThrow(() -> new MalformedFileException("VMCOREINFO names no " + symbol));
  }

  private static ByteView bytes(VirtualMemory memory, String what, long vaddr, int byteCount)
      throws MalformedFileException {
    MemoryRead read = memory.read(vaddr, byteCount);
    if (read instanceof MemoryRead.Bytes(ByteView view)) {
      return new ByteView("memory", what, view.segment(), vaddr, false);
    }
    throw new MalformedFileException(
        "%s at 0x%x (%d bytes): %s".formatted(what, vaddr, byteCount, read.words()));
  }

  /// As many bytes as can be read, at most `byteCount`, in whole pages.
  private static ByteView upTo(VirtualMemory memory, String what, long vaddr, int byteCount)
      throws MalformedFileException {
    int count = byteCount;
    while (count > memory.pageSize() && !(memory.read(vaddr, count) instanceof MemoryRead.Bytes)) {
      count -= memory.pageSize();
    }
    return bytes(memory, what, vaddr, count);
  }

  /// What the kernel's variables and page tables say of its regions.
  private VirtualMemory withRegions(VirtualMemory memory, Optional<Symbols> symbols) {
    Architecture.Regions regions = architecture.regions(dump.loadSegments(), info, memory, symbols);
    remarks.addAll(regions.remarks());
    return memory.with(regions.map());
  }

  private Optional<Types> types(VirtualMemory memory, Optional<Symbols> symbols) {
    if (sources.ignores(DebugSources.Kind.BTF)) {
      missing.add("no types: BTF is not to be used");
      return Optional.empty();
    }
    if (symbols.isEmpty()) {
      missing.add("no types: BTF is found through symbols");
      return Optional.empty();
    }
    OptionalLong start = symbols.get().address("__start_BTF");
    OptionalLong stop = symbols.get().address("__stop_BTF");
    if (start.isEmpty() || stop.isEmpty()) {
      start = symbols.get().address("_binary__btf_vmlinux_bin_start");
      stop = symbols.get().address("_binary__btf_vmlinux_bin_end");
    }
    if (start.isEmpty() || stop.isEmpty()) {
      missing.add("no types: the kernel carries no BTF (no symbol __start_BTF)");
      return Optional.empty();
    }
    long size = stop.getAsLong() - start.getAsLong();
    if (size <= 0 || size > MAX_BTF_BYTES) {
      missing.add("no types: BTF of %d bytes".formatted(size));
      return Optional.empty();
    }
    try {
      BtfTypes btf =
          BtfTypes.parse(bytes(memory, "btf", start.getAsLong(), (int) size), sources.known());
      String refusal = contradiction(btf);
      if (refusal != null) {
        missing.add("no types: " + refusal);
        return Optional.empty();
      }
      return Optional.of(btf);
    } catch (IOException e) {
      missing.add("no types: " + e.getMessage());
      return Optional.empty();
    }
  }

  /// Where types and VMCOREINFO disagree about `struct page`; null where they agree.
  private String contradiction(Types types) {
    for (String member : List.of("flags", "_refcount", "lru", "_mapcount")) {
      OptionalLong told = info.offset("page." + member);
      OptionalLong found =
          types.struct("page", member).stream()
              .mapToLong(page -> page.member(member).orElseThrow().offset())
              .findFirst();
      if (told.isPresent() && found.isPresent() && told.getAsLong() != found.getAsLong()) {
        return "%s puts page.%s at %d, VMCOREINFO at %d"
            .formatted(types.source(), member, found.getAsLong(), told.getAsLong());
      }
    }
    return null;
  }
}
