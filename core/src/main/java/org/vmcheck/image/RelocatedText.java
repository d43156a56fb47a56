package org.vmcheck.image;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;

/// The image of aarch64 as it is in memory before the kernel patches it: the file, flat or ELF,
/// with its own relocations applied as the kernel's first code does. Where its parts and tables lie
/// is told by the symbols of the dump, so that a flat `Image` without sections will do.
///
/// Sources: Linux `arch/arm64/kernel/vmlinux.lds.S`, `arch/arm64/kernel/pi/relocate.c`,
/// `arch/arm64/include/asm/alternative.h`, `ftrace.c` (ftrace_call_adjust), `patch-scs.c`,
/// `runtime-const.h`, `arch/arm64/kvm/va_layout.c` (kvm_apply_hyp_relocations).
final class RelocatedText {
  /// `R_AARCH64_RELATIVE`. Bytes of the image for each byte of its file's sections.
  private static final int MOST_HOLES = 4;

  private static final long RELATIVE = 1027;

  private static final int MAX_IMAGE = 1 << 29;
  private static final int MAX_RELOCATIONS = 1 << 24;
  private static final int INSTRUCTION = 4;
  private static final int NOP = 0xd503_201f;

  /// BTI C, BTI J, BTI JC: a function may begin with one.
  private static final List<Integer> LANDINGS = List.of(0xd503_245f, 0xd503_249f, 0xd503_24df);

  /// PACIASP and AUTIASP, which become pushes to and pops from the shadow call stack, if that is
  /// chosen when the kernel starts.
  private static final List<Integer> SIGNING = List.of(0xd503_233f, 0xd503_23bf);

  /// Two words before a function, where it begins, and two in it.
  private static final int MOST_OF_AN_ENTRY = 5;

  /// Text that `ftrace` patches besides the entries of functions.
  private static final List<String> FTRACE = List.of("ftrace_call", "ftrace_graph_call");

  /// Where the page tables begin that are a part of the image.
  private static final List<String> TABLES =
      List.of("idmap_pg_dir", "tramp_pg_dir", "reserved_pg_dir", "swapper_pg_dir");

  private final Kernel kernel;
  private final ByteBuffer image;
  private final long start;
  private final PatchSites sites;
  private final Kprobes probes;

  private RelocatedText(Kernel kernel, ByteBuffer image, long start) {
    this.kernel = kernel;
    this.image = image;
    this.start = start;
    Vmlinux.Part whole = new Vmlinux.Part(Vmlinux.FLAT, start, view(0, image.capacity()));
    this.sites = new PatchSites(List.of(whole), start, start + image.capacity());
    this.probes = Kprobes.of(kernel);
  }

  static KernelText of(Kernel kernel, List<Vmlinux.Part> parts) {
    OptionalLong start = kernel.symbol("_text");
    OptionalLong moved = kernel.vmcoreinfo().kernelOffset();
    if (start.isEmpty() || kernel.symbol("_etext").isEmpty() || moved.isEmpty()) {
      return new KernelText.Unknown("where the kernel's text lies and was linked is not known");
    }
    long linked = start.getAsLong() - moved.getAsLong();
    Optional<ByteBuffer> image = flat(parts, linked);
    if (image.isEmpty()) {
      return new KernelText.Unknown("the file holds no image of the kernel");
    }
    RelocatedText text = new RelocatedText(kernel, image.get(), start.getAsLong());
    return text.relocate(linked)
        ? text.known()
        : new KernelText.Unknown(
            "the file's table of relocations is not where the kernel's symbols have it");
  }

  /// The bytes of the image in one piece, from `_text` on.
  private static Optional<ByteBuffer> flat(List<Vmlinux.Part> parts, long linked) {
    Vmlinux.Part whole =
        parts.stream().filter(part -> part.name().equals(Vmlinux.FLAT)).findFirst().orElse(null);
    if (whole != null) {
      return Optional.of(copy(whole.bytes().segment(), (int) whole.bytes().size()));
    }
    long end =
        parts.stream()
            .filter(part -> isIn(part, linked))
            .mapToLong(part -> part.vaddr() - linked + part.bytes().size())
            .max()
            .orElse(0);
    long bytes =
        parts.stream()
            .filter(part -> isIn(part, linked))
            .mapToLong(part -> part.bytes().size())
            .sum();
    if (end == 0 || end > MOST_HOLES * bytes) {
      return Optional.empty(); // One section far away would claim memory for nothing.
    }
    ByteBuffer image = ByteBuffer.allocate((int) end).order(ByteOrder.LITTLE_ENDIAN);
    for (Vmlinux.Part part : parts) {
      if (isIn(part, linked)) {
        image.put((int) (part.vaddr() - linked), part.bytes().bytes(0, (int) part.bytes().size()));
      }
    }
    return Optional.of(image);
  }

