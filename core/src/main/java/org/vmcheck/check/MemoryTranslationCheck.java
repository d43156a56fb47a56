package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// Do the two ways of translating an address, by arithmetic and through the page tables, agree?
final class MemoryTranslationCheck implements Check {
  private static final int DIRECT_MAP_SAMPLES = 64;

  /// Steps over all memory to find as many frames: devices lie far above what RAM there is.
  private static final int MAX_STEPS = 4096;

  private static final int MAX_TABLES_NAMED = 3;

  @Override
  public String id() {
    return "memory.translation";
  }

  @Override
  public String question() {
    return "Do the page tables agree with the kernel's own account of where its memory is?";
  }

  @Override
  public String explanation() {
    return """
    Translates the kernel's text and samples of the direct map through the page tables and compares
    with phys_base and page_offset_base (on arm64 kimage_voffset and PHYS_OFFSET); reads the variable
    phys_base or kimage_voffset at the address that rests on it. Everything above relies on this. The
    answer says how many addresses could be compared; where less than half could, the page tables
    are not known to be right, and the verdict says so.

    Where several kernels lie in the memory (a guest that was dumped while its capture kernel ran),
    the others are named here. The crashed one is looked at; --kernel N chooses another.

    It can mislead: pages that the kernel unmapped on purpose (free ones under debug_pagealloc,
    KFENCE, hwpoison) are not mapped and are passed over; so is what is no RAM of this kernel by its
    page descriptors: memory of devices, reserved ranges, all but its own to a capture kernel.
    Next: check that the dump and its VMCOREINFO are of the same boot.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    return new Comparison(context.kernel().orElseThrow()).run();
  }

  /// One pass over the probes.
  private final class Comparison {
    private final Kernel kernel;
    private final VirtualMemory memory;
    private final AddressMap map;
    private final List<Evidence> wrong = new ArrayList<>();

    /// Page tables that are not in the dump, by their physical address, and why.
    private final Map<Long, PageRead> tables = new TreeMap<>();

    private long agreeing;
    private long unmapped;
    private long tableMissing;

    Comparison(Kernel kernel) {
      this.kernel = kernel;
      this.memory = kernel.memory();
      this.map = memory.map();
    }

    CheckOutcome run() {
      List<Long> image = new ArrayList<>();
      kernel.vmcoreinfo().symbol("_stext").ifPresent(image::add);
      kernel.vmcoreinfo().symbol("init_uts_ns").ifPresent(image::add);
      image.forEach(vaddr -> compare(vaddr, false));
      frames().forEach(pfn -> compare(memory.directMapPage(pfn), true));
      long translated = agreeing + wrong.size();
      // What the kernel says of its own place: phys_base, or kimage_voffset.
      String name = kernel.architecture().placeVariable();
      OptionalLong told = kernel.variable64(name);
      if (told.isPresent()) {
        long used = kernel.architecture().placeVariable(map);
        if (told.getAsLong() == used) {
          agreeing++;
        } else {
          wrong.add(
              new Evidence.CountMismatch(
                  name,
                  used,
                  told.getAsLong(),
                  "the variable %s is 0x%x, in use is 0x%x"
                      .formatted(name, told.getAsLong(), used)));
        }
      }
      // One odd page can be split or remapped; a wrong base makes most of them wrong.
      boolean isWrong = wrong.size() > agreeing;
      return outcome(isWrong, translated, translated + unmapped + tableMissing);
    }

    /// Frames of RAM, spread over all memory.
    private Set<Long> frames() {
      TreeSet<Long> frames = new TreeSet<>();
      long end = memory.pfn(map.directMapPhysical(map.directMap().end()));
      for (int steps = DIRECT_MAP_SAMPLES;
          steps <= MAX_STEPS && end > 0 && frames.size() < DIRECT_MAP_SAMPLES;
          steps *= 4) {
        for (int i = 1; i <= steps && frames.size() < DIRECT_MAP_SAMPLES; i++) {
          long pfn = memory.physical().nextStored(end / (steps + 1) * i);
          if (pfn >= 0 && pfn < end && isRam(pfn)) {
            frames.add(pfn);
          }
        }
        if (end <= steps) {
          break;
        }
      }
      return frames;
    }

    /// Whether the frame is RAM of this kernel, as far as that can be told. Memory of devices,
    /// which QEMU's dumps hold, has no page descriptor; in holes between RAM, as all memory but its
    /// own is to a capture kernel, descriptors are reserved (Linux `mm/mm_init.c`,
    /// init_unavailable_range) or, before 5.4, were never set up. None of these is in the direct
    /// map.
    private boolean isRam(long pfn) {
      return MemMap.of(kernel)
          .map(
              memMap -> {
                long descriptor = memMap.descriptor(pfn);
                return descriptor != 0
                    && !(memory.translate(descriptor) instanceof Translated.NotMapped)
                    && memMap.isSetUp(pfn)
                    && memMap.state(pfn).kind() != PageState.Kind.RESERVED;
              })
          .orElse(true);
    }

    private void compare(long vaddr, boolean isDirectMap) {
      long expected = memory.physicalAddress(vaddr);
      switch (memory.paging().translate(vaddr)) {
        case Translated.At(long paddr) when paddr == expected -> agreeing++;
        case Translated.At(long paddr) ->
            wrong.add(
                new Evidence.WordAt(
                    vaddr,
                    expected,
                    paddr,
                    expected,
                    "0x%x is at physical 0x%x by arithmetic and 0x%x through the page tables"
                        .formatted(vaddr, expected, paddr)));
        case Translated.NotMapped(long span, String _) -> {
          if (!isDirectMap
              || span > memory.pageSize()
              || !isUnmappedByDesign(memory.pfn(expected))) {
            unmapped++;
          }
        }
        case Translated.TableMissing(long table, PageRead why) -> {
          tableMissing++;
          tables.putIfAbsent(table, why);
        }
      }
    }

    private boolean isUnmappedByDesign(long pfn) {
      return MemMap.of(kernel).map(memMap -> isUnmappedByDesign(memMap, pfn)).orElse(false);
    }

    private static boolean isUnmappedByDesign(MemMap memMap, long pfn) {
      return switch (memMap.state(pfn).kind()) {
        case BUDDY, FREE, HWPOISON -> true;
        default -> false;
      };
    }

    private CheckOutcome outcome(boolean isWrong, long compared, long probes) {
      List<String> gaps = new ArrayList<>();
      List<Note> notes = new ArrayList<>();
      if (compared * 2 < probes) {
        gaps.add(
            "%d of %d addresses could be compared; %d are not mapped, of %d a page table is not in"
                    .formatted(compared, probes, unmapped, tableMissing)
                + " the dump");
      }
      kernels(gaps, notes);
      if (!map.knowsDirectMap()) {
        gaps.add("where the direct map begins is not known: no address of it was compared");
      }
      tables.entrySet().stream()
          .limit(MAX_TABLES_NAMED)
          .forEach(
              table ->
                  notes.add(
                      new Note(
                          "page table",
                          "the page table at physical 0x%x is %s"
                              .formatted(table.getKey(), table.getValue().words()))));
      Map<String, String> facts = new LinkedHashMap<>();
      facts.put("levels", Integer.toString(memory.paging().levels()));
      facts.put("compared", Long.toString(compared));
      facts.put("not mapped", Long.toString(unmapped));
      facts.put("page table not in the dump", Long.toString(tableMissing));
      facts.put("different", Integer.toString(wrong.size()));
      if (compared == 0 && !isWrong) {
        return new CheckOutcome.NothingToLookAt(
            id(), answer(compared, probes), facts, notes, new Coverage(Map.of(), Map.of(), gaps));
      }
      return new CheckOutcome.Ran(
          id(),
          isWrong ? "translation is wrong" : answer(compared, probes),
          facts,
          isWrong ? List.of(finding()) : List.of(),
          notes,
          new Coverage(Map.of("addresses", compared), Map.of(), gaps));
    }

    /// The other kernels of this memory, and what it means if this one is not the crashed: a
    /// verdict on another says so first.
    private void kernels(List<String> gaps, List<Note> notes) {
      List<KernelEntry> all = kernel.kernels();
      for (KernelEntry entry : all) {
        if (entry.judged() && entry.number() > 1) {
          notes.add(
              new Note(
                  "this kernel",
                  "this is of kernel %d of this memory%s, and kernel 1%s was not looked at"
                      .formatted(
                          entry.number(),
                          entry.capture() ? ", a capture kernel" : "",
                          all.getFirst().capture() ? "" : ", the crashed one,"),
                  true));
        }
      }
      for (KernelEntry entry : all) {
        if (!entry.judged()) {
          notes.add(
              new Note(
                  "another kernel",
                  "kernel %d of this memory is %s; --kernel %d looks at it"
                      .formatted(entry.number(), entry.words(), entry.number())));
        }
      }
      if (!all.isEmpty() && all.stream().allMatch(KernelEntry::capture)) {
        gaps.add(
            "the kernel is a capture kernel (elfcorehdr= on its command line), and the crashed one"
                + " was not found in this memory");
      }
    }

    private String answer(long compared, long probes) {
      if (compared == 0) {
        return "none of %d addresses could be compared".formatted(probes);
      }
      if (compared * 2 < probes) {
        return "not known: only %d of %d addresses could be compared".formatted(compared, probes);
      }
      return "page tables and arithmetic agree"
          + (wrong.isEmpty() ? "" : ", but for " + Counted.of(wrong.size(), "addresses"))
          + (compared == probes
              ? ""
              : "; %d of %d addresses could be compared".formatted(compared, probes));
    }

    private Finding finding() {
      return new Finding(
          id(),
          Layer.TRANSLATION,
          Severity.CORRUPT,
          Cause.WRONG_DEBUGINFO,
          "addresses do not translate as the kernel says",
          Subject.NONE,
          wrong.subList(0, Math.min(5, wrong.size())),
          List.of(),
          id());
    }
  }
}
