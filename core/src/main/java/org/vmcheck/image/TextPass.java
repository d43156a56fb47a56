package org.vmcheck.image;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.arch.Instructions;
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
  private final Instructions instructions;
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
    this.instructions = kernel.architecture().instructions();
  }

  TextSurvey run() {
    switch (KernelText.of(kernel, parts)) {
      case KernelText.Unknown(String why) -> remarks.add(why);
      case KernelText.Known known when known.text().bytes().size() > MAX_TEXT ->
          remarks.add("the file has no text that could be a kernel's");
      case KernelText.Known known -> compare(known);
    }
    return result();
  }

  private void compare(KernelText.Known known) {
    offset = known.offset();
    sites = known.sites();
    probes = known.probes();
    lateStart = kernel.symbol("__start_ro_after_init").orElse(offset) - offset;
    lateEnd = kernel.symbol("__end_ro_after_init").orElse(offset) - offset;
    if (!judge(known.text())) {
      return; // Nor is it sure that the rest is of this file.
    }
    known.readOnly().forEach(this::judge);
    if (breakpoints > 0) {
      remarks.add(
          "breakpoints or jumps in text that are a debugger's or a probe's most likely: %d, not"
                  .formatted(breakpoints)
              + " judged");
    }
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

  private TextSurvey result() {
    return new TextSurvey(
        lookedAt,
        notRead,
        faults,
        remarks,
        sites == null ? 0 : sites.bytes(),
        sites == null ? 0 : sites.sites());
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
        i |= instructions.breakpointBytes() - 1;
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

  /// Whether one instruction alone was made a breakpoint: by kgdb, or by a debugger outside a
  /// virtual machine. Half of an instruction's first bytes are a bit from it on x86_64, so one bit
  /// is judged only where all probes are known.
  private boolean isBreakpoint(Vmlinux.Part part, long at, ByteView memory, int inPage, int count) {
    int size = instructions.breakpointBytes();
    int start = inPage & -size;
    long from = at - (inPage - start);
    if (!part.name().equals(".text") || from < 0 || start + size > count) {
      return false;
    }
    long now = 0;
    int bits = 0;
    for (int i = 0; i < size; i++) {
      now |= (long) memory.u8(start + i) << (8 * i);
      bits += Integer.bitCount(memory.u8(start + i) ^ part.bytes().u8(from + i));
    }
    return instructions.isBreakpoint(now)
        && (!probes.isComplete() || bits > 1)
        && (start == 0
            || memory.u8(start - 1) == part.bytes().u8(from - 1)
            || isMoved(part, from - 1, memory, start - 1, count))
        && (start + size == count
            || memory.u8(start + size) == part.bytes().u8(from + size)
            || isMoved(part, from + size, memory, start + size, count));
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
        && last - first < instructions.jumpBytes()
        && last > first
        && kernel.memory().read(first + offset, 1) instanceof MemoryRead.Bytes(ByteView one)
        && instructions.isProbeJump(one.u8(0));
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
