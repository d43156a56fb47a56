package org.vmcheck.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.vmcheck.analysis.DeskQuestions;
import org.vmcheck.finding.Reading;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.io.Printable;

/// Words and what they are, as text.
final class WordText {
  private WordText() {}

  /// The readings of a word, the best first, a line each with its reason behind it.
  static String render(WordAnswer answer) {
    StringBuilder out = new StringBuilder("0x%016x%n".formatted(answer.value()));
    for (Reading reading : answer.readings()) {
      out.append(
          "  %-7s %s%n"
              .formatted(
                  reading.grade().name().toLowerCase(Locale.ROOT), Printable.of(reading.what())));
      if (!reading.why().isEmpty()) {
        out.append("          %s%n".formatted(Printable.of(reading.why())));
      }
    }
    return out.toString();
  }

  /// Whole words of memory, one a line.
  ///
  /// @param address of the first byte
  static void annotate(StringBuilder out, DeskQuestions desk, long address, List<Integer> bytes) {
    int skipped = (int) (-address & 7);
    List<Long> words = new ArrayList<>();
    for (int at = skipped; at + 8 <= bytes.size(); at += 8) {
      long word = 0;
      for (int i = 7; i >= 0; i--) {
        word = word << 8 | bytes.get(at + i);
      }
      words.add(word);
    }
    List<String> remarks = desk.annotations(address + skipped, words);
    for (int i = 0; i < words.size(); i++) {
      out.append(
          "%016x: %016x  %s"
              .formatted(address + skipped + 8L * i, words.get(i), Printable.of(remarks.get(i)))
              .stripTrailing());
      out.append('\n');
    }
  }
}
