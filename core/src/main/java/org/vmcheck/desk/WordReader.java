package org.vmcheck.desk;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.Reading;
import org.vmcheck.finding.Reading.Grade;
import org.vmcheck.finding.Reading.Kind;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabView;

/// Reads a 64-bit word as everything that it can be, the likeliest first. Not safe for use by
/// several threads at once.
public final class WordReader {
  /// Above this bit a flip leads out of any memory: which one it was is beyond doubt.
  private static final int HIGH_BIT = 32;

  /// Below this bit nearly every address is one flip from some object.
  private static final int LOW_BIT = 12;

  private static final int MAX_REPAIRS = 8;

  private final Places places;
  private final Kernel kernel;
  private Odds odds;

  public WordReader(Places places) {
    this.places = places;
    this.kernel = places.kernel();
  }

  /// Reads a word.
  ///
  /// @param at where it lies, which tells an encoded free pointer; empty if that is not known
  /// @param deep whether to look for what takes longer: pointers that were hashed
  public WordAnswer read(long word, OptionalLong at, boolean deep) {
    List<Reading> readings = new ArrayList<>();
    if (word == 0) {
      readings.add(reading(Kind.NULL, Grade.PROVEN, "0: NULL", ""));
    }
    Poison.of(word)
        .ifPresent(
            what ->
                readings.add(
                    reading(
                        Kind.POISON,
                        Grade.LIKELY,
                        what,
                        "healthy dumps have thousands of these: only the place makes one"
                            + " evidence")));
    if (Errors.is(word)) {
      readings.add(
          reading(Kind.ERROR, Grade.LIKELY, Errors.words(word), "as an error pointer or a result"));
    }
    at.ifPresent(slot -> freePointer(word, slot).ifPresent(readings::add));
    Place place = places.at(word);
    if (!Errors.is(word)) {
      pointer(word, place, readings);
    }
    if (!place.isSomething() && word != 0) {
      if (readings.isEmpty()) {
        text(word).ifPresent(readings::add);
      }
      if (readings.isEmpty() && word >>> 32 != 0) {
        readings.addAll(flipped(word));
      }
      readings.addAll(numbers(word, deep));
    }
    if (readings.isEmpty()) {
      readings.add(
          reading(
              Kind.UNKNOWN,
              Grade.GUESS,
              "not recognised",
              kernel.memory().paging().isCanonical(word)
                  ? ""
                  : "it is no canonical address: whoever follows it takes a general protection"
                      + " fault"));
    }
    readings.sort(Comparator.comparing(Reading::grade));
    return new WordAnswer(word, readings);
  }

  private static Reading reading(Kind kind, Grade grade, String what, String why) {
    return new Reading(kind, grade, what, why, Optional.empty());
  }

  private Odds odds() {
    if (odds == null) {
      odds =
          Odds.measure(
              kernel.memory().map().directMap().zero(),
              kernel.memory().paddr(kernel.memory().physical().endPfn()),
              this::isObjectStart);
    }
    return odds;
  }

  // ---- pointers

  private void pointer(long word, Place place, List<Reading> readings) {
    if (!place.isSomething()) {
      if (word > 0xffff && kernel.memory().paging().isCanonical(word) && word >>> 40 != 0) {
        boolean isText = text(word).isPresent();
        if (!isText) {
          readings.add(
              reading(
                  Kind.USER_POINTER,
                  Grade.GUESS,
                  "an address of a user's program",
                  "it is canonical and in the lower half"));
        }
      }
      return;
    }
    long tag = word & 7;
    if (place.kind() == Place.Kind.SLAB_OBJECT && tag != 0 && place.offset() == tag) {
      Place start = places.at(word - tag);
      readings.add(
          new Reading(
              Kind.TAGGED_POINTER,
              Grade.LIKELY,
              start.words() + ", with tag 0x%x in its low bits".formatted(tag),
              "xarray, maple tree, rbtree, mutex and page links keep flags there",
              Optional.of(start)));
      readings.add(new Reading(Kind.POINTER, Grade.GUESS, place.words(), "", Optional.of(place)));
      return;
    }
    boolean isBare = place.kind() == Place.Kind.PAGE || place.kind() == Place.Kind.MAPPED;
    readings.add(
        new Reading(
            Kind.POINTER,
            isBare ? Grade.GUESS : Grade.LIKELY,
            place.words(),
            place.kind() == Place.Kind.SLAB_OBJECT ? odds().ofStart(place) : "",
            Optional.of(place)));
  }

  /// A free pointer as it is stored, of a word whose address is known: it leads to an object of the
  /// slab that it lies in, or ends the list.
  private Optional<Reading> freePointer(long word, long slot) {
    Optional<SlabView> view = places.slab(slot);
    Optional<FreelistDecoder> decoder = places.decoder();
    if (view.isEmpty() || decoder.isEmpty()) {
      return Optional.empty();
    }
    Slab slab = view.get().slab();
    int index = slab.indexHolding(slot);
    if (index < 0 || slab.slot(index) != slot) {
      return Optional.empty();
    }
    long decoded = decoder.get().decode(word, slot, slab.cache().random());
    int next = slab.index(decoded);
    SlabView.FreeObjects list = view.get().listOf(index);
    boolean isOnList = list != null && list.kind() == SlabView.Kind.LIST;
    if (decoded != 0 && next < 0) {
      return Optional.empty();
    }
    if (!isOnList && decoder.get() == FreelistDecoder.PLAIN) {
      return Optional.empty(); // An ordinary pointer to a neighbour, or a zero.
    }
    return Optional.of(
        reading(
            Kind.FREE_POINTER,
            isOnList ? Grade.PROVEN : Grade.LIKELY,
            "free pointer of %s object %d, %s"
                .formatted(
                    slab.cache().name(),
                    index,
                    decoded == 0
                        ? "the last of its list"
                        : "leads to object %d at 0x%x".formatted(next, decoded)),
            isOnList
                ? "the object is " + list.stateWords()
                : "the object is on no list: what it held when it was free"));
  }

