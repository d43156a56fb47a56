package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.PageMap;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;

/// Does the low 640 KiB of the dump hold ciphertext where the kernel kept plain data?
final class LowMemorySmeCheck implements Check {
  /// Random-looking pages of strong roles below this number decide nothing.
  private static final int MIN_PAGES = 4;

  @Override
  public String id() {
    return "lowmem.sme";
  }

  @Override
  public String question() {
    return "Was the low 640 KiB saved through the wrong memory-encryption key?";
  }

  @Override
  public String explanation() {
    return """
    Looks at each page of the low 640 KiB: what is stored, what the kernel used it for, and whether
    its bytes can be told from random ones (chi-square against the finite-sample null, repeated
    16-byte blocks, serial correlation). Random bytes in pages that the kernel reserved, kept
    slabs in or used as page tables are ciphertext; a free page or page cache may hold compressed
    data and decides nothing.

    It can mislead: on a kernel that encrypts memory, the real-mode trampoline is kept in the clear
    and reads as random.
    Next: see lowmem.reserved for whether this kernel can suffer it; repeat with mem_encrypt=off.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    PageMap map = LowMemory.map(subjects.dump(), subjects.kernel(), LowMemory.BACKUP_END_PFN);
    Map<String, Integer> states = new LinkedHashMap<>();
    Map<String, Integer> looks = new LinkedHashMap<>();
    List<PageMap.Cell> strong = new ArrayList<>();
    List<PageMap.Cell> strongRandom = new ArrayList<>();
    long stored = 0;
    for (PageMap.Cell cell : map.cells()) {
      states.merge(cell.stored(), 1, Integer::sum);
      if (cell.looks().isEmpty()) {
        continue;
      }
      stored++;
      looks.merge(cell.looks(), 1, Integer::sum);
      if (isStrong(cell.role())) {
        strong.add(cell);
        if (cell.looks().equals("random")) {
          strongRandom.add(cell);
        }
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
    states.forEach((state, count) -> facts.put("pages " + state, count.toString()));
    looks.forEach((look, count) -> facts.put("pages that look like " + look, count.toString()));
    boolean ciphertext =
        strongRandom.size() >= MIN_PAGES && strongRandom.size() * 10 >= strong.size() * 9;
    List<Finding> findings = ciphertext ? List.of(finding(strongRandom, strong.size())) : List.of();
    String answer;
    if (stored == 0) {
      answer =
          states.getOrDefault("not in dump", 0) == map.cells().size()
              ? "left out of the dump by design"
              : "no page of the range is stored";
    } else if (ciphertext) {
      answer = "ciphertext";
    } else if (strongRandom.isEmpty()) {
      answer = "not ciphertext";
    } else {
      answer = "cannot tell";
    }
    return new CheckOutcome.Ran(
        id(),
        answer,
        facts,
        findings,
        List.of(),
        new Coverage(Map.of("low pages", stored), Map.of(), List.of()));
  }

  /// Roles in which a healthy page does not look random.
  private static boolean isStrong(String role) {
    return role.startsWith("slab") || role.equals("reserved") || role.equals("page table");
  }

  private Finding finding(List<PageMap.Cell> random, int strong) {
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.CountMismatch(
            "random-looking pages",
            0,
            random.size(),
            "%d of %d pages that the kernel reserved, kept slabs in or used as page tables look random"
                .formatted(random.size(), strong)));
    for (PageMap.Cell cell : random.subList(0, Math.min(4, random.size()))) {
      evidence.add(
          new Evidence.PageLooksLike(
              cell.pfn(),
              cell.looks(),
              "page frame 0x%x (%s) looks like random bytes".formatted(cell.pfn(), cell.role())));
    }
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.SME_CIPHERTEXT,
        "the low 640 KiB holds ciphertext",
        Subject.NONE,
        evidence,
        List.of(),
        id() + "/ciphertext");
  }
}