  private static boolean isIn(Vmlinux.Part part, long linked) {
    long from = part.vaddr() - linked;
    return from >= 0 && from < MAX_IMAGE && part.bytes().size() < MAX_IMAGE - from;
  }

  private static ByteBuffer copy(MemorySegment bytes, int size) {
    byte[] copy = new byte[size];
    MemorySegment.copy(bytes, 0, MemorySegment.ofArray(copy), 0, size);
    return ByteBuffer.wrap(copy).order(ByteOrder.LITTLE_ENDIAN);
  }

  /// Applies `.rela.dyn` and `.relr.dyn`: every address in the image is moved by one distance.
  ///
  /// @param linked where `_text` was linked
  /// @return false if these tables are none
  private boolean relocate(long linked) {
    long distance = start - linked;
    long from = at(address("__pi_rela_start", "__rela_start"));
    long to = at(address("__pi_rela_end", "__rela_end"));
    if (from < 0 || to < from || to > image.capacity() || (to - from) / 24 > MAX_RELOCATIONS) {
      return false;
    }
    for (int at = (int) from; at + 24 <= to; at += 24) {
      if ((at & 0xffff) < 8) {
        Cancellation.check();
      }
      long place = image.getLong(at) - linked;
      if ((image.getLong(at + 8) & 0xffff_ffffL) == RELATIVE) {
        if (place < 0 || place > image.capacity() - 8) {
          return false;
        }
        image.putLong((int) place, image.getLong(at + 16) + distance);
      }
    }
    return packed(linked, distance);
  }

  /// `DT_RELR`: an even word is a place, an odd one a bit for each of the 63 words that follow.
  private boolean packed(long linked, long distance) {
    long from = at(address("__pi_relr_start", "__relr_start"));
    long to = at(address("__pi_relr_end", "__relr_end"));
    if (from < 0 || to < from || to > image.capacity()) {
      return from < 0; // It is optional.
    }
    long next = 0;
    for (int at = (int) from; at + 8 <= to; at += 8) {
      if ((at & 0xffff) < 8) {
        Cancellation.check();
      }
      Cancellation.check();
      long word = image.getLong(at);
      if ((word & 1) == 0) {
        next = word - linked;
        if (!move(next, distance)) {
          return false;
        }
        next += 8;
        continue;
      }
      for (long bits = word >>> 1, place = next; bits != 0; bits >>>= 1, place += 8) {
        if ((bits & 1) != 0 && !move(place, distance)) {
          return false;
        }
      }
      next += 63 * 8;
    }
    return true;
  }

  private boolean move(long place, long distance) {
    if (place < 0 || place > image.capacity() - 8) {
      return false;
    }
    image.putLong((int) place, image.getLong((int) place) + distance);
    return true;
  }

  private KernelText known() {
    // Before it lie the image's header and early code, whose pages some kernels give away.
    long text = address("_stext", "_text");
    long textEnd = address("_etext");
    long rodataEnd =
        TABLES.stream().mapToLong(this::address).filter(end -> end != 0).min().orElse(0);
    Optional<Vmlinux.Part> code = part(".text", text, textEnd);
    if (code.isEmpty()) {
      return new KernelText.Unknown("the kernel's text is not in its file's image");
    }
    Optional<Vmlinux.Part> table =
        part(".altinstructions", address("__alt_instructions"), address("__alt_instructions_end"));
    if (table.isEmpty() || !sites.alternativesOfArm(table.get())) {
      return new KernelText.Unknown("the file's table of alternatives does not read");
    }
    sites.jumpLabels(address("__start___jump_table"), address("__stop___jump_table"), INSTRUCTION);
    sites.relative(address("__hyp_reloc_begin"), address("__hyp_reloc_end"), 4, 0, 8);
    FTRACE.forEach(name -> sites.mark(address(name), 0, INSTRUCTION));
    probes.places().forEach(place -> sites.mark(place, 0, INSTRUCTION));
    functions();
    constants();
    if (kernel.symbol("dynamic_scs_is_enabled").isPresent()) {
      shadowStack((int) at(textEnd));
    }
    vdso();
    List<Vmlinux.Part> readOnly = new ArrayList<>();
    // The hypervisor's has what is set when the kernel starts.
    long hypStart = address("__hyp_rodata_start", "__start_rodata");
    long hypEnd = address("__hyp_rodata_end", "__start_rodata");
    part(".rodata", address("__start_rodata"), hypStart).ifPresent(readOnly::add);
    part(".rodata", hypEnd, rodataEnd).ifPresent(readOnly::add);
    return new KernelText.Known(code.get(), readOnly, 0, sites, probes);
  }

