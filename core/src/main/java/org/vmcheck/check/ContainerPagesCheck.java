package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;

/// Does every page that the file says it stores really lie in it, and decode to a whole page?
final class ContainerPagesCheck implements Check {
  @Override
  public String id() {
    return "container.pages";
  }

  @Override
  public String question() {
    return "Does every stored page lie in the file, with a descriptor that can be right?";
  }

  @Override
  public String explanation() {
    return """
    Walks the table of page descriptors: offset, size and codec of every stored page. With --full
    each page is decoded as well. A page that fails is damage of the file, never of the kernel;
    findings that rest on it say so.

    It can mislead: a descriptor can be right and lead to the bytes of another page (a writer that
    raced with itself); only the content tells.
    Next: compare the file's checksum with its source; collect again with one thread.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  /// Pages with the same kind of damage that follow each other.
  private record Range(long firstPfn, long lastPfn, PageRead.Damaged first) {}

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    PhysicalMemory memory = subjects.dump().memory();
    boolean full = subjects.isFull();
    Map<PageRead.Damage, List<Range>> ranges = new LinkedHashMap<>();
    long looked = 0;
    long damaged = 0;
    List<String> gaps = new ArrayList<>();
    for (long pfn = memory.nextStored(0); pfn >= 0; pfn = memory.nextStored(pfn + 1)) {
      looked++;
      Optional<PageRead> defect = full ? Optional.of(memory.read(pfn)) : memory.defect(pfn);
      if (defect.isPresent() && defect.get() instanceof PageRead.Damaged page) {
        damaged++;
        add(ranges.computeIfAbsent(page.damage(), _ -> new ArrayList<>()), page);
      }
      if ((looked & 0xfff) == 0 && subjects.isOver()) {
        gaps.add("pages from frame 0x%x on were not looked at: deadline".formatted(pfn));
        break;
      }
    }
    List<Finding> findings = new ArrayList<>();
    ranges.forEach((kind, list) -> findings.add(finding(kind, list)));
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("pages", Long.toString(looked));
    facts.put("damaged", Long.toString(damaged));
    facts.put("decoded", full ? "every stored page" : "only pages that other checks read");
    return new CheckOutcome.Ran(
        id(),
        damaged == 0 ? "all " + looked + " descriptors are sound" : damaged + " pages are damaged",
        facts,
        findings,
        List.of(),
        new Coverage(
            Map.of(full ? "pages decoded" : "page descriptors", looked),
            damaged == 0 ? Map.of() : Map.of("damaged", damaged),
            gaps));
  }

  private static void add(List<Range> ranges, PageRead.Damaged page) {
    if (!ranges.isEmpty() && ranges.getLast().lastPfn + 1 == page.pfn()) {
      Range last = ranges.removeLast();
      ranges.add(new Range(last.firstPfn, page.pfn(), last.first));
    } else if (ranges.size() < 1000) {
      ranges.add(new Range(page.pfn(), page.pfn(), page));
    }
  }

  private Finding finding(PageRead.Damage kind, List<Range> ranges) {
    long pages = ranges.stream().mapToLong(r -> r.lastPfn - r.firstPfn + 1).sum();
    Cause cause =
        kind == PageRead.Damage.UNDECODABLE ? Cause.PAGE_UNDECODABLE : Cause.DUMP_TRUNCATED;
    List<Evidence> evidence = new ArrayList<>();
    for (Range range : ranges.subList(0, Math.min(10, ranges.size()))) {
      evidence.add(
          new Evidence.PageLooksLike(
              range.firstPfn,
              kind.words(),
              "page frames 0x%x to 0x%x, file offset 0x%x: %s"
                  .formatted(
                      range.firstPfn,
                      range.lastPfn,
                      range.first.fileOffset(),
                      range.first.reason())));
    }
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        cause,
        "%d stored %s %s (%d %s)"
            .formatted(
                pages,
                pages == 1 ? "page is" : "pages are",
                kind.words(),
                ranges.size(),
                ranges.size() == 1 ? "range" : "ranges"),
        Subject.NONE,
        evidence,
        List.of(),
        id() + "/" + kind.words());
  }
}
