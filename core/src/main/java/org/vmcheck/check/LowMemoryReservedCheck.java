package org.vmcheck.check;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.MemMap;
import org.vmcheck.kernel.PageState;

/// Is the low 1 MiB reserved, so that the kernel keeps nothing there that kdump could spoil?
final class LowMemoryReservedCheck implements Check {
  @Override
  public String id() {
    return "lowmem.reserved";
  }

  @Override
  public String question() {
    return "Is the fix in force that keeps the low 1 MiB out of the kernel's use?";
  }

  @Override
  public String explanation() {
    return """
    Looks at the page descriptors of frames 0 to 0xff: with the fix (Linux 6f599d84231f, mainline
    5.5, or f1d4d47c5851, 5.13; backported by distributions) each is reserved and none is a slab,
    free or page cache. It answers a question and never changes the verdict.

    It can mislead: a kernel booted without crashkernel= does not need the fix.
    Next: compare before and after a kernel upgrade.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.MEMMAP;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    Kernel kernel = subjects.kernel().orElseThrow();
    MemMap memMap = kernel.memMap().orElseThrow();
    Map<PageState.Kind, Integer> kinds = new LinkedHashMap<>();
    int known = 0;
    int inUse = 0;
    String example = "";
    int stored = 0;
    for (long pfn = 0; pfn < LowMemory.RESERVED_END_PFN; pfn++) {
      PageState.Kind kind = memMap.state(pfn).kind();
      kinds.merge(kind, 1, Integer::sum);
      if (subjects.dump().memory().read(pfn) instanceof PageRead.Present) {
        stored++;
      }
      if (kind == PageState.Kind.UNKNOWN) {
        continue;
      }
      known++;
      if (kind != PageState.Kind.RESERVED && kind != PageState.Kind.HWPOISON) {
        inUse++;
        if (example.isEmpty()) {
          example = "page frame 0x%x: %s".formatted(pfn, LowMemory.role(subjects.kernel(), pfn));
        }
      }
    }
    boolean crashKernel = kernel.identity().commandLine().contains("crashkernel=");
    Map<String, String> facts = new LinkedHashMap<>();
    kinds.forEach((kind, count) -> facts.put("pages " + kind.words(), count.toString()));
    facts.put("pages stored in the dump", Integer.toString(stored));
    facts.put("crashkernel= on the command line", crashKernel ? "yes" : "no");
    String answer;
    if (known == 0) {
      answer = "cannot tell";
    } else if (inUse == 0) {
      answer = "in force";
    } else if (!crashKernel) {
      answer = "not needed (no crash kernel)";
    } else {
      answer = "not in force";
    }
    List<Note> notes =
        inUse == 0
            ? List.of()
            : List.of(new Note("low memory", inUse + " pages below 1 MiB are in use, " + example));
    return new CheckOutcome.Ran(
        id(),
        answer,
        facts,
        List.of(),
        notes,
        new Coverage(Map.of("page descriptors", (long) known), Map.of(), List.of()));
  }
}
