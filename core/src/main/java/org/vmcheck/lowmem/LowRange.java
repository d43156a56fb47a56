package org.vmcheck.lowmem;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// The low 640 KiB as a dump holds it: what is stored of each frame, what the kernel used it for,
/// and what its bytes look like.
public final class LowRange {
  /// The real-mode trampoline and what lies with it.
  private static final long TRAMPOLINE_FRAMES = 8;

  /// First frame that kernels give out: the firmware's 64 KiB below it are reserved
  /// (CONFIG_X86_RESERVE_LOW).
  static final long FIRST_USED_PFN = 0x10;

  /// What loaders back up of the range where the kernel does not say it: 0x1000 to 0x9fbff.
  private static final long COPY_START = 0x1000;

  private static final long COPY_BYTES = 0x9ec00;

  /// Pages above 1 MiB that are looked at for comparison, and how many there must be.
  private static final int MAX_SAMPLES = 64;

  private static final int MIN_SAMPLES = 16;

  /// Bytes of a page stored in part that its statistics need.
  private static final int MIN_PART = 1024;

  private final PhysicalMemory memory;
  private final Optional<Kernel> kernel;
  private final MemoryEncryption.State encryption;
  private final List<LowMemoryReading.Frame> frames = new ArrayList<>();
  private final Map<Long, LowMemoryReading.Frame> byPfn = new HashMap<>();
  private final Map<Long, PageStatistics> statistics = new TreeMap<>();
  private final Set<Long> parts = new TreeSet<>();
  private long copiedFirst;
  private long copiedEnd;
  private long trampolineStart = -1;

  public LowRange(PhysicalMemory memory, Optional<Kernel> kernel) {
    this.memory = memory;
    this.kernel = kernel;
    this.encryption =
        kernel.map(k -> MemoryEncryption.of(k).state()).orElse(MemoryEncryption.State.UNKNOWN);
    copied(COPY_START, COPY_BYTES);
    kernel.ifPresent(
        k -> {
          trampoline(k);
          if (BackupRegion.find(k) instanceof BackupRegion.Search.Found(BackupRegion region)) {
            copied(region.start(), region.byteCount());
          }
        });
    for (long pfn = 0; pfn < LowMemory.BACKUP_END_PFN; pfn++) {
      long at = pfn;
      PageRead read = memory.read(pfn);
      PageState state = kernel.flatMap(MemMap::of).map(map -> map.state(at)).orElse(null);
      PageStatistics bytes =
          read instanceof PageRead.Present(MemorySegment page)
              ? PageStatistics.of(page)
              : part(memory, pfn).map(PageStatistics::of).orElse(null);
      if (bytes != null && !(read instanceof PageRead.Present)) {
        parts.add(pfn);
      }
      LowMemoryReading.Frame frame = new LowMemoryReading.Frame(pfn, read, state, bytes);
      frames.add(frame);
      byPfn.put(pfn, frame);
      if (bytes != null) {
        statistics.put(pfn, bytes);
      }
    }
  }

  /// What is stored of a page that the dump does not hold whole, in whole blocks of 16 bytes: the
  /// range ends inside a page, below the BIOS's own memory. Empty if nothing is, or too little to
  /// tell anything by.
  public static Optional<MemorySegment> part(PhysicalMemory memory, long pfn) {
    int stored = memory.storedInPart(pfn << 12) & -16;
    if (stored < MIN_PART) {
      return Optional.empty();
    }
    try {
      MemorySegment part = memory.readPart(pfn << 12, stored);
      return part.byteSize() == stored ? Optional.of(part) : Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    }
  }

  private void copied(long start, long byteCount) {
    copiedFirst = (start + 4095) >>> 12;
    copiedEnd = (start + byteCount) >>> 12;
  }

  /// The real-mode trampoline lies unencrypted in memory, so that it alone is random in a dump that
  /// was decrypted.
  private void trampoline(Kernel k) {
    k.variable64("real_mode_header")
        .ifPresent(
            header -> {
              long paddr = k.memory().physicalAddress(header);
              if (paddr > 0 && paddr < LowMemory.RESERVED_END_PFN << 12) {
                trampolineStart = paddr >>> 12;
              }
            });
  }

  PhysicalMemory memory() {
    return memory;
  }

  Optional<Kernel> kernel() {
    return kernel;
  }

  MemoryEncryption.State encryption() {
    return encryption;
  }

  List<LowMemoryReading.Frame> frames() {
    return frames;
  }

  /// Null for a frame beyond the range.
  LowMemoryReading.Frame frame(long pfn) {
    return byPfn.get(pfn);
  }

  /// Of the stored pages, by frame.
  Map<Long, PageStatistics> statistics() {
    return statistics;
  }

  /// The stored pages that purgatory copies with all the others of the range: whatever spoils the
  /// copy spoils each of them.
  long copied(Predicate<LowMemoryReading.Frame> which) {
    return frames.stream()
        .filter(frame -> isCopied(frame.pfn()))
        .filter(frame -> frame.bytes() != null && !isTrampoline(frame.pfn()))
        .filter(which)
        .count();
  }

  boolean isCopied(long pfn) {
    return (pfn >= copiedFirst && pfn < copiedEnd) || parts.contains(pfn);
  }

  boolean isInTrampoline(long pfn) {
    return trampolineStart >= 0
        && pfn >= trampolineStart
        && pfn < trampolineStart + TRAMPOLINE_FRAMES;
  }

  /// Whether a frame is of no use as a witness. Without encryption the trampoline is code in the
  /// clear as any other.
  boolean isTrampoline(long pfn) {
    return encryption != MemoryEncryption.State.OFF && isInTrampoline(pfn);
  }

  /// Whether memory above 1 MiB is as memory is: neither random all over nor without a block of
  /// zeros; where a kernel was found in it, it is. Where nothing but bytes is known of the low
  /// range, only the difference tells.
  boolean isRestInTheClear() {
    if (kernel.isPresent()) {
      return true;
    }
    long end = memory.endPfn();
    long step = Math.max(1, (end - LowMemory.RESERVED_END_PFN) / MAX_SAMPLES);
    int pages = 0;
    int random = 0;
    int withZeros = 0;
    long next = LowMemory.RESERVED_END_PFN;
    for (int i = 0; i < MAX_SAMPLES; i++) {
      long pfn = memory.nextStored(Math.max(next, LowMemory.RESERVED_END_PFN + i * step));
      if (pfn < 0) {
        break;
      }
      next = pfn + 1;
      if (memory.read(pfn) instanceof PageRead.Present(MemorySegment page)) {
        PageStatistics bytes = PageStatistics.of(page);
        pages++;
        random += bytes.looksRandom() ? 1 : 0;
        withZeros += bytes.zeroBlocks() > 0 ? 1 : 0;
      }
    }
    return pages >= MIN_SAMPLES && random * 2 < pages && withZeros * 4 >= pages;
  }

  String role(LowMemoryReading.Frame frame) {
    String role = LowMemory.role(kernel, frame.pfn());
    return role.isEmpty() ? "use not known" : role;
  }
}
