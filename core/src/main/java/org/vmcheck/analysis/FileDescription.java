package org.vmcheck.analysis;

import org.vmcheck.dump.Container;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.DumpFacts;

/// What a dump's file says of itself.
final class FileDescription {
  private FileDescription() {}

  /// @param isTruncated whether a check found that not all is there
  static DumpFacts of(Dump dump, boolean isTruncated) {
    Container container = dump.container();
    Container.Pages pages = container.pages();
    boolean isCut = isTruncated || dump.isCut();
    if (isCut) {
      // What the headers promise is not what is there.
      ContainerAudit.Pages there = dump.audit().pages();
      long missing =
          there.damagedInAll() - there.damaged().getOrDefault(PageRead.Damage.UNDECODABLE, 0L);
      pages =
          new Container.Pages(
              pages.total(), there.stored(), pages.excluded(), missing, pages.inPart());
    }
    return new DumpFacts(
        dump.path().toString(),
        dump.fileBytes(),
        container.format(),
        container.version(),
        container.flattened(),
        container.codecs(),
        container.dumpLevel(),
        new DumpFacts.PageTotals(
            pages.total(), pages.stored(), pages.excluded(), pages.missing(), 0),
        !isCut);
  }
}
