package org.vmcheck.lowmem;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.CopiedMemory;
import org.vmcheck.memory.PageMask;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabHeads;
import org.vmcheck.slab.SlabMemory;

/// What a capture kernel left in the low 640 KiB.
///
/// @param search where the low range was backed up to
/// @param traces pages that hold what only a starting kernel puts there, although the crashed
///   kernel used them otherwise
/// @param lists how the freelists do in both copies; empty if there are not two
/// @param overwritten frames whose bytes are not the crashed kernel's
/// @param searched pages looked at
public record CaptureKernel(
    BackupRegion.Search search,
    List<Trace> traces,
    Optional<Lists> lists,
    Set<Long> overwritten,
    long searched) {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final byte[] HEADER_ARGUMENT = "elfcorehdr=".getBytes(StandardCharsets.US_ASCII);

  /// Boot sector mark and the setup header's magic, as `boot_params` holds them.
  private static final int BOOT_MARK_AT = 0x1fe;

  private static final int MAGIC_AT = 0x202;
  private static final int MAGIC = 0x53726448;

  /// Blocks of 16 bytes that a page must share with the crashed kernel's own trampoline.
  private static final int MIN_SHARED_BLOCKS = 32;

  /// @param words what is there
  public record Trace(long pfn, String words) {}

  public record Lists(int all, int brokenInPlace, int brokenInCopy) {}

  public CaptureKernel {
    traces = List.copyOf(traces);
    overwritten = Set.copyOf(overwritten);
  }

  /// Whether the copy, and not the low range, is the crashed kernel's.
  public boolean isRunning() {
    return !traces.isEmpty()
        || lists.filter(l -> l.brokenInCopy() == 0 && l.brokenInPlace() > 0).isPresent();
  }

  /// Of a machine whose capture kernel uses nothing outside the memory that was reserved for it.
  public static CaptureKernel none(String why) {
    return new CaptureKernel(
        new BackupRegion.Search.None(why), List.of(), Optional.empty(), Set.of(), 0);
  }

  /// @param ciphertext frames that are spoiled by another cause
  public static CaptureKernel of(
      Kernel kernel, Optional<FreelistDecoder> decoder, Set<Long> ciphertext) {
    PhysicalMemory memory = kernel.memory().physical();
    Set<PageMask> trampoline = trampoline(kernel, memory);
    List<Trace> traces = new ArrayList<>();
    long searched = 0;
    for (long pfn = 0; pfn < LowMemory.BACKUP_END_PFN; pfn++) {
      if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment page))) {
        continue;
      }
      long at = pfn;
      PageState.Kind kind =
          MemMap.of(kernel).map(map -> map.state(at).kind()).orElse(PageState.Kind.UNKNOWN);
      if (!usedByKernel(kind) || ciphertext.contains(pfn)) {
        continue;
      }
      searched++;
      String words = trace(page, trampoline);
      if (!words.isEmpty()) {
        traces.add(new Trace(pfn, words));
      }
    }
    BackupRegion.Search search = BackupRegion.find(kernel);
    Set<Long> overwritten = new TreeSet<>();
    Optional<Lists> lists = Optional.empty();
    if (decoder.isPresent() && MemMap.of(kernel).isPresent()) {
      SlabHeads heads = SlabHeads.below(kernel, MemMap.of(kernel).get(), LowMemory.BACKUP_END_PFN);
      List<SlabHeads.Head> broken =
          broken(heads.heads(), decoder.get(), memory, false, traces, overwritten);
      if (search instanceof BackupRegion.Search.Found(BackupRegion region)
          && isUsed(region, memory)) {
        PhysicalMemory copy =
            new CopiedMemory(memory, region.start(), region.byteCount(), region.copy());
        List<SlabHeads.Head> still = broken(broken, decoder.get(), copy, true, List.of(), Set.of());
        lists = Optional.of(new Lists(heads.heads().size(), broken.size(), still.size()));
        for (SlabHeads.Head head : broken) {
          if (!still.contains(head)) {
            for (long i = 0; i < head.slab().byteCount() >>> 12; i++) {
              overwritten.add(head.slab().pfn() + i);
            }
          }
        }
      }
    }
    overwritten.removeIf(pfn -> pfn >= LowMemory.BACKUP_END_PFN || ciphertext.contains(pfn));
    return new CaptureKernel(search, traces, lists, overwritten, searched);
  }

  /// Whether the copy was made: the loader leaves zeros there, through which every list would seem
  /// to end.
  private static boolean isUsed(BackupRegion region, PhysicalMemory memory) {
    long end = (region.copy() + region.byteCount()) >>> 12;
    for (long pfn = (region.copy() + 4095) >>> 12; pfn < end; pfn++) {
      if (memory.read(pfn) instanceof PageRead.Present(MemorySegment page)
          && !PageStatistics.of(page).isZero()) {
        return true;
      }
    }
    return false;
  }

  private static boolean usedByKernel(PageState.Kind kind) {
    return switch (kind) {
      case SLAB, PAGE_TABLE, ANONYMOUS, PAGE_CACHE -> true;
      case RESERVED, BUDDY, FREE, KERNEL, HWPOISON, UNKNOWN -> false;
    };
  }

  /// The lists that do not end; a slab page with a trace and such a list is overwritten.
  ///
  /// @param isCounted whether a list must have the length that the slab's counters say, too
  private static List<SlabHeads.Head> broken(
      List<SlabHeads.Head> heads,
      FreelistDecoder decoder,
      PhysicalMemory memory,
      boolean isCounted,
      List<Trace> traces,
      Set<Long> overwritten) {
    Freelist.Walker walker = new Freelist.Walker(decoder, new SlabMemory(memory));
    List<SlabHeads.Head> broken = new ArrayList<>();
    for (SlabHeads.Head head : heads) {
      walker.start(head.slab());
      Freelist list = walker.walk(head.slab(), head.first(), head.slot());
      boolean isWhole =
          list.isClosed()
              && (!isCounted
                  || head.expectedLength() < 0
                  || list.length() == head.expectedLength());
      if (isWhole || list.end() instanceof Freelist.End.Unreadable) {
        continue;
      }
      broken.add(head);
      for (Trace trace : traces) {
        long page = head.slab().pfn() + ((list.end().slot() - head.slab().base()) >>> 12);
        if (trace.pfn() == page) {
          overwritten.add(page);
        }
      }
    }
    return broken;
  }

  /// What only a starting kernel puts into a page; empty if nothing of the kind is there.
  private static String trace(MemorySegment page, Set<PageMask> trampoline) {
    if (page.get(ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), BOOT_MARK_AT)
            == (short) 0xaa55
        && page.get(ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), MAGIC_AT)
            == MAGIC) {
      return "boot parameters (setup header \"HdrS\")";
    }
    if (contains(page, HEADER_ARGUMENT)) {
      return "a capture kernel's command line (elfcorehdr=)";
    }
    int shared = 0;
    for (int at = 0; at + 16 <= page.byteSize() && !trampoline.isEmpty(); at += 16) {
      shared +=
          trampoline.contains(new PageMask(page.get(WORD, at), page.get(WORD, at + 8L))) ? 1 : 0;
    }
    return shared >= MIN_SHARED_BLOCKS
        ? "a real-mode trampoline (%d blocks of 16 bytes as in the crashed kernel's own)"
            .formatted(shared)
        : "";
  }

  private static boolean contains(MemorySegment page, byte[] text) {
    for (int at = 0; at + text.length <= page.byteSize(); at++) {
      int i = 0;
      while (i < text.length && page.get(ValueLayout.JAVA_BYTE, at + i) == text[i]) {
        i++;
      }
      if (i == text.length) {
        return true;
      }
    }
    return false;
  }

  /// The blocks of the crashed kernel's own trampoline that no data repeats: code differs from
  /// kernel to kernel by relocated addresses only.
  private static Set<PageMask> trampoline(Kernel kernel, PhysicalMemory memory) {
    Set<PageMask> blocks = new HashSet<>();
    long header = kernel.variable64("real_mode_header").orElse(0);
    long paddr = header == 0 ? -1 : kernel.memory().physicalAddress(header);
    if (paddr <= 0 || paddr >= LowMemory.RESERVED_END_PFN << 12) {
      return blocks;
    }
    for (long pfn = paddr >>> 12; pfn < (paddr >>> 12) + 4; pfn++) {
      if (memory.read(pfn) instanceof PageRead.Present(MemorySegment page)
          && !PageStatistics.of(page).looksRandom()) {
        for (int at = 0; at + 16 <= page.byteSize(); at += 16) {
          PageMask block = new PageMask(page.get(WORD, at), page.get(WORD, at + 8L));
          if (block.low() != 0 && block.high() != 0 && !block.isFillPattern()) {
            blocks.add(block);
          }
        }
      }
    }
    return blocks;
  }
}
