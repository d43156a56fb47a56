package org.vmcheck.report;

import java.util.List;
import java.util.stream.Collectors;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.finding.LeaksAnswer.LeakedCache;
import org.vmcheck.finding.LeaksAnswer.Site;
import org.vmcheck.io.Printable;

/// Objects that nothing leads to, for a person at a terminal.
public final class LeaksText {
  private LeaksText() {}

  /// @param top how many caches are shown
  public static String render(LeaksAnswer answer, int top) {
    StringBuilder out = new StringBuilder();
    List<LeakedCache> caches = answer.caches();
    if (!caches.isEmpty()) {
      out.append("%9s %11s %13s  %s%n".formatted("LOST", "IN USE", "BYTES LOST", "CACHE"));
    }
    for (LeakedCache cache : caches.subList(0, Math.min(top, caches.size()))) {
      out.append(
          "%,9d %,11d %,13d  %s%n"
              .formatted(
                  cache.unreferenced(),
                  cache.objects(),
                  cache.bytes(),
                  Printable.of(cache.cache())));
      for (Site site : cache.sites()) {
        out.append(
            "%,9d   %s: %s%s%n"
                .formatted(
                    site.count(),
                    site.words().isEmpty() ? "of unknown use" : Printable.of(site.words()),
                    site.examples().stream()
                        .map(address -> "0x" + Long.toHexString(address))
                        .collect(Collectors.joining(", ")),
                    site.count() > site.examples().size() ? ", ..." : ""));
      }
    }
    if (caches.size() > top) {
      out.append("and %s%n".formatted(Counted.of(caches.size() - top, "more caches")));
    }
    out.append(
        "nothing leads to %,d of %,d objects in use (%,d bytes), in %s of the kernel that were searched; %,d free pages, users' pages and page tables were not%n"
            .formatted(
                answer.unreferenced(),
                answer.objects(),
                answer.bytes(),
                pages(answer.pages()),
                answer.passedOver()));
    if (answer.absent() + answer.unread() > 0) {
      out.append(
          "not seen: pointers in %s of the kernel that %s not in the dump%s%n"
              .formatted(
                  pages(answer.absent()),
                  answer.absent() == 1 ? "is" : "are",
                  answer.unread() == 0
                      ? ""
                      : ", and in %s that cannot be read".formatted(pages(answer.unread()))));
    }
    if (answer.notJudged() > 0) {
      out.append(
          "not judged: %s in slabs with broken lists: which are in use cannot be told%n"
              .formatted(Counted.of(answer.notJudged(), "objects")));
    }
    return out.toString();
  }

  private static String pages(long count) {
    return Counted.of(count, "pages");
  }
}