  /// `__mcount_loc`: the NOPs at the entry of each function that is traced. Two of them may stand
  /// before it and become the address of what is called.
  private void functions() {
    long from = at(address("__start_mcount_loc"));
    long to = Math.min(at(address("__stop_mcount_loc")), image.capacity());
    for (long at = from; from >= 0 && at + 8 <= to; at += 8) {
      if ((at & 0xffff) < 8) {
        Cancellation.check();
      }
      long entry = image.getLong((int) at) - start;
      for (int i = 0; i < MOST_OF_AN_ENTRY; i++) {
        long place = entry + (long) i * INSTRUCTION;
        if (place < 0 || place > image.capacity() - INSTRUCTION) {
          break;
        }
        int code = image.getInt((int) place);
        if (code == NOP) {
          sites.mark(start + place, 0, INSTRUCTION);
        } else if (!LANDINGS.contains(code)) {
          break;
        }
      }
    }
  }

  /// `runtime_const`: four instructions that make an address, or one that shifts.
  private void constants() {
    Symbols symbols = kernel.symbols().orElseThrow();
    for (int i = 0; i < symbols.count(); i++) {
      Symbol symbol = symbols.get(i);
      if (symbol.name().startsWith("__start_runtime_")) {
        int byteCount =
            symbol.name().startsWith("__start_runtime_ptr_") ? 4 * INSTRUCTION : INSTRUCTION;
        sites.relative(
            symbol.address(),
            address(symbol.name().replaceFirst("__start_", "__stop_")),
            4,
            0,
            byteCount);
      }
    }
  }

  /// The file for programs that lies in the read-only data has alternatives of its own
  /// (`apply_alternatives_vdso`).
  private void vdso() {
    long from = address("vdso_start");
    Optional<Vmlinux.Part> file = part("vdso", from, address("vdso_end"));
    if (file.isEmpty()) {
      return;
    }
    try {
      for (Vmlinux.Part part : Vmlinux.parts(file.get().bytes())) {
        if (part.name().equals(".altinstructions")) {
          sites.alternativesOfArm(new Vmlinux.Part(part.name(), from + part.vaddr(), part.bytes()));
        }
      }
    } catch (IOException _) {
      // Then nothing there is known to be patched.
    }
  }

  private void shadowStack(int end) {
    for (int at = 0; at + INSTRUCTION <= end; at += INSTRUCTION) {
      if ((at & 0xffff) < 8) {
        Cancellation.check();
      }
      if (SIGNING.contains(image.getInt(at))) {
        sites.mark(start + at, 0, INSTRUCTION);
      }
    }
  }

  /// The first of these symbols that there is; 0 if there is none.
  private long address(String... names) {
    for (String name : names) {
      OptionalLong address = kernel.symbol(name);
      if (address.isPresent()) {
        return address.getAsLong();
      }
    }
    return 0;
  }

  /// The place of an address in the image; negative if it is none.
  private long at(long address) {
    return address == 0 ? -1 : address - start;
  }

  /// What the image has between two addresses; empty if it has not all.
  private Optional<Vmlinux.Part> part(String name, long from, long to) {
    long at = at(from);
    long size = to - from;
    return at < 0 || size <= 0 || size > image.capacity() - at
        ? Optional.empty()
        : Optional.of(new Vmlinux.Part(name, from, view((int) at, (int) size)));
  }

  private ByteView view(int at, int size) {
    return ByteView.of(
        "kernel image", MemorySegment.ofBuffer(image.duplicate().clear()).asSlice(at, size));
  }
}
