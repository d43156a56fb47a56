package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.PageCensus;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.Words;

/// What the page descriptors say of memory that the hardware gave up: pages marked PG_hwpoison, and
/// whose they were (Linux `mm/memory-failure.c`; a fatal machine check marks the page of its
/// address in mce_panic, and counts nothing).
public final class HardwarePages {
  /// The fact of container.complete that says how many there are, where there are any.
  public static final String FACT = "pages given up";

  private static final int MAX_NAMED = 4;

  /// Marks that the kernel's counter does not know: more are no work of mce_panic.
  private static final int MOST_UNCOUNTED = 8;

  private HardwarePages() {}

  /// How many were met, without doubt that they are no damage of the descriptors.
  static long sure(Kernel kernel, PageCensus census) {
    long marked = count(census);
    return isDoubtful(kernel.variable64("num_poisoned_pages"), marked) ? 0 : marked;
  }

  private static boolean isDoubtful(OptionalLong counted, long marked) {
    return counted.isPresent() && counted.getAsLong() == 0 && marked > MOST_UNCOUNTED;
  }

  /// How many were met.
  private static long count(PageCensus census) {
    PageCensus.Count count = census.count(PageState.Kind.HWPOISON);
    return count.stored() + count.excluded() + count.notInDump();
  }

  /// A note of the first rank; empty if no page was given up.
  static Optional<Note> note(Kernel kernel, PageCensus census) {
    PageCensus.Count count = census.count(PageState.Kind.HWPOISON);
    long marked = count(census);
    OptionalLong counted = kernel.variable64("num_poisoned_pages");
    if (marked == 0) {
      return census.sampled() && counted.orElse(0) > 0
          ? Optional.of(
              Note.lead(
                  "hardware",
                  "the hardware gave up %s of memory (num_poisoned_pages); not among the page"
                          .formatted(Words.plural(counted.getAsLong(), "page", "pages"))
                      + " descriptors that were looked at"))
          : Optional.empty();
    }
    String words =
        "%s%s of memory (PG_hwpoison): %s%s"
            .formatted(
                census.sampled() ? "at least " : "",
                Words.plural(marked, "page", "pages"),
                owners(census),
                count.stored() == marked
                    ? ""
                    : count.stored() == 0
                        ? "; not in the dump"
                        : "; %d of them not in the dump".formatted(marked - count.stored()));
    return Optional.of(
        isDoubtful(counted, marked)
            ? new Note(
                "hardware",
                "page descriptors mark %s, but num_poisoned_pages is 0: the marks may be damage"
                    .formatted(words))
            : Note.lead("hardware", "the hardware gave up " + words));
  }

  /// How many are whose, with the first frames.
  private static String owners(PageCensus census) {
    Map<String, List<Long>> byOwner = new LinkedHashMap<>();
    for (PageCensus.GivenUp page : census.givenUp()) {
      byOwner.computeIfAbsent(owner(page), _ -> new ArrayList<>()).add(page.pfn());
    }
    List<String> parts = new ArrayList<>();
    byOwner.forEach(
        (owner, frames) ->
            parts.add(
                "%d %s (frame %s%s)"
                    .formatted(
                        frames.size(),
                        owner,
                        String.join(
                            ", ", frames.stream().limit(MAX_NAMED).map(Words::hex).toList()),
                        frames.size() > MAX_NAMED ? ", ..." : "")));
    return String.join(", ", parts);
  }

  private static String owner(PageCensus.GivenUp page) {
    return switch (page.use()) {
      case SLAB ->
          page.cache().isEmpty()
              ? "of a slab"
              : "of a slab of cache " + Printable.of(page.cache(), 60);
      case ANONYMOUS -> "of a program's anonymous memory";
      case PAGE_CACHE -> "of the page cache";
      case PAGE_TABLE -> "of a page table";
      case RESERVED -> "of reserved memory";
      case BUDDY, FREE -> "free, or taken from its owner";
      case KERNEL, HWPOISON, UNKNOWN -> "of the kernel, or taken from its owner";
    };
  }
}
