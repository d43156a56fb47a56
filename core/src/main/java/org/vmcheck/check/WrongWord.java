package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.attribution.FlippedBit;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Words;

/// A word that other memory proves wrong, as a finding.
///
/// @param address of the word
/// @param value what it holds
/// @param right what it must hold; empty if that cannot be told
/// @param claim one sentence
/// @param why what proves it, a sentence
/// @param otherwise the cause if it is no flipped bit
/// @param place what a fingerprint says of it: names, no addresses
/// @param about the cache and the object that it is of; [Subject#NONE] where there is none
record WrongWord(
    long address,
    long value,
    OptionalLong right,
    String claim,
    String why,
    Cause otherwise,
    String place,
    Subject about) {

  private static final int MAX_FINDINGS = 32;
  private static final int MAX_NOTES = 5;

  /// Of no object of a slab.
  WrongWord(
      long address,
      long value,
      OptionalLong right,
      String claim,
      String why,
      Cause otherwise,
      String place) {
    this(address, value, right, claim, why, otherwise, place, Subject.NONE);
  }

  /// A value that is not known where it is 0.
  static OptionalLong known(long value) {
    return value == 0 ? OptionalLong.empty() : OptionalLong.of(value);
  }

  /// The first of the words that lie on pages which the dump holds as the kernel left them, as
  /// findings; how many do not becomes a note.
  static List<Finding> findings(
      List<WrongWord> words, String check, CheckContext context, List<Note> notes) {
    Kernel kernel = context.kernel().orElseThrow();
    List<Finding> findings = new ArrayList<>();
    long spoiled = 0;
    for (WrongWord word : words) {
      long physical = kernel.memory().physicalAddress(word.address);
      if (physical >= 0 && context.isSpoiled(kernel.memory().pfn(physical))) {
        spoiled++;
      } else if (findings.size() < MAX_FINDINGS) {
        findings.add(word.finding(check, kernel));
      }
    }
    if (spoiled > 0) {
      notes.add(
          new Note(
              "low memory",
              Words.plural(spoiled, "word lies on a page", "words lie on pages")
                  + " that the dump does not hold as the kernel left it"));
    }
    return findings;
  }

  /// What a pass over words looked at, and how much memory that was.
  static Map<String, String> facts(Map<String, Long> lookedAt, long bytes) {
    Map<String, String> facts = new LinkedHashMap<>();
    lookedAt.forEach((what, count) -> facts.put(what, count.toString()));
    facts.put("bytes", Long.toString(bytes));
    return facts;
  }

  /// The first of what CPUs were about to change, as notes; more can be added.
  static List<Note> halfWay(List<String> transients) {
    List<Note> notes = new ArrayList<>();
    transients.stream().limit(MAX_NOTES).forEach(text -> notes.add(new Note("half way", text)));
    return notes;
  }

  boolean isFlip() {
    return right.isPresent() && FlippedBit.isOne(value, right.getAsLong());
  }

  Cause cause() {
    return isFlip() && otherwise != Cause.TEXT_MODIFIED ? Cause.BIT_FLIP : otherwise;
  }

  Finding finding(String check, Kernel kernel) {
    long physical = kernel.memory().physicalAddress(address);
    List<Evidence> evidence = new ArrayList<>();
    if (right.isPresent()) {
      long known = right.getAsLong();
      evidence.add(
          new Evidence.WordAt(
              address,
              physical,
              value,
              known,
              "the word at 0x%x is 0x%x and must be 0x%x: %s"
                  .formatted(address, value, known, FlippedBit.words(value, known, physical))));
    } else {
      evidence.add(
          new Evidence.WordAt(
              address,
              physical,
              value,
              value,
              "the word at 0x%x is 0x%x".formatted(address, value)));
    }
    evidence.add(HexWindow.around(kernel, address, 8, why));
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        cause(),
        claim,
        about.withAddress(address, physical).withWord(value, right.orElse(value)),
        evidence,
        List.of(),
        Fingerprint.of(check, cause(), place));
  }
}
