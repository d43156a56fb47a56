package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.desk.Places;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Place;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.Oops;
import org.vmcheck.memory.MemoryRead;

/// Names the object over which the kernel oopsed on a poison-like address: a register of the oops
/// leads to it, and the poison that another register holds still stands in it. It is likely, not
/// proven: registers of an oops are a moment of it.
final class PoisonedOops {
  private static final int MAX_OBJECT_BYTES = 8192;

  /// How far a member is from the pointer that is followed.
  private static final long REACH = 4096;

  private static final String WITNESS = "log.witness";

  private final Kernel kernel;
  private final Places places;

  private PoisonedOops(Kernel kernel) {
    this.kernel = kernel;
    this.places = new Places(kernel);
  }

  /// An object that holds the poison.
  ///
  /// @param register that leads to it
  /// @param offset of the word in it
  private record Candidate(Place object, String register, long offset) {}

  static List<CheckOutcome> attach(
      List<CheckOutcome> outcomes, Kernel kernel, List<LogBuffer.Line> log) {
    // The first oops is the cause; later ones are often only fallout.
    Optional<Oops> oops = Oops.of(log).stream().filter(one -> !poisons(one).isEmpty()).findFirst();
    if (oops.isEmpty()) {
      return outcomes;
    }
    Optional<Note> note = new PoisonedOops(kernel).note(oops.get());
    return outcomes.stream()
        .map(
            outcome ->
                outcome instanceof CheckOutcome.Ran ran && ran.id().equals(WITNESS)
                    ? note.<CheckOutcome>map(found -> with(ran, found)).orElse(ran)
                    : outcome)
        .toList();
  }

  private static CheckOutcome.Ran with(CheckOutcome.Ran ran, Note note) {
    List<Note> notes = new ArrayList<>(ran.notes());
    notes.addFirst(note);
    return ran.withFindings(ran.findings(), notes);
  }

  /// Registers with a poison, where the address that faulted, if it is told, lies behind it.
  private static Map<String, Long> poisons(Oops oops) {
    Map<String, Long> poisons = new LinkedHashMap<>();
    Long fault = oops.registers().get("CR2");
    oops.registers()
        .forEach(
            (name, word) -> {
              boolean isNear =
                  fault == null || !isPoison(fault & -REACH) || Math.abs(fault - word) < REACH;
              if (!name.equals("CR2") && isPoison(word) && isNear) {
                poisons.put(name, word);
              }
            });
    return poisons;
  }

  /// What `list_del` leaves, and what SLUB fills a free object and one that was never written with
  /// (Linux `include/linux/poison.h`).
  private static boolean isPoison(long word) {
    return word >>> 32 == 0xdead_0000L
        || word == 0x6b6b_6b6b_6b6b_6b6bL
        || word == 0xa56b_6b6b_6b6b_6b6bL
        || word == 0x5a5a_5a5a_5a5a_5a5aL;
  }

  private Optional<Note> note(Oops oops) {
    List<Candidate> candidates = new ArrayList<>();
    long poison = 0;
    for (long word : poisons(oops).values()) {
      poison = word;
      for (Map.Entry<String, Long> register : oops.registers().entrySet()) {
        candidate(register.getKey(), register.getValue(), word)
            .filter(
                found ->
                    candidates.stream().noneMatch(c -> c.object.start() == found.object.start()))
            .ifPresent(candidates::add);
      }
    }
    if (candidates.size() != 1) {
      return Optional.empty();
    }
    Candidate found = candidates.getFirst();
    return Optional.of(
        new Note(
            "object of the oops",
            "likely over %s: %s led to it, and its word at +0x%x is still 0x%x, the poison that the oops%s followed"
                .formatted(
                    Printable.of(found.object.words(), 200),
                    found.register,
                    found.offset,
                    poison,
                    oops.function().isEmpty() ? "" : " in " + Printable.of(oops.function(), 80))));
  }

  private Optional<Candidate> candidate(String register, long word, long poison) {
    Place place = places.at(word);
    if (place.kind() != Place.Kind.SLAB_OBJECT || place.offset() < 0) {
      return Optional.empty();
    }
    int size = (int) Math.min(MAX_OBJECT_BYTES, place.size());
    if (kernel.memory().read(place.start(), size) instanceof MemoryRead.Bytes(ByteView bytes)) {
      for (int at = 0; at + 8 <= size; at += 8) {
        if (bytes.u64(at) == poison) {
          return Optional.of(new Candidate(place, register, at));
        }
      }
    }
    return Optional.empty();
  }
}
