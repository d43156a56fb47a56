package org.vmcheck.check;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.lowmem.MemoryEncryption;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// Is the low 1 MiB reserved, so that the kernel keeps nothing there that kdump could spoil?
final class LowMemoryReservedCheck implements Check {
  private static final int MAX_EXAMPLES = 5;

  /// Lines of the boot log that bear on it; absent from 5.13 on, where the reservation is
  /// unconditional.
  private static final List<String> BOOT_LINES =
      List.of(
          "Reserving the low 1M of memory for crashkernel",
          "No sub-1M memory is available for the trampoline",
          "reserving inaccessible SNB gfx pages",
          "Loaded backup region at");

  @Override
  public String id() {
    return "lowmem.reserved";
  }

  @Override
  public String question() {
    return "Is the fix in force that keeps the low 1 MiB out of the kernel's use?";
  }

  @Override
  public String explanation() {
    return """
    Looks at the page descriptors of frames 0 to 0xff: with the fix (Linux 6f599d84231f, mainline
    5.5, for kernels booted with crashkernel=; f1d4d47c5851, 5.13, always; backported by
    distributions) each is reserved and none is a slab, free, page cache, anonymous or a page table.
    Beside them: crashkernel= on the saved command line, crashk_res, the boot log's own words,
    whether the dump's headers leave the low 1 MiB out, and the members of kimage.arch that the fix
    removed. It answers a question and never changes the verdict.

    Answers: in force; not in force, with what lives there; not needed (no crash kernel is set up);
    cannot tell (nothing found in use, and not every descriptor could be read, or no PG_reserved is
    known).
    It can mislead: a machine whose firmware reserves all of the range looks like one with the fix.
    Next: compare before and after a kernel upgrade.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.MEMMAP;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Optional<String> lacks = context.lacksLowMemory();
    if (lacks.isPresent()) {
      return new CheckOutcome.NothingToLookAt(id(), lacks.get());
    }
    Kernel kernel = context.kernel().orElseThrow();
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    Map<PageState.Kind, Integer> kinds = new EnumMap<>(PageState.Kind.class);
    Map<String, Integer> uses = new TreeMap<>();
    List<String> examples = new ArrayList<>();
    int known = 0;
    int inUse = 0;
    int lowInUse = 0;
    int stored = 0;
    int outside = 0;
    for (long pfn = 0; pfn < LowMemory.RESERVED_END_PFN; pfn++) {
      PageState.Kind kind = memMap.state(pfn).kind();
      kinds.merge(kind, 1, Integer::sum);
      switch (context.dump().memory().read(pfn)) {
        case PageRead.Present _ -> stored++;
        case PageRead.NotInDump _ -> outside++;
        case PageRead.Excluded _, PageRead.Damaged _, PageRead.Unreadable _ -> {}
      }
      known += kind == PageState.Kind.UNKNOWN ? 0 : 1;
      if (isCounterExample(kind, memMap.knowsReserved())) {
        inUse++;
        lowInUse += pfn < LowMemory.BACKUP_END_PFN ? 1 : 0;
        String role = LowMemory.role(context.kernel(), pfn);
        if (uses.merge(role, 1, Integer::sum) == 1 && examples.size() < MAX_EXAMPLES) {
          examples.add("page frame 0x%x: %s".formatted(pfn, role));
        }
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
    kinds.forEach((kind, count) -> facts.put("pages " + kind.words(), count.toString()));
    facts.put("pages stored in the dump", Integer.toString(stored));
    facts.put("PG_reserved known", memMap.knowsReserved() ? "yes" : "no");
    facts.put(
        "left out of the dump's headers",
        outside == LowMemory.RESERVED_END_PFN ? "yes" : outside == 0 ? "no" : outside + " frames");
    Optional<Boolean> crashKernel = crashKernel(kernel, facts);
    bootLog(kernel, facts);
    kernel
        .struct("kimage")
        .ifPresent(
            kimage ->
                facts.put(
                    "kernel makes a backup region (kimage.arch.backup_src_start)",
                    kimage.has("arch.backup_src_start") ? "yes" : "no"));
    MemoryEncryption.State encryption = MemoryEncryption.of(kernel).state();
    facts.put("memory encryption", encryption.words());
    int reserved = kinds.getOrDefault(PageState.Kind.RESERVED, 0);
    String answer;
    if (inUse > 0) {
      answer = crashKernel.orElse(true) ? "not in force" : "not needed (no crash kernel)";
    } else if (known < LowMemory.RESERVED_END_PFN || !memMap.knowsReserved() || reserved == 0) {
      answer = "cannot tell";
    } else {
      answer = "in force";
    }
    String exposure = exposure(inUse > 0, lowInUse, crashKernel, encryption);
    facts.put("exposure", exposure);
    List<Note> notes = new ArrayList<>();
    if (inUse > 0) {
      notes.add(
          new Note(
              "low memory",
              "%d pages below 1 MiB are in use (%s); exposure: %s"
                  .formatted(inUse, String.join("; ", examples), exposure)));
      uses.forEach((role, count) -> facts.put("in use as " + role, count.toString()));
    }
    if (known == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(), "no page descriptor of the low 1 MiB can be read", facts, notes, Coverage.NONE);
    }
    return new CheckOutcome.Ran(
        id(),
        answer,
        facts,
        List.of(),
        notes,
        new Coverage(Map.of("page descriptors", (long) known), Map.of(), List.of()));
  }

  /// Whether a page of this kind shows that the range is in the kernel's general use. Without a
  /// known PG_reserved, kinds that only the lack of other marks tells do not count.
  private static boolean isCounterExample(PageState.Kind kind, boolean knowsReserved) {
    return switch (kind) {
      case SLAB, BUDDY, PAGE_TABLE, ANONYMOUS, PAGE_CACHE -> true;
      case FREE, KERNEL -> knowsReserved;
      case RESERVED, HWPOISON, UNKNOWN -> false;
    };
  }

  /// Whether room for a crash kernel was asked for; empty if nothing tells.
  private static Optional<Boolean> crashKernel(Kernel kernel, Map<String, String> facts) {
    String commandLine = kernel.identity().commandLine();
    boolean onLine = commandLine.contains("crashkernel=");
    facts.put(
        "crashkernel= on the command line",
        onLine ? "yes" : commandLine.isEmpty() ? "command line not readable" : "no");
    OptionalLong resource = kernel.symbol("crashk_res");
    OptionalLong end =
        resource.isPresent() ? kernel.word(resource.getAsLong() + 8) : OptionalLong.empty();
    if (end.isPresent()) {
      facts.put(
          "crashk_res",
          end.getAsLong() == 0
              ? "empty"
              : "0x%x-0x%x"
                  .formatted(kernel.word(resource.getAsLong()).orElse(0), end.getAsLong()));
    }
    if (onLine || end.orElse(0) != 0) {
      return Optional.of(true);
    }
    return commandLine.isEmpty() && end.isEmpty() ? Optional.empty() : Optional.of(false);
  }

  private static void bootLog(Kernel kernel, Map<String, String> facts) {
    for (LogBuffer.Line line : kernel.log().kernelRecords()) {
      for (String fragment : BOOT_LINES) {
        if (line.text().contains(fragment)) {
          facts.put("log: " + fragment, Printable.of(line.text()));
        }
      }
      if (line.text().contains("MB of memory at") && line.text().contains("for crashkernel")) {
        facts.put("log: memory for crashkernel", Printable.of(line.text()));
      }
    }
  }

  private static String exposure(
      boolean inUse, int lowInUse, Optional<Boolean> crashKernel, MemoryEncryption.State state) {
    if (!inUse) {
      return "none found";
    }
    if (!crashKernel.orElse(true)) {
      return "none without a crash kernel";
    }
    return switch (state) {
      case SME ->
          lowInUse > 0
              ? "vulnerable: the kernel uses the backed-up range and encrypts its memory"
              : "the range that is backed up is not in use";
      case SEV, REALM, OFF, UNKNOWN -> "low memory in use; spoiled only on hosts with SME active";
    };
  }
}
