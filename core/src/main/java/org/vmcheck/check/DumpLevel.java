package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.finding.Note;
import org.vmcheck.page.PageCensus;
import org.vmcheck.page.PageState;

/// The dump level: the one that the header promises, and the one that the pages which are there and
/// which are not show.
final class DumpLevel {
  /// Pages of a kind that are no accident.
  private static final long ENOUGH = 64;

  private DumpLevel() {}

  /// Where promise and pages disagree. A dump with more in it than was asked for is as good as any;
  /// one with less has lost what its reader may look for.
  ///
  /// @param level of the header; -1 if it has none
  static List<Note> notes(int level, PageCensus census) {
    if (level < 0) {
      return List.of();
    }
    List<String> kept = new ArrayList<>();
    List<String> lost = new ArrayList<>();
    compare(level, 6, "page cache", census.count(PageState.Kind.PAGE_CACHE), kept, lost);
    compare(level, 8, "anonymous", census.count(PageState.Kind.ANONYMOUS), kept, lost);
    compare(level, 16, "free", census.count(PageState.Kind.BUDDY), kept, lost);
    List<Note> notes = new ArrayList<>();
    boolean isAnyLeftOut = census.kinds().values().stream().anyMatch(count -> count.excluded() > 0);
    if (!kept.isEmpty()) {
      notes.add(
          new Note(
              "dump level",
              "the header says level %d, and %s: %s are all there; the dumper did not know this"
                      .formatted(
                          level,
                          isAnyLeftOut ? "not all of that was left out" : "nothing was left out",
                          String.join(", ", kept))
                  + " kernel's page types, or did not filter"));
    }
    if (!lost.isEmpty()) {
      notes.add(
          new Note(
              "dump level",
              "the header says level %d, which does not ask for it, and yet %s are left out"
                  .formatted(level, String.join(", ", lost))));
    }
    return notes;
  }

  /// @param bits of the level that ask for this kind, any of them
  private static void compare(
      int level,
      int bits,
      String kind,
      PageCensus.Count count,
      List<String> kept,
      List<String> lost) {
    if ((level & bits) != 0 && count.excluded() == 0 && count.stored() >= ENOUGH) {
      kept.add("%d %s pages".formatted(count.stored(), kind));
    }
    if ((level & bits) == 0 && mostlyLeftOut(count) && count.excluded() >= ENOUGH) {
      lost.add("%d %s pages".formatted(count.excluded(), kind));
    }
  }

  /// The kinds of page that are missing, in the words and bits of makedumpfile's -d.
  static String observed(PageCensus census, ContainerAudit audit) {
    List<String> kinds = new ArrayList<>();
    int level = 0;
    if (audit.storedAs().containsKey("shared page of zeros")) {
      level |= 1;
      kinds.add("pages of zeros (stored once)");
    }
    PageCensus.Count cache = census.count(PageState.Kind.PAGE_CACHE);
    if (mostlyLeftOut(cache)) {
      level |= 6;
      kinds.add("page cache");
    } else if (cache.excluded() > 0) {
      level |= 2;
      kinds.add("some page cache");
    }
    if (mostlyLeftOut(census.count(PageState.Kind.ANONYMOUS))) {
      level |= 8;
      kinds.add("anonymous memory");
    }
    if (mostlyLeftOut(census.count(PageState.Kind.BUDDY))) {
      level |= 16;
      kinds.add("free pages");
    }
    return level + (kinds.isEmpty() ? ": nothing left out" : ": " + String.join(", ", kinds));
  }

  private static boolean mostlyLeftOut(PageCensus.Count count) {
    return count.excluded() > 0 && count.excluded() >= 9 * count.stored();
  }
}
