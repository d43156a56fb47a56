package org.vmcheck.attribution;

import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.ByteView;

/// The whole page around the word holds one value: more than an object of it was overwritten.
final class WipedPage implements ListHypothesis {
  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    if (word.isHead() || list.cache().objectSize() >= list.kernel().memory().pageSize()) {
      return Optional.empty();
    }
    long page = list.kernel().memory().pageStart(word.slot());
    int value =
        list.memory().page(page) instanceof PageRead.Present(MemorySegment bytes)
            ? ByteView.onlyByte(bytes)
            : -1;
    return value < 0
        ? Optional.empty()
        : Optional.of(
            new Diagnosis(
                Cause.PAGE_WIPED,
                word,
                new Evidence.PageLooksLike(
                    list.kernel().memory().pfn(list.physical(page)),
                    value == 0 ? "zero" : "one byte",
                    "the whole page at 0x%x holds the byte 0x%02x and nothing else"
                        .formatted(page, value))));
  }
}
