package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.desk.HashedPointers;
import org.vmcheck.desk.LeakSearch;
import org.vmcheck.desk.PatternSearch;
import org.vmcheck.desk.Places;
import org.vmcheck.desk.References;
import org.vmcheck.desk.WordReader;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.finding.FindAnswer;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MemoryPattern;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.RefsAnswer;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.kernel.Kernel;

/// The questions that an engineer asks behind the verdict: what a word is, what lies at an address.
/// Not safe for use by several threads at once.
public final class DeskQuestions {
  private final Kernel kernel;
  private final int threads;
  private final OpenOptions.Progress progress;
  private final Places places;
  private final WordReader reader;

  DeskQuestions(Kernel kernel, AnalysisOptions options) {
    this.kernel = kernel;
    this.threads = options.threads();
    this.progress = options.openOptions().progress();
    this.places = new Places(kernel);
    this.reader = new WordReader(places);
  }

  /// Everything that a word can be.
  ///
  /// @param at where it lies; empty if that is not known
  public WordAnswer word(long word, OptionalLong at) {
    return reader.read(word, at, true);
  }

  /// What lies at an address.
  public Place place(long address) {
    return places.at(address);
  }

  /// A short remark on each word of a piece of memory; empty where there is none worth making.
  ///
  /// @param address of the first word
  public List<String> annotations(long address, List<Long> words) {
    List<String> remarks = new ArrayList<>();
    for (int i = 0; i < words.size(); i++) {
      WordAnswer answer = reader.read(words.get(i), OptionalLong.of(address + 8L * i), false);
      remarks.add(
          switch (answer.best().kind()) {
            case NULL, NUMBER, UNKNOWN, TEXT, USER_POINTER, PER_CPU_OFFSET -> "";
            default -> answer.best().what();
          });
    }
    return remarks;
  }

  /// The log with the addresses behind its hashed pointers.
  ///
  /// @throws UnansweredException if the key of the hash cannot be read
  public UnhashedLog unhash(List<LogLine> lines) throws UnansweredException {
    Optional<HashedPointers.Result> result =
        HashedPointers.unhash(places, lines.stream().map(LogLine::text).toList());
    if (result.isEmpty()) {
      throw new UnansweredException(
          kernel.symbol("ptr_key").isEmpty()
              ? "pointers in the log cannot be turned back: the symbol ptr_key is not known"
              : "pointers in the log cannot be turned back: ptr_key cannot be read, or was not made"
                  + " yet");
    }
    return new UnhashedLog(
        lines.stream()
            .map(
                line ->
                    new LogLine(
                        line.timestampNanos(),
                        line.level(),
                        HashedPointers.unhashed(line.text(), result.get())))
            .toList(),
        result.get().asked(),
        result.get().pointers().size(),
        result.get().tried());
  }

  /// Who in memory leads to the object, symbol, stack, area or page that has an address.
  ///
  /// @param isExact whether only the address itself counts, and nothing else of what has it
  public RefsAnswer refs(long address, boolean isExact) {
    return new References(places)
        .to(
            address,
            isExact ? References.Extent.EXACT : References.Extent.WHOLE,
            threads,
            progress);
  }

  /// Objects in use that nothing leads to. What is known of slabs must be known.
  LeaksAnswer leaks(int examples) {
    return new LeakSearch(places).search(examples, threads, progress);
  }

  /// Where a pattern is in memory.
  ///
  /// @param most how many places are listed
  public FindAnswer find(MemoryPattern pattern, int most) {
    return new PatternSearch(places).find(pattern, most, threads, progress);
  }

  /// A log with pointers turned back.
  ///
  /// @param hashes different hashes in it
  /// @param found those of them that were turned back
  /// @param tried addresses that were hashed for it
  public record UnhashedLog(List<LogLine> lines, int hashes, int found, long tried) {
    public UnhashedLog {
      lines = List.copyOf(lines);
    }
  }
}