  /// Whether an address is the start of a slab object, told without its lists.
  boolean isObjectStart(long address) {
    if (!kernel.memory().map().isDirectMap(address) || MemMap.of(kernel).isEmpty()) {
      return false;
    }
    PageState state = MemMap.of(kernel).get().state(kernel.memory().directMapPfn(address));
    SlabCache cache =
        state.kind() == PageState.Kind.SLAB
            ? SlabCaches.of(kernel).byAddress().get(state.slabCache())
            : null;
    if (cache == null || !cache.isSane()) {
      return false;
    }
    long base = kernel.memory().directMapPage(state.headPfn());
    long distance = address - base - cache.redLeftPad();
    return distance >= 0 && distance % cache.size() == 0;
  }

  /// Pointers that differ from a word, which leads nowhere, in one bit.
  private List<Reading> flipped(long word) {
    List<Place> found = new ArrayList<>();
    List<Integer> bits = new ArrayList<>();
    for (int bit = 0; bit < 64 && found.size() < MAX_REPAIRS; bit++) {
      long repaired = word ^ 1L << bit;
      if (repaired >= 0 || Errors.is(repaired)) {
        continue;
      }
      Place place = places.at(repaired);
      boolean isGood =
          switch (place.kind()) {
            case NOT_MAPPED, MAPPED, PAGE, SLAB -> false;
            case SLAB_OBJECT -> isObjectStart(repaired) || bit >= HIGH_BIT;
            default -> true;
          };
      if (isGood) {
        found.add(place);
        bits.add(bit);
      }
    }
    List<Reading> readings = new ArrayList<>();
    for (int i = 0; i < found.size(); i++) {
      int bit = bits.get(i);
      boolean isClear = found.size() == 1 && bit >= HIGH_BIT;
      readings.add(
          new Reading(
              Kind.FLIPPED_POINTER,
              isClear ? Grade.LIKELY : Grade.GUESS,
              "with bit %d flipped: %s".formatted(bit, found.get(i).words()),
              found.size() > 1
                  ? "%d single bits make a pointer of it: none is to be believed without more"
                      .formatted(found.size())
                  : isClear
                      ? "no other single bit of 64 makes a pointer of it"
                      : bit < LOW_BIT
                          ? "a bit below 12 shows nothing: " + odds().ofOneBit()
                          : odds().ofOneBit(),
              Optional.of(found.get(i))));
    }
    return readings;
  }

  // ---- what is no address

  private static Optional<Reading> text(long word) {
    byte[] bytes = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(word).array();
    int length = 8;
    while (length > 0 && bytes[length - 1] == 0) {
      length--;
    }
    for (int i = 0; i < length; i++) {
      if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
        return Optional.empty();
      }
    }
    return length < 6
        ? Optional.empty()
        : Optional.of(
            reading(
                Kind.TEXT,
                length == 8 ? Grade.LIKELY : Grade.GUESS,
                "text \"%s\"".formatted(new String(bytes, 0, length, StandardCharsets.US_ASCII)),
                "%d of 8 bytes are printable".formatted(length)));
  }

  private List<Reading> numbers(long word, boolean deep) {
    List<Reading> readings = new ArrayList<>();
    if (deep && word >>> 32 == 0 && word > 1 << 16) {
      hashed((int) word).ifPresent(readings::add);
    }
    number(word).ifPresent(readings::add);
    places
        .perCpuPointer(word)
        .ifPresent(
            name ->
                readings.add(
                    reading(
                        Kind.PER_CPU_OFFSET,
                        Grade.GUESS,
                        "per-CPU pointer to " + name,
                        "as this_cpu code and structures hold it")));
    return readings;
  }

  private Optional<Reading> number(long word) {
    if (word < 0 || word >>> 48 != 0) {
      return Optional.empty();
    }
    long end = kernel.memory().physical().endPfn();
    StringBuilder what = new StringBuilder("the number ").append(word);
    if (word >= kernel.memory().pageSize() && word < kernel.memory().paddr(end)) {
      what.append("; as a physical address: ")
          .append(places.at(kernel.memory().map().directMapAddress(word)).words());
    } else if (word > 0 && word < end) {
      what.append("; as a page frame: ")
          .append(MemMap.of(kernel).map(m -> m.state(word).kind().words()).orElse("not known"));
    }
    if (word > 0 && word < 1 << 22) {
      places
          .callStacks()
          .tasks()
          .byPid((int) word)
          .ifPresent(task -> what.append("; PID of \"").append(task.comm()).append('"'));
    }
    return Optional.of(reading(Kind.NUMBER, Grade.GUESS, what.toString(), ""));
  }

  private Optional<Reading> hashed(int printed) {
    return HashedPointers.of(places)
        .flatMap(
            hashes -> {
              HashedPointers.Result result = hashes.of(Set.of(printed));
              return Optional.ofNullable(result.pointers().get(printed))
                  .map(
                      pointer ->
                          new Reading(
                              Kind.HASHED_POINTER,
                              pointer.others() == 0 ? Grade.LIKELY : Grade.GUESS,
                              "what %%p prints of 0x%x: %s"
                                  .formatted(
                                      pointer.address(), places.at(pointer.address()).words()),
                              "recovered from the pointer hash with ptr_key; chance gives one in"
                                  + " %,d".formatted((long) (1 / result.expectedByChance())),
                              Optional.of(places.at(pointer.address()))));
            });
  }
}
