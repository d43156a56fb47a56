package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.Words;

/// The pointer is right, but for another slab: of this cache or, with its secret, another.
final class CrosslinkedPointer implements ListHypothesis {
  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    return leadsElsewhere(list, word)
        .map(evidence -> new Diagnosis(Cause.FREELIST_CROSSLINKED, word, evidence));
  }

  private static Optional<Evidence> leadsElsewhere(BrokenList list, BadWord word) {
    Optional<SlabCache> owner = owner(list, word.decoded());
    if (owner.isPresent()) {
      return Optional.of(objectOf(list, word.decoded(), owner.get()));
    }
    if (word.isHead() || list.decoder() == FreelistDecoder.PLAIN) {
      return Optional.empty();
    }
    Slab slab = list.slab();
    for (SlabCache other : SlabCaches.of(list.kernel()).caches()) {
      if (other.address() == slab.cache().address()) {
        continue;
      }
      long pointer = list.decoder().decode(word.raw(), word.slot(), other.random());
      if (owner(list, pointer).isPresent()) {
        return Optional.of(
            list.word(
                new BadWord(word.holder(), word.slot(), word.raw(), pointer),
                "the word at 0x%x was encoded with the secret of cache %s"
                    .formatted(word.slot(), Words.name(other))));
      }
      if (other.isSane() && slab.index(pointer) >= 0) {
        return Optional.of(
            list.word(
                new BadWord(word.holder(), word.slot(), word.raw(), pointer),
                "with the secret of cache %s the word at 0x%x leads to an object of this slab: the object was freed into the wrong cache"
                    .formatted(Words.name(other), word.slot())));
      }
    }
    return Optional.empty();
  }

  private static Evidence objectOf(BrokenList list, long pointer, SlabCache owner) {
    return new Evidence.WordAt(
        pointer,
        list.physical(pointer),
        Evidence.UNKNOWN,
        Evidence.UNKNOWN,
        owner.address() == list.cache().address()
            ? "0x%x is an object of another slab of the same cache".formatted(pointer)
            : "0x%x is an object of cache %s".formatted(pointer, Words.name(owner)));
  }

  /// The cache of the object at an address, if one starts there in another slab than the list's.
  static Optional<SlabCache> owner(BrokenList list, long pointer) {
    Kernel kernel = list.kernel();
    if (!kernel.memory().map().isDirectMap(pointer) || (pointer & 7) != 0) {
      return Optional.empty();
    }
    long pfn = kernel.memory().directMapPfn(pointer);
    PageState state = MemMap.of(kernel).orElseThrow().state(pfn);
    SlabCache owner = SlabCaches.of(kernel).byAddress().get(state.slabCache());
    if (state.kind() != PageState.Kind.SLAB || owner == null || !owner.isSane()) {
      return Optional.empty();
    }
    long base = kernel.memory().directMapPage(state.headPfn());
    long distance = pointer - base - owner.redLeftPad();
    return distance < 0 || distance % owner.size() != 0 || state.headPfn() == list.slab().pfn()
        ? Optional.empty()
        : Optional.of(owner);
  }
}
