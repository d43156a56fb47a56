package org.vmcheck.image;

import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.kernel.Kernel;

/// The sections of an ELF file of x86_64 as they were linked. What was moved is told from the
/// distance, and what the kernel patches from the file's tables.
final class LinkedText {
  /// Sections that nothing writes after the kernel has started, besides text. Not the notes: what
  /// packs debug information may give the file another build id.
  private static final Set<String> READ_ONLY =
      Set.of(
          ".rodata",
          ".pci_fixup",
          "__ksymtab",
          "__ksymtab_gpl",
          "__ksymtab_strings",
          "__kcrctab",
          "__kcrctab_gpl",
          "__param",
          "__modver",
          "__ex_table",
          ".BTF",
          ".BTF_ids",
          ".orc_unwind",
          ".orc_unwind_ip",
          ".orc_header");

  /// Text that a handler of the kernel's patches, by its symbol; the most bytes of each.
  private static final List<String> FTRACE =
      List.of(
          "ftrace_call",
          "ftrace_regs_call",
          "ftrace_graph_call",
          "ftrace_caller_op_ptr",
          "ftrace_regs_caller_op_ptr",
          "ftrace_epilogue",
          "ftrace_stub");

  /// Filled by a Xen hypervisor.
  private static final String XEN_PAGE = "hypercall_page";

  /// Patched by BPF where it is no static call (5.19 and 6.0), past an ENDBR.
  private static final String BPF_DISPATCHER = "bpf_dispatcher_xdp_func";

  private static final int JUMP_BYTES = 5;

  private final Kernel kernel;
  private final List<Vmlinux.Part> parts;
  private final long offset;
  private final PatchSites sites;
  private final Kprobes probes;

  private LinkedText(Kernel kernel, List<Vmlinux.Part> parts, Vmlinux.Part text, long offset) {
    this.kernel = kernel;
    this.parts = parts;
    this.offset = offset;
    this.sites = new PatchSites(parts, text.vaddr(), text.vaddr() + text.bytes().size());
    this.probes = Kprobes.of(kernel);
  }

  static KernelText of(Kernel kernel, List<Vmlinux.Part> parts) {
    Vmlinux.Part text =
        parts.stream().filter(part -> part.name().equals(".text")).findFirst().orElse(null);
    OptionalLong start = kernel.symbol("_text");
    if (text == null || start.isEmpty()) {
      return new KernelText.Unknown(
          "the file has no text, or where it lies in memory is not known");
    }
    LinkedText linked = new LinkedText(kernel, parts, text, start.getAsLong() - text.vaddr());
    linked.sites.bySections();
    linked.bySymbols();
    return new KernelText.Known(
        text, linked.readOnly(), linked.offset, linked.sites, linked.probes);
  }

  private List<Vmlinux.Part> readOnly() {
    return parts.stream()
        .filter(part -> READ_ONLY.contains(part.name()) && !isSortedByTheKernel(part))
        .toList();
  }

  /// Before 5.6 the kernel sorted the tables of its unwinder when it started.
  private boolean isSortedByTheKernel(Vmlinux.Part part) {
    if (!part.name().equals(".orc_unwind") && !part.name().equals(".orc_unwind_ip")) {
      return false;
    }
    Vmlinux.Part places =
        parts.stream().filter(one -> one.name().equals(".orc_unwind_ip")).findFirst().orElse(null);
    long last = Long.MIN_VALUE;
    for (long at = 0; places != null && at + 4 <= places.bytes().size(); at += 4) {
      long place = at + places.bytes().i32(at);
      if (place < last) {
        return true;
      }
      last = place;
    }
    return places == null;
  }

  /// The tables that have no section of their own in the file.
  private void bySymbols() {
    sites.jumpLabels(linked("__start___jump_table"), linked("__stop___jump_table"), JUMP_BYTES);
    sites.relative(
        linked("__start_static_call_sites"), linked("__stop_static_call_sites"), 8, 1, 8);
    sites.absolute(linked("__start_mcount_loc"), linked("__stop_mcount_loc"), JUMP_BYTES);
    for (String name : FTRACE) {
      if (kernel.symbol(name).isPresent()) {
        sites.mark(linked(name), 0, 8);
      }
    }
    sites.mark(linked(XEN_PAGE), 0, kernel.memory().pageSize());
    sites.mark(linked(BPF_DISPATCHER), 0, 16);
    probes.places().forEach(place -> sites.mark(place - offset, 0, Kprobes.BYTES));
    long from = linked("__static_call_text_start");
    long to = linked("__static_call_text_end");
    if (from != 0 && to > from && to - from < 1 << 20) {
      sites.mark(from, 0, (int) (to - from));
    }
  }

  /// The address that a symbol was linked to; 0 if there is none.
  private long linked(String name) {
    OptionalLong address = kernel.symbol(name);
    return address.isPresent() ? address.getAsLong() - offset : 0;
  }
}
