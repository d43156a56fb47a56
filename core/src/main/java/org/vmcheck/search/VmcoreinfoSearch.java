package org.vmcheck.search;

import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;
import org.vmcheck.arch.Architecture;
import org.vmcheck.arch.Architectures;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.kernel.UtsName;
import org.vmcheck.memory.RepagedMemory;

/// Finds VMCOREINFO in the memory of a dump whose file carries none: QEMU and virsh dumps of guests
/// without the `vmcoreinfo` device.
///
/// The kernel keeps its note (`vmcoreinfo_note`: a page of its own since 4.13, before that a static
/// array) and the text (`vmcoreinfo_data`). Holes of a sparse file are passed over. Stale copies of
/// an earlier boot, of a capture kernel or of a nested guest may lie about too, so each candidate
/// is held against the memory that it describes, and against the page tables that the CPUs used.
final class VmcoreinfoSearch {
  /// Frames that are searched before the candidates among them are judged: 256 MiB.
  private static final long WAVE = 65536;

  private static final long SLICE = 4096;
  private static final int MAX_CANDIDATES = 64;
  private static final int NOTE_HEADER = 24;
  private static final int MAX_TEXT = 65536;
  private static final int MIN_TEXT = 64;

  /// "VMCO", the start of the note's name, as a little-endian word.
  private static final int NAME_START = 0x4f434d56;

