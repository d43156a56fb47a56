package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Words;

/// Somebody wrote into the free object: what is left when nothing else fits.
final class WriteAfterFree implements ListHypothesis {
  /// The stores that leave a part of a word as the allocator wrote it, the likelier first.
  private static final List<BadWord.Part> PARTS =
      List.of(
          new BadWord.Part(0, 4),
          new BadWord.Part(4, 4),
          new BadWord.Part(0, 2),
          new BadWord.Part(0, 1));

  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    List<Evidence> evidence = new ArrayList<>();
    List<Evidence> against = new ArrayList<>();
    Optional<BadWord.Part> part = part(list, word);
    if (part.isPresent()) {
      evidence.add(store(list, word, part.get()));
    } else {
      WordShape shape = WordShape.of(list.kernel(), word.raw());
      if (shape.known()) {
        evidence.add(
            list.word(
                word,
                "what was written to 0x%x looks like %s".formatted(word.slot(), shape.words())));
      } else {
        against.add(
            list.word(word, "the bytes at 0x%x do not tell who wrote them".formatted(word.slot())));
      }
    }
    ZeroedObject.usual(list, word).ifPresent(against::add);
    return Optional.of(new Diagnosis(Cause.USE_AFTER_FREE_WRITE, word, evidence, against));
  }

  /// The part of a word that a short store wrote, if the rest is what the allocator writes for an
  /// object of the slab: the smallest that is left.
  static Optional<BadWord.Part> part(BrokenList list, BadWord word) {
    if (word.isHead() || list.decoder() == FreelistDecoder.PLAIN) {
      return Optional.empty(); // The upper half of a plain pointer is that of any pointer.
    }
    Optional<BadWord.Part> found = Optional.empty();
    for (BadWord.Part part : PARTS) {
      if (found.isPresent() && part.length() >= found.get().length()) {
        continue;
      }
      for (int i = -1; i < list.slab().walkableObjects(); i++) {
        long target = i < 0 ? 0 : list.slab().object(i);
        if (((word.raw() ^ list.encode(target, word)) & ~part.mask()) == 0) {
          found = Optional.of(part);
          break;
        }
      }
    }
    return found;
  }

  private static Evidence store(BrokenList list, BadWord word, BadWord.Part part) {
    long written = part.of(word.raw());
    long at = word.slot() + part.from();
    return list.word(
        word,
        "a store of %s at 0x%x wrote 0x%0*x%s: the rest of the word at 0x%x is what the allocator writes for this slab"
            .replace("%0*x", "%0" + 2 * part.length() + "x")
            .formatted(
                Words.plural(part.length(), "byte", "bytes"),
                at,
                written,
                part.length() == 4 ? text(written) : "",
                word.slot()));
  }

  private static String text(long written) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < 4; i++) {
      int b = (int) (written >>> (8 * i)) & 0xff;
      if (b < 0x20 || b >= 0x7f) {
        return "";
      }
      text.append((char) b);
    }
    return " (text \"" + text + "\")";
  }
}
