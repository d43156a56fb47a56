package org.vmcheck.dump;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import org.vmcheck.io.MappedFile;

/// Pages that the operating system could not deliver while a dump was read: its device failed, or
/// the file shrank. Neither the dump's fault nor the kernel's, for the next reading may succeed.
///
/// Safe for use by several threads at once.
public final class ReadFailures {
  /// Pages kept one by one; of more only the number is known.
  private static final int MAX_PAGES = 1 << 16;

  private static final int MAX_RUNS = 10;

  private final ConcurrentSkipListMap<Long, Long> fileOffsets = new ConcurrentSkipListMap<>();
  private final AtomicLong notKept = new AtomicLong();

  /// Keeps a page in mind.
  ///
  /// @param fileOffset of its data, or of what leads there
  /// @param lost what its reading raised; anything but a lost map is raised again
  PageRead.Unreadable page(long pfn, long fileOffset, InternalError lost) {
    if (!MappedFile.isLostMap(lost)) {
      throw lost;
    }
    if (fileOffsets.size() < MAX_PAGES) {
      fileOffsets.put(pfn, fileOffset);
    } else if (!fileOffsets.containsKey(pfn)) {
      notKept.incrementAndGet();
    }
    return new PageRead.Unreadable(pfn, fileOffset, "the file shrank or its device failed");
  }

  /// Page frames, without those beyond the limit of what is kept.
  public Set<Long> pfns() {
    return Set.copyOf(fileOffsets.keySet());
  }

  /// One sentence for each run of pages, the first ten, and one for each file that has another
  /// length than when it was opened; empty if all was well.
  List<String> words(List<MappedFile> files) {
    List<String> words = new ArrayList<>();
    long first = -1;
    long last = -1;
    int runs = 0;
    long unsaid = notKept.get();
    for (long pfn : fileOffsets.keySet()) {
      if (first >= 0 && pfn != last + 1) {
        unsaid += say(words, runs++, first, last);
        first = -1;
      }
      first = first < 0 ? pfn : first;
      last = pfn;
    }
    if (first >= 0) {
      unsaid += say(words, runs, first, last);
    }
    if (unsaid > 0) {
      words.add(unsaid + " more pages could not be read");
    }
    for (MappedFile file : files) {
      try {
        file.changed().ifPresent(words::add);
      } catch (IOException e) {
        words.add("[%s] cannot be read any more: %s".formatted(file.name(), e.getMessage()));
      }
    }
    return words;
  }

  /// @return pages that there was no room to speak of
  private long say(List<String> words, int run, long first, long last) {
    if (run >= MAX_RUNS) {
      return last - first + 1;
    }
    Map.Entry<Long, Long> at = fileOffsets.floorEntry(first);
    words.add(
        "%s (file offset 0x%x) could not be read: the file shrank or its device failed"
            .formatted(
                first == last
                    ? "page frame 0x%x".formatted(first)
                    : "page frames 0x%x to 0x%x".formatted(first, last),
                at.getValue()));
    return 0;
  }
}