  private static final byte[] NAME = "VMCOREINFO\0".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] FIRST_KEY = "OSRELEASE=".getBytes(StandardCharsets.US_ASCII);

  /// A VMCOREINFO found in memory.
  ///
  /// @param paddr where its text lies
  /// @param evidence how it was proven
  record Found(Vmcoreinfo info, long paddr, String evidence) {}

  private record Candidate(Vmcoreinfo info, long paddr, boolean isNote) {}

  /// No format takes fewer bytes for a stored page: a page descriptor of kdump.
  private static final int MIN_BYTES_A_PAGE = 24;

  private final PhysicalMemory memory;
  private final Container container;
  private final List<ElfNote> notes;

  /// Frames that may still be looked at: no more than the file has room for.
  private final AtomicLong budget;

  private VmcoreinfoSearch(Dump dump) {
    this.memory = dump.memory();
    this.container = dump.container();
    this.notes = dump.notes();
    this.budget = new AtomicLong(dump.fileBytes() / MIN_BYTES_A_PAGE + 1);
  }

  static Optional<Found> in(Dump dump) {
    return all(dump).stream().findFirst();
  }

  /// Every VMCOREINFO in memory that memory agrees with, up to the first that the CPUs' own page
  /// tables confirm, which comes first.
  static List<Found> all(Dump dump) {
    return new VmcoreinfoSearch(dump).run(0, Long.MAX_VALUE, true);
  }

  /// Those in a range of frames.
  static List<Found> within(Dump dump, long fromPfn, long endPfn) {
    return new VmcoreinfoSearch(dump).run(fromPfn, endPfn, false);
  }

  /// Searches wave by wave.
  private List<Found> run(long fromPfn, long endPfn, boolean toFirstConfirmed) {
    List<Found> found = new ArrayList<>();
    long unsearched = fromPfn;
    try {
      int seen = 0;
      while (seen < MAX_CANDIDATES && budget.get() > 0) {
        long from = memory.nextData(unsearched);
        if (from < 0 || from >= endPfn) {
          break;
        }
        unsearched = from;
        for (Candidate candidate : candidates(from, endPfn)) {
          seen++;
          if (add(candidate, found) && toFirstConfirmed) {
            return found;
          }
        }
        unsearched = from + WAVE;
      }
    } catch (CancelledException over) {
      throw over.leaving(
          "memory from 0x%x on was not searched for a VMCOREINFO note"
              .formatted(unsearched * memory.pageSize()));
    }
    return found;
  }

  /// Takes a candidate that memory agrees with.
  ///
  /// @return whether the CPUs' page tables confirm it, in which case it comes first
  private boolean add(Candidate candidate, List<Found> found) {
    if (!describesThisMemory(candidate.info)) {
      return false;
    }
    boolean isConfirmed = confirmedByCpus(candidate.info);
    Found one =
        new Found(
            candidate.info,
            candidate.paddr,
            isConfirmed
                ? "the kernel's name in memory and the CPUs' page tables agree with it"
                : "the kernel's name in memory agrees with it");
    if (isConfirmed) {
      found.addFirst(one);
    } else {
      found.add(one);
    }
    return isConfirmed;
  }

  /// Candidates in one wave: notes before bare texts.
  private List<Candidate> candidates(long from, long endPfn) {
    Cancellation cancellation = Cancellation.current();
    long end = Math.min(endPfn, from + WAVE);
    return LongStream.iterate(from, pfn -> pfn < end, pfn -> pfn + SLICE)
        .parallel()
        .mapToObj(start -> slice(start, cancellation))
        .flatMap(List::stream)
        .sorted(
            Comparator.comparing((Candidate candidate) -> !candidate.isNote)
                .thenComparingLong(candidate -> candidate.paddr))
        .limit(MAX_CANDIDATES)
        .toList();
  }

  private List<Candidate> slice(long from, Cancellation cancellation) {
    List<Candidate> found = new ArrayList<>();
    PageBuffer buffer = PageBuffer.of(memory);
    byte[] page = buffer.bytes();
    for (long pfn = memory.nextData(from);
        pfn >= 0
            && pfn < from + SLICE
            && found.size() < MAX_CANDIDATES
            && budget.getAndDecrement() > 0;
        pfn = memory.nextData(pfn + 1)) {
      cancellation.step();
      if (!(memory.readInto(pfn, buffer) instanceof PageRead.Present)) {
        continue;
      }
      long paddr = pfn * memory.pageSize();
      if (startsWith(page, 0, FIRST_KEY)) {
        text(paddr, MAX_TEXT).ifPresent(info -> found.add(new Candidate(info, paddr, false)));
      }
      for (int at = 12; at <= page.length - 12; at += 4) {
        if (page[at] == 'V' && word(page, at) == NAME_START && startsWith(page, at, NAME)) {
          int size = word(page, at - 8);
          if (word(page, at - 12) == NAME.length
              && word(page, at - 4) == 0
              && size >= MIN_TEXT
              && size <= MAX_TEXT) {
            long textAt = paddr + at - 12 + NOTE_HEADER;
            text(textAt, size).ifPresent(info -> found.add(new Candidate(info, textAt, true)));
          }
        }
      }
    }
    return found;
  }

  private static int word(byte[] bytes, int at) {
    return (bytes[at] & 0xff)
        | (bytes[at + 1] & 0xff) << 8
        | (bytes[at + 2] & 0xff) << 16
        | (bytes[at + 3] & 0xff) << 24;
  }

  private static boolean startsWith(byte[] bytes, int at, byte[] expected) {
    return at + expected.length <= bytes.length
        && Arrays.equals(bytes, at, at + expected.length, expected, 0, expected.length);
  }

  /// The text at a physical address, if it is one: printable lines up to a NUL, with the keys that
  /// are always there.
  private Optional<Vmcoreinfo> text(long paddr, int maxBytes) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < maxBytes; ) {
      Optional<byte[]> bytes =
          physical(paddr + i, 1 + (int) Math.min(maxBytes - i - 1L, inPage(paddr + i)));
      if (bytes.isEmpty()) {
        break;
      }
      for (byte b : bytes.get()) {
        if (b == 0) {
          i = maxBytes;
          break;
        }
        if (b != '\n' && (b < 0x20 || b > 0x7e)) {
          return Optional.empty();
        }
        text.append((char) b);
        i++;
      }
    }
    Vmcoreinfo info = Vmcoreinfo.parse(text.toString());
    boolean whole =
        !info.release().isEmpty()
            && RepagedMemory.isPageSize(info.pageSize().orElse(0))
            && info.symbol("swapper_pg_dir").isPresent()
            && info.symbol("_stext").isPresent();
    return whole ? Optional.of(info) : Optional.empty();
  }

  /// Bytes after the one at an address, up to the end of its page.
  private long inPage(long paddr) {
    return memory.pageSize() - 1 - (paddr & memory.pageSize() - 1);
  }

  /// Bytes within one page.
  private Optional<byte[]> physical(long paddr, int byteCount) {
    long pfn = paddr >>> Integer.numberOfTrailingZeros(memory.pageSize());
    if (!(memory.read(pfn) instanceof PageRead.Present present)) {
      return Optional.empty();
    }
    return Optional.of(
        present
            .bytes()
            .asSlice(paddr & memory.pageSize() - 1, byteCount)
            .toArray(ValueLayout.JAVA_BYTE));
  }

  private OptionalLong imageOffset(Vmcoreinfo info) {
    Optional<Architecture> architecture = Architectures.of(container, info);
    return architecture.isPresent()
        ? architecture.get().imageOffset(info, List.of())
        : OptionalLong.empty();
  }

  /// Whether the kernel that it describes is in this memory: its name stands where it says.
  private boolean describesThisMemory(Vmcoreinfo info) {
    OptionalLong uts = info.symbol("init_uts_ns");
    OptionalLong offset = imageOffset(info);
    if (uts.isEmpty() || offset.isEmpty()) {
      return true;
    }
    ByteView names = UtsName.read(this::view, info, uts.getAsLong() - offset.getAsLong());
    return names != null && UtsName.release(names).equals(info.release());
  }

  /// Bytes that lie together in physical memory; null if a page of them is not there.
  private ByteView view(long paddr, int byteCount) {
    byte[] copy = new byte[byteCount];
    for (int done = 0; done < byteCount; ) {
      int count = (int) Math.min(byteCount - done, 1 + inPage(paddr + done));
      Optional<byte[]> bytes = paddr < 0 ? Optional.empty() : physical(paddr + done, count);
      if (bytes.isEmpty()) {
        return null;
      }
      System.arraycopy(bytes.get(), 0, copy, done, count);
      done += count;
    }
    return ByteView.of("memory", copy);
  }

  /// Whether some CPU's page tables put the kernel where it says. A CPU in user mode, in firmware
  /// or in another kernel does not confirm; it does not disprove either.
  private boolean confirmedByCpus(Vmcoreinfo info) {
    Optional<Architecture> architecture = Architectures.of(container, info);
    OptionalLong offset = imageOffset(info);
    return offset.isPresent()
        && notes.stream()
            .anyMatch(
                note -> architecture.orElseThrow().isCpuIn(note, memory, info, offset.getAsLong()));
  }
}
