package org.vmcheck.image;

import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;

/// The bytes of text that the kernel changes itself, told from the tables that its file carries for
/// that; most of these are gone from memory once the kernel has started.
///
/// Sources: Linux `arch/x86/include/asm/alternative.h` (arm64's: the layout of 12 bytes),
/// `paravirt_types.h`, `nospec-branch.h`, `runtime-const.h`, `include/linux/jump_label.h`,
/// `static_call_types.h`, `ftrace.h`.
final class PatchSites {
  private static final int MAX_ENTRIES = 1 << 22;
  private static final int CALL_BYTES = 5;

  private final List<Vmlinux.Part> parts;
  private final long textStart;
  private final long textEnd;

  /// By byte, from the start of text on.
  private final BitSet open = new BitSet();

  /// Every call, of which few kernels change any (call depth tracking).
  private final BitSet calls = new BitSet();

  private long sites;

  /// @param start of text, as linked
  /// @param end exclusive
  PatchSites(List<Vmlinux.Part> parts, long start, long end) {
    this.parts = parts;
    this.textStart = start;
    this.textEnd = end;
  }

  /// Those of the sections that an ELF file of x86_64 has for them.
  void bySections() {
    alternatives();
    paravirt();
    relative(".retpoline_sites", 0, 7);
    relative(".return_sites", 0, 5);
    relative(".ibt_endbr_seal", 0, 4);
    relative(".cfi_sites", 16, 32);
    relative(".smp_locks", 0, 1);
    part(".call_sites")
        .ifPresent(
            table -> {
              for (long at = 0; at + 4 <= table.bytes().size(); at += 4) {
                long place = table.vaddr() + at + table.bytes().i32(at) - textStart;
                if (place >= 0 && place + CALL_BYTES <= textEnd - textStart) {
                  calls.set((int) place, (int) place + CALL_BYTES);
                }
              }
            });
    for (Vmlinux.Part part : parts) {
      if (part.name().startsWith("runtime_")) {
        relative(part.name(), 0, 8);
      }
    }
  }

  /// How many places were told of.
  long sites() {
    return sites;
  }

  /// How many bytes of text may change.
  long bytes() {
    return open.cardinality();
  }

  boolean isOpen(long linked) {
    return linked >= textStart && linked < textEnd && open.get((int) (linked - textStart));
  }

  /// Whether all of these bytes belong to calls.
  boolean isCall(long first, long last) {
    return first >= textStart
        && last < textEnd
        && calls.nextClearBit((int) (first - textStart)) > last - textStart;
  }

  void mark(long linked, int before, int byteCount) {
    long from = linked - before;
    if (from >= textStart && from + byteCount <= textEnd) {
      open.set((int) (from - textStart), (int) (from - textStart) + byteCount);
      sites++;
    }
  }

  /// A table of records that begin with a place relative to themselves.
  ///
  /// @param start of the table, as linked
  void relative(long start, long end, int stride, int before, int byteCount) {
    bytes(start, end)
        .ifPresent(
            table -> {
              for (long at = 0; at + stride <= table.size() && at / stride < MAX_ENTRIES; ) {
                mark(start + at + table.i32(at), before, byteCount);
                at += stride;
              }
            });
  }

  /// `struct jump_entry`: places relative to themselves, 16 bytes; before 4.20 addresses, 24 bytes.
  ///
  /// @param byteCount of a jump
  void jumpLabels(long start, long end, int byteCount) {
    bytes(start, end)
        .ifPresent(
            table -> {
              if (table.size() < 24 || table.i32(4) != -1) {
                relative(start, end, 16, 0, byteCount);
                return;
              }
              for (long at = 0; at + 24 <= table.size() && at / 24 < MAX_ENTRIES; at += 24) {
                mark(table.u64(at), 0, byteCount);
              }
            });
  }

  /// A table of addresses, as linked.
  void absolute(long start, long end, int byteCount) {
    bytes(start, end)
        .ifPresent(
            table -> {
              for (long at = 0; at + 8 <= table.size() && at / 8 < MAX_ENTRIES; at += 8) {
                mark(table.u64(at), 0, byteCount);
              }
            });
  }

  private Optional<ByteView> bytes(long start, long end) {
    return end <= start
        ? Optional.empty()
        : parts.stream()
            .filter(part -> part.has(start, end - start))
            .findFirst()
            .map(part -> part.bytes().slice("table", start - part.vaddr(), end - start));
  }

  private Optional<Vmlinux.Part> part(String name) {
    return parts.stream().filter(part -> part.name().equals(name)).findFirst();
  }

  private void relative(String name, int before, int byteCount) {
    part(name)
        .ifPresent(
            part ->
                relative(part.vaddr(), part.vaddr() + part.bytes().size(), 4, before, byteCount));
  }

  /// `struct alt_instr`: 13 bytes with a length of padding, 12 without, 14 with flags. The stride
  /// is the one with which all places lie in the file's sections.
  private void alternatives() {
    part(".altinstructions")
        .ifPresent(
            table -> {
              boolean _ =
                  alternatives(table, 14, 12, 1)
                      || alternatives(table, 12, 10, 1)
                      || alternatives(table, 13, 10, 1);
            });
  }

  /// `struct alt_instr` of arm64, of which some replace nothing.
  ///
  /// @return false if the table is none
  boolean alternativesOfArm(Vmlinux.Part table) {
    return alternatives(table, 12, 10, 0);
  }

  private boolean alternatives(Vmlinux.Part table, int stride, int lengthAt, int leastLength) {
    if (table.bytes().size() % stride != 0 || !areSane(table, stride, lengthAt, leastLength)) {
      return false;
    }
    for (long at = 0; at < table.bytes().size(); at += stride) {
      mark(table.vaddr() + at + table.bytes().i32(at), 0, table.bytes().u8(at + lengthAt));
    }
    return true;
  }

  private boolean areSane(Vmlinux.Part table, int stride, int lengthAt, int leastLength) {
    for (long at = 0; at < table.bytes().size(); at += stride) {
      Cancellation.check();
      long place = table.vaddr() + at + table.bytes().i32(at);
      long other = table.vaddr() + at + 4 + table.bytes().i32(at + 4);
      int length = table.bytes().u8(at + lengthAt);
      if (length < leastLength
          || table.bytes().u8(at + lengthAt + 1) > length
          || parts.stream().noneMatch(part -> part.has(place, length))
          || parts.stream().noneMatch(part -> part.has(other, 0))) {
        return false;
      }
    }
    return true;
  }

  /// `struct paravirt_patch_site`: address, type and length, padded to 16 but for the last.
  private void paravirt() {
    part(".parainstructions")
        .ifPresent(
            table -> {
              for (long at = 0; at + 10 <= table.bytes().size(); at += 16) {
                mark(table.bytes().u64(at), 0, table.bytes().u8(at + 9));
              }
            });
  }
}
