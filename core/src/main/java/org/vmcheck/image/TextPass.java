package org.vmcheck.image;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// The pass of a [TextSurvey].
///
/// Where the image was moved (KASLR), words that hold addresses were moved with it: a word is as
/// the file has it also if it differs by exactly that distance, up or, for per-CPU places, down.
final class TextPass {
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

  private static final int INT3 = 0xcc;
  private static final int JUMP = 0xe9;

  /// Larger than any kernel's text.
  private static final int MAX_TEXT = 1 << 30;

  /// Bytes between two differences that belong together.
  private static final int NEAR = 16;

  /// More places than damage leaves: something patches this kernel that is not known here.
  private static final int MAX_PLACES = 24;

  private final Kernel kernel;
  private final List<Vmlinux.Part> parts;
  private final Map<String, Long> lookedAt = new TreeMap<>();
  private final Map<String, Long> notRead = new TreeMap<>();
  private final List<TextFault> faults = new ArrayList<>();
  private final List<String> remarks = new ArrayList<>();
  private long offset;
  private PatchSites sites;
  private Kprobes probes;
  private long breakpoints;

  /// Of the section that is compared.
  private long places;

  /// Read-only after the start only: addresses as linked.
  private long lateStart;

  private long lateEnd;

  TextPass(Kernel kernel, List<Vmlinux.Part> parts) {
    this.kernel = kernel;
    this.parts = parts;
  }

  TextSurvey run() {
    Vmlinux.Part text =
        parts.stream().filter(part -> part.name().equals(".text")).findFirst().orElse(null);
    OptionalLong start = kernel.symbol("_text");
    if (text == null || start.isEmpty() || text.bytes().size() > MAX_TEXT) {
      remarks.add("the file has no text, or where it lies in memory is not known");
      return result();
    }
    offset = start.getAsLong() - text.vaddr();
    sites = new PatchSites(parts, text.vaddr(), text.vaddr() + text.bytes().size());
    bySymbols();
    lateStart = linked("__start_ro_after_init");
    lateEnd = linked("__end_ro_after_init");
    if (!judge(text)) {
      return result(); // Nor is it sure that the rest is of this file.
    }
    for (Vmlinux.Part part : parts) {
      if (READ_ONLY.contains(part.name()) && !isSortedByTheKernel(part)) {
        judge(part);
      }
    }
    if (breakpoints > 0) {
      remarks.add(
          "breakpoints or jumps in text that are a debugger's or a probe's most likely: %d, not"
                  .formatted(breakpoints)
              + " judged");
    }
    return result();
  }

