package org.vmcheck.search;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;

/// The ELF header that a crashed kernel left for its capture kernel: one PT_NOTE a CPU, then one
/// for VMCOREINFO, whose offsets are physical addresses (Linux `kernel/crash_core.c`,
/// crash_prepare_elf64_headers; `fs/proc/vmcore.c`).
final class ElfCoreHeader {
  /// `elfcorehdr=[size[KMG]@]offset[KMG]` (Linux `kernel/crash_dump.c`).
  private static final Pattern ARGUMENT =
      Pattern.compile(
          "(?:^| )elfcorehdr=(?:(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})[KMGkmg]?@)?"
              + "(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})([KMGkmg]?)(?: |$)");

  private static final int PT_NOTE = 4;
  private static final int HEADER_BYTES = 64;
  private static final int ENTRY_BYTES = 56;
  private static final int MAX_TEXT = 65536;
  private static final String NAME = "VMCOREINFO";

  private ElfCoreHeader() {}

  /// The physical address that a command line names; empty if it has none, as every kernel's but a
  /// capture kernel's.
  static OptionalLong address(String commandLine) {
    Matcher matcher = ARGUMENT.matcher(commandLine);
    if (!matcher.find()) {
      return OptionalLong.empty();
    }
    try {
      long number = Long.decode(matcher.group(1));
      int shift =
          switch (matcher.group(2)) {
            case "K", "k" -> 10;
            case "M", "m" -> 20;
            case "G", "g" -> 30;
            default -> 0;
          };
      return OptionalLong.of(number << shift);
    } catch (NumberFormatException _) {
      return OptionalLong.of(-1);
    }
  }

  /// The VMCOREINFO of the crashed kernel; empty if the header or the note cannot be read.
  static Optional<Vmcoreinfo> vmcoreinfo(PhysicalMemory memory, long address) {
    ByteView header = read(memory, address, HEADER_BYTES);
    if (header == null
        || header.u32(0) != 0x464c457fL
        || header.u8(4) != 2
        || header.u16(54) != ENTRY_BYTES) {
      return Optional.empty();
    }
    long table = address + header.u64(32);
    int count = header.u16(56);
    for (int i = 0; i < count; i++) {
      Cancellation.check();
      ByteView entry = read(memory, table + (long) i * ENTRY_BYTES, ENTRY_BYTES);
      if (entry == null) {
        return Optional.empty();
      }
      if (entry.i32(0) == PT_NOTE) {
        Optional<Vmcoreinfo> found = note(memory, entry.u64(8));
        if (found.isPresent()) {
          return found;
        }
      }
    }
    return Optional.empty();
  }

  private static Optional<Vmcoreinfo> note(PhysicalMemory memory, long address) {
    ByteView head = read(memory, address, 24);
    if (head == null || head.u32(0) != NAME.length() + 1 || !head.string(12, 12).equals(NAME)) {
      return Optional.empty();
    }
    long size = head.u32(4);
    ByteView text = size > MAX_TEXT ? null : read(memory, address + 24, (int) size);
    return text == null
        ? Optional.empty()
        : Optional.of(
            Vmcoreinfo.parse(new String(text.bytes(0, (int) size), StandardCharsets.ISO_8859_1)));
  }

  /// Bytes that lie together in physical memory; null if a page of them is not there.
  private static ByteView read(PhysicalMemory memory, long address, int byteCount) {
    int pageSize = memory.pageSize();
    byte[] copy = new byte[byteCount];
    for (int done = 0; done < byteCount; ) {
      long at = address + done;
      if (at < 0
          || !(memory.read(at / pageSize) instanceof PageRead.Present(MemorySegment bytes))) {
        return null;
      }
      int from = (int) (at % pageSize);
      int count = Math.min(byteCount - done, pageSize - from);
      MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, from, copy, done, count);
      done += count;
    }
    return ByteView.of("elfcorehdr", copy);
  }
}
