package org.vmcheck.dump;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;

/// Tells flat memory (a hypervisor's snapshot, QEMU's `pmemsave`) by its contents: it has no
/// header. The search is bounded: the firmware's marks in the low 1 MiB, a kernel's note in the
/// first part.
final class FlatMemory {
  private static final int PAGE = 4096;
  private static final int LOW = 1 << 20;
  private static final int CHUNK = 1 << 20;

  /// Where kernels lie that are not moved, and most that are, in a guest of usual size.
  private static final long SEARCHED = 512L << 20;

  private static final byte[] NOTE = bytes("VMCOREINFO\0\0OSRELEASE=");

  private FlatMemory() {}

  /// The sentence that names it and how it is read.
  static Optional<String> recognise(ByteSource source) throws IOException {
    if (source.size() < LOW || source.size() % PAGE != 0) {
      return Optional.empty();
    }
    String sign = firmware(source);
    if (sign == null) {
      sign = note(source);
    }
    return Optional.ofNullable(sign)
        .map(
            found ->
                "looks like flat memory without a header ("
                    + found
                    + "): --raw reads it as physical memory from address 0; a dump that all tools"
                    + " read is made with virsh dump --memory-only, or dump-guest-memory of QEMU");
  }

  /// What the firmware of a PC leaves in low memory.
  private static String firmware(ByteSource source) throws IOException {
    ByteView low = source.view("low memory", 0, LOW, false);
    // Kilobytes of low memory in the BIOS data area (0x413), and the segment behind them (0x40e).
    int kilobytes = low.u16(0x413);
    if (kilobytes < 512 || kilobytes > 640) {
      return null;
    }
    for (int at = 0xe0000; at < LOW; at += 16) {
      if (low.u8(at) == 'R' && low.string(at, 8).equals("RSD PTR ")) {
        return "the firmware's ACPI table at 0x%x".formatted(at);
      }
      if (low.u8(at) == '_'
          && (low.string(at, 4).equals("_SM_") || low.string(at, 5).equals("_SM3_"))) {
        return "the firmware's SMBIOS table at 0x%x".formatted(at);
      }
    }
    int segment = low.u16(0x40e);
    return segment >>> 6 == kilobytes ? "the BIOS data area at 0x400" : null;
  }

  /// A VMCOREINFO note of a kernel.
  private static String note(ByteSource source) throws IOException {
    byte[] chunk = new byte[CHUNK + NOTE.length];
    long end = Math.min(source.size(), SEARCHED);
    for (long from = 0; from < end; from += CHUNK) {
      int count = (int) Math.min(chunk.length, source.size() - from);
      source.view("memory", from, count, false).segment().asByteBuffer().get(chunk, 0, count);
      for (int at = 0; at + NOTE.length <= count; at += 4) {
        if (chunk[at] == 'V' && Arrays.equals(chunk, at, at + NOTE.length, NOTE, 0, NOTE.length)) {
          return "a kernel's VMCOREINFO at 0x%x".formatted(from + at);
        }
      }
    }
    return null;
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }
}