  /// @return false if it differs in too many places
  private boolean judge(Vmlinux.Part part) {
    places = 0;
    int before = faults.size();
    compare(part);
    if (places <= MAX_PLACES) {
      return true;
    }
    faults.subList(before, faults.size()).clear();
    remarks.add(
        "more than %d places of %s differ from the file: something that is not known here changes"
                .formatted(MAX_PLACES, part.name())
            + " this kernel");
    return false;
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

  private TextSurvey result() {
    return new TextSurvey(
        lookedAt,
        notRead,
        faults,
        remarks,
        sites == null ? 0 : sites.bytes(),
        sites == null ? 0 : sites.sites());
  }

  /// The tables that have no section of their own in the file.
  private void bySymbols() {
    sites.jumpLabels(linked("__start___jump_table"), linked("__stop___jump_table"));
    sites.relative(
        linked("__start_static_call_sites"), linked("__stop_static_call_sites"), 8, 1, 8);
    sites.absolute(linked("__start_mcount_loc"), linked("__stop_mcount_loc"), 5);
    for (String name : FTRACE) {
      if (kernel.symbol(name).isPresent()) {
        sites.mark(linked(name), 0, 8);
      }
    }
    sites.mark(linked(XEN_PAGE), 0, kernel.memory().pageSize());
    sites.mark(linked(BPF_DISPATCHER), 0, 16);
    probes = Kprobes.of(kernel);
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

  private void compare(Vmlinux.Part part) {
    long size = part.bytes().size();
    long compared = 0;
    for (long at = 0; at < size; ) {
      Cancellation.check();
      long vaddr = part.vaddr() + at + offset;
      int pageSize = kernel.memory().pageSize();
      int count = (int) Math.min(size - at, pageSize - (vaddr & (pageSize - 1)));
      if (kernel.memory().read(vaddr, count) instanceof MemoryRead.Bytes(ByteView memory)) {
        compared += page(part, at, memory, count);
      } else {
        notRead.merge("pages of the image", 1L, Long::sum);
      }
      at += count;
    }
    if (compared > 0) {
      lookedAt.merge(
          part.name().equals(".text") ? "bytes of text" : "bytes of read-only data",
          compared,
          Long::sum);
    }
  }

  /// @return bytes that were held against the file
  private long page(Vmlinux.Part part, long at, ByteView memory, int count) {
    if (memory.segment().mismatch(part.bytes().segment().asSlice(at, count)) < 0) {
      return count;
    }
    long compared = 0;
    long first = 0; // Addresses of the kernel are not 0.
    long last = 0;
    for (int i = 0; i < count; i++) {
      long linked = part.vaddr() + at + i;
      if (isLate(linked) || sites.isOpen(linked)) {
        continue;
      }
      compared++;
      if (memory.u8(i) == part.bytes().u8(at + i) || isMoved(part, at + i, memory, i, count)) {
        continue;
      }
      if (isBreakpoint(part, at + i, memory, i, count)) {
        breakpoints++;
        continue;
      }
      if (first != 0 && linked - last > NEAR) {
        fault(part, first, last);
        first = 0;
      }
      first = first == 0 ? linked : first;
      last = linked;
    }
    if (first != 0) {
      fault(part, first, last);
    }
    return compared;
  }

  /// Whether one byte alone was made a breakpoint: by kgdb, or by a debugger outside a virtual
  /// machine. Half of an instruction's first bytes are a bit from it, so one bit is judged only
  /// where all probes are known.
  private boolean isBreakpoint(Vmlinux.Part part, long at, ByteView memory, int inPage, int count) {
    return part.name().equals(".text")
        && memory.u8(inPage) == INT3
        && (!probes.isComplete() || Integer.bitCount(INT3 ^ part.bytes().u8(at)) > 1)
        && (inPage == 0
            || memory.u8(inPage - 1) == part.bytes().u8(at - 1)
            || isMoved(part, at - 1, memory, inPage - 1, count))
        && (inPage + 1 == count
            || memory.u8(inPage + 1) == part.bytes().u8(at + 1)
            || isMoved(part, at + 1, memory, inPage + 1, count));
  }

  private boolean isLate(long linked) {
    return linked >= lateStart && linked < lateEnd;
  }

  /// Whether a byte belongs to an address that was moved with the image.
  private boolean isMoved(Vmlinux.Part part, long at, ByteView memory, int inPage, int count) {
    if (offset == 0) {
      return false;
    }
    for (int back = 0; back < 4; back++) {
      long from = at - back;
      if (from < 0 || from + 4 > part.bytes().size()) {
        continue;
      }
      int now;
      if (inPage - back >= 0 && inPage - back + 4 <= count) {
        now = memory.i32(inPage - back);
      } else if (kernel.memory().read(part.vaddr() + from + offset, 4)
          instanceof MemoryRead.Bytes(ByteView across)) {
        now = across.i32(0);
      } else {
        return true; // Its other half is not in the dump.
      }
      int distance = now - part.bytes().i32(from);
      if (distance == (int) offset || distance == (int) -offset) {
        return true;
      }
    }
    return false;
  }

  private void fault(Vmlinux.Part part, long first, long last) {
    if (places > MAX_PLACES) {
      return;
    }
    long word = first & -8L;
    long value = 0;
    long expected = 0;
    long bits = 0;
    for (long linked = Math.min(word, first); linked <= Math.max(last, word + 7); linked++) {
      long at = linked - part.vaddr();
      int now =
          kernel.memory().read(linked + offset, 1) instanceof MemoryRead.Bytes(ByteView one)
              ? one.u8(0)
              : 0;
      boolean isBad = linked >= first && linked <= last && at >= 0 && at < part.bytes().size();
      int was = isBad ? part.bytes().u8(at) : now;
      bits += Integer.bitCount(now ^ was);
      if (linked < word + 8) {
        value |= (long) now << (8 * (linked - word));
        expected |= (long) was << (8 * (linked - word));
      }
    }
    if (bits > 1 && sites.isCall(first, last)) {
      return;
    }
    if (!probes.isComplete() && isJump(part, first, last)) {
      breakpoints++;
      return;
    }
    places++;
    TextFault plain =
        new TextFault(
            part.name(), first + offset, last - first + 1, word + offset, value, expected, bits);
    faults.add(moved(part, first, last, plain));
  }

  /// Whether the bytes are one jump that was written as a whole, as an optimised probe is.
  private boolean isJump(Vmlinux.Part part, long first, long last) {
    return part.name().equals(".text")
        && last - first < Kprobes.BYTES
        && last > first
        && kernel.memory().read(first + offset, 1) instanceof MemoryRead.Bytes(ByteView one)
        && one.u8(0) == JUMP;
  }

  /// An address that was moved with the image and then lost one bit differs from the file in most
  /// of its bytes: the fault against what it was moved to.
  private TextFault moved(Vmlinux.Part part, long first, long last, TextFault plain) {
    for (int back = 0; back < 4 && offset != 0 && plain.bits() > 1; back++) {
      long from = first - back;
      long at = from - part.vaddr();
      if (last - from > 3
          || at < 0
          || at + 4 > part.bytes().size()
          || !(kernel.memory().read(from + offset, 4) instanceof MemoryRead.Bytes(ByteView now))) {
        continue;
      }
      for (int way : new int[] {1, -1}) {
        int right = part.bytes().i32(at) + way * (int) offset;
        if (Integer.bitCount(now.i32(0) ^ right) == 1) {
          return new TextFault(
              part.name(),
              from + offset,
              4,
              from + offset,
              now.u32(0),
              Integer.toUnsignedLong(right),
              1);
        }
      }
    }
    return plain;
  }
}
