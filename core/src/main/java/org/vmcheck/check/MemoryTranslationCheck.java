package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.Translated;
import org.vmcheck.memory.VirtualMemory;

/// Do the two ways of translating an address, by arithmetic and through the page tables, agree?
final class MemoryTranslationCheck implements Check {
  private static final int DIRECT_MAP_SAMPLES = 64;

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
    with phys_base and page_offset_base; reads the variable phys_base at the address that rests on
    it. Everything above relies on this.

    It can mislead: pages that the kernel unmapped on purpose (KFENCE, hwpoison) are not mapped and
    are passed over.
    Next: check that the dump and its VMCOREINFO are of the same boot.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    Kernel kernel = subjects.kernel().orElseThrow();
    VirtualMemory memory = kernel.memory();
    AddressMap map = memory.map();
    List<Evidence> wrong = new ArrayList<>();
    long compared = 0;
    long unmapped = 0;
    List<Long> probes = new ArrayList<>();
    kernel.vmcoreinfo().symbol("_stext").ifPresent(probes::add);
    kernel.vmcoreinfo().symbol("init_uts_ns").ifPresent(probes::add);
    long ram = map.directMapEnd() - map.directMapStart();
    for (int i = 1; i <= DIRECT_MAP_SAMPLES && ram > 0; i++) {
      long pfn = memory.physical().nextStored((ram >>> 12) / (DIRECT_MAP_SAMPLES + 1) * i);
      if (pfn >= 0) {
        probes.add(map.directMapAddress(pfn << 12));
      }
    }
    for (long vaddr : probes) {
      long expected = memory.physicalAddress(vaddr);
      switch (memory.paging().translate(vaddr)) {
        case Translated.At(long paddr) -> {
          compared++;
          if (paddr != expected) {
            wrong.add(
                new Evidence.WordAt(
                    vaddr,
                    expected,
                    paddr,
                    expected,
                    "0x%x is at physical 0x%x by arithmetic and 0x%x through the page tables"
                        .formatted(vaddr, expected, paddr)));
          }
        }
        case Translated.NotMapped _, Translated.TableMissing _ -> unmapped++;
      }
    }
    OptionalLong physBase = kernel.variable64("phys_base");
    if (physBase.isPresent()) {
      compared++;
      if (physBase.getAsLong() != map.physBase()) {
        wrong.add(
            new Evidence.CountMismatch(
                "phys_base",
                map.physBase(),
                physBase.getAsLong(),
                "the variable phys_base is 0x%x, in use is 0x%x"
                    .formatted(physBase.getAsLong(), map.physBase())));
      }
    }
    // One odd page can be split or remapped; a wrong base makes most of them wrong.
    List<Finding> findings =
        wrong.size() * 2L <= compared
            ? List.of()
            : List.of(
                new Finding(
                    id(),
                    Layer.TRANSLATION,
                    Severity.CORRUPT,
                    Cause.WRONG_DEBUGINFO,
                    "addresses do not translate as the kernel says",
                    Subject.NONE,
                    wrong.subList(0, Math.min(5, wrong.size())),
                    List.of(),
                    id()));
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("levels", Integer.toString(memory.paging().levels()));
    facts.put("compared", Long.toString(compared));
    facts.put("not mapped", Long.toString(unmapped));
    facts.put("different", Integer.toString(wrong.size()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty() ? "page tables and arithmetic agree" : "translation is wrong",
        facts,
        findings,
        List.of(),
        new Coverage(Map.of("addresses", compared), Map.of(), List.of()));
  }
}
