package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Holds the segments of an ELF core against the length of the file. There are no descriptors:
/// pages are stored as they are.
final class ElfAudit {
  private ElfAudit() {}

  static ContainerAudit of(ElfDump dump) {
    long truncated = 0;
    List<ContainerAudit.Defect> defects = new ArrayList<>();
    long unlisted = 0;
    for (long pfn = dump.nextTruncated(0); pfn >= 0; ) {
      long last = dump.lastTruncated(pfn);
      PageRead.Damaged first = (PageRead.Damaged) dump.defect(pfn).orElseThrow();
      truncated += last - pfn + 1;
      if (defects.size() < ContainerAudit.MAX_LISTED) {
        defects.add(
            new ContainerAudit.Defect(
                first.damage(), pfn, last, last - pfn + 1, first.fileOffset(), first.reason()));
      } else {
        unlisted++;
      }
      pfn = dump.nextTruncated(last + 1);
    }
    Container.Pages pages = dump.container().pages();
    List<String> remarks = new ArrayList<>();
    FlattenedSource.remarks(dump.source(), remarks);
    return new ContainerAudit(
        new ContainerAudit.Pages(
            pages.total(),
            pages.stored(),
            pages.excluded(),
            truncated == 0 ? Map.of() : Map.of(PageRead.Damage.TRUNCATED, truncated)),
        new TreeMap<>(Map.of("raw", pages.stored())),
        0,
        defects,
        unlisted,
        List.of(),
        remarks);
  }
}
