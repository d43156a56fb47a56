package org.vmcheck.task;

import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The unwind data of the kernel image or of one module: `count` addresses in ascending order, each
/// as the distance from its own place, and as many entries (Linux `arch/x86/kernel/unwind_orc.c`).
///
/// A look-up reads the few words that a binary search asks for: no table is read whole.
///
/// @param ips address of the first distance, 4 bytes each
/// @param entries address of the first entry, 6 bytes each
record OrcTable(VirtualMemory memory, Orc orc, long ips, long entries, long count) {
  /// The largest image has half a million.
  private static final long MAX_ENTRIES = 1 << 24;

  private static final int IP_BYTES = 4;

  /// Runs of entries that are looked at to tell their form, and entries in each.
  private static final int SAMPLES = 4;

  private static final int SAMPLE_ENTRIES = 400;

  /// The table of the image; empty if the kernel has none, as one that is built with frame
  /// pointers.
  static Optional<OrcTable> ofImage(Kernel kernel) {
    OptionalLong ipStart = kernel.symbol("__start_orc_unwind_ip");
    OptionalLong ipStop = kernel.symbol("__stop_orc_unwind_ip");
    OptionalLong start = kernel.symbol("__start_orc_unwind");
    OptionalLong stop = kernel.symbol("__stop_orc_unwind");
    if (ipStart.isEmpty() || ipStop.isEmpty() || start.isEmpty() || stop.isEmpty()) {
      return Optional.empty();
    }
    long ipBytes = ipStop.getAsLong() - ipStart.getAsLong();
    long bytes = stop.getAsLong() - start.getAsLong();
    long count = ipBytes / IP_BYTES;
    if (ipBytes % IP_BYTES != 0
        || count < 1
        || count > MAX_ENTRIES
        || bytes != count * Orc.ENTRY_BYTES) {
      return Optional.empty();
    }
    return sample(kernel.memory(), start.getAsLong(), count)
        .flatMap(sample -> Orc.of(kernel.struct("orc_entry"), sample))
        .map(
            orc ->
                new OrcTable(kernel.memory(), orc, ipStart.getAsLong(), start.getAsLong(), count));
  }

  /// The table of a module, in the form of the image's.
  OrcTable of(long moduleIps, long moduleEntries, long moduleCount) {
    return new OrcTable(
        memory, orc, moduleIps, moduleEntries, Math.clamp(moduleCount, 0, MAX_ENTRIES));
  }

  private static Optional<ByteView> sample(VirtualMemory memory, long start, long count) {
    int each = (int) Math.min(SAMPLE_ENTRIES, count);
    byte[] bytes = new byte[SAMPLES * each * Orc.ENTRY_BYTES];
    int done = 0;
    for (int i = 0; i < SAMPLES; i++) {
      long first = (count - each) / SAMPLES * i;
      if (memory.read(start + first * Orc.ENTRY_BYTES, each * Orc.ENTRY_BYTES)
          instanceof MemoryRead.Bytes(ByteView view)) {
        byte[] run = view.bytes();
        System.arraycopy(run, 0, bytes, done, run.length);
        done += run.length;
      }
    }
    return done == 0
        ? Optional.empty()
        : Optional.of(ByteView.of("ORC entries", java.util.Arrays.copyOf(bytes, done)));
  }

  /// The entry that covers an address: the last that begins at or before it. Empty if the table
  /// begins behind it or cannot be read.
  Optional<Orc.Entry> at(long address) {
    long low = 0;
    long high = count;
    while (low < high) {
      long middle = (low + high) >>> 1;
      OptionalLong ip = ip(middle);
      if (ip.isEmpty()) {
        return Optional.empty();
      }
      if (Long.compareUnsigned(ip.getAsLong(), address) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low > 0
            && memory.read(entries + (low - 1) * Orc.ENTRY_BYTES, Orc.ENTRY_BYTES)
                instanceof MemoryRead.Bytes(ByteView view)
        ? Optional.of(orc.entry(view))
        : Optional.empty();
  }

  private OptionalLong ip(long index) {
    long place = ips + index * IP_BYTES;
    return memory.read(place, IP_BYTES) instanceof MemoryRead.Bytes(ByteView view)
        ? OptionalLong.of(place + view.i32(0))
        : OptionalLong.empty();
  }
}
