package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabMemory;

/// A freelist that is wrong, with the memory of its slab and with what would be if words of it were
/// others. The good part of the list is walked, so that it is known which objects are on it.
final class BrokenList {
  private final Kernel kernel;
  private final FreelistDecoder decoder;
  private final SlabFault.Broken fault;
  private final Slab slab;
  private final SlabMemory memory;
  private final Freelist.Walker walker;

  /// Words put right, by address: what was found before on the same list.
  private final Map<Long, Long> repaired;

  private BrokenList(
      Kernel kernel, FreelistDecoder decoder, SlabFault.Broken fault, Map<Long, Long> repaired) {
    this.kernel = kernel;
    this.decoder = decoder;
    this.fault = fault;
    this.slab = fault.slab();
    this.repaired = Map.copyOf(repaired);
    this.memory = new SlabMemory(kernel.memory().physical());
    this.walker = new Freelist.Walker(decoder, memory);
    start(walker, memory);
  }

  /// The list of a fault.
  static BrokenList of(Kernel kernel, FreelistDecoder decoder, SlabFault.Broken fault) {
    return new BrokenList(kernel, decoder, fault, Map.of()).walked();
  }

  /// The same list, as long as it is found to be.
  BrokenList measured() {
    BrokenList trial = new BrokenList(kernel, decoder, fault, repaired);
    Freelist list = trial.walker.walk(slab, fault.head(), headSlot());
    return new BrokenList(
            kernel, decoder, new SlabFault.Broken(slab, fault.cpu(), fault.head(), list), repaired)
        .walked();
  }

  private BrokenList walked() {
    walker.walk(slab, fault.head(), headSlot());
    return this;
  }

  private void start(Freelist.Walker someWalker, SlabMemory itsMemory) {
    someWalker.start(slab);
    repaired.forEach(itsMemory::put);
  }

  /// The list as it is with one more word put right; as far as it goes then.
  BrokenList with(long slot, long word) {
    Map<Long, Long> more = new LinkedHashMap<>(repaired);
    more.put(slot, word);
    return new BrokenList(kernel, decoder, fault, more).measured();
  }

  boolean isRepaired(long slot) {
    return repaired.containsKey(slot);
  }

  Kernel kernel() {
    return kernel;
  }

  Slab slab() {
    return slab;
  }

  SlabCache cache() {
    return slab.cache();
  }

  SlabMemory memory() {
    return memory;
  }

  FreelistDecoder decoder() {
    return decoder;
  }

  SlabFault.Broken fault() {
    return fault;
  }

  /// How far it goes, and how it ends.
  Freelist list() {
    return fault.list();
  }

  /// Whether it is a CPU's own, whose length nothing counts.
  boolean isOfCpu() {
    return fault.cpu() >= 0;
  }

  /// How many objects the slab's counters call free; negative if there are fewer than in use.
  int free() {
    return slab.objects() - slab.inuse();
  }

  /// Whether the good part of the list meets an object.
  boolean isMet(int index) {
    return walker.isMet(index);
  }

  /// The objects of the good part, in list order.
  List<Integer> order() {
    return walker.lastMet(list());
  }

  /// What the slots of the objects on no list hold.
  Freelist.Unmet unmet() {
    return walker.readUnmet(slab);
  }

  /// The objects on no list.
  LostObjects lost() {
    return lost(new BitSet());
  }

  /// @param held objects that are elsewhere and not lost
  LostObjects lost(BitSet held) {
    return new LostObjects(slab, decoder, memory, walker, held);
  }

  /// Address of the head of the slab's own list.
  long headSlot() {
    return slab.address() + SlabCaches.of(kernel).layout().orElseThrow().freelistAt();
  }

  /// The word of an object that can be read.
  BadWord wordOf(int index) {
    long slot = slab.slot(index);
    long raw = memory.word(slot);
    return new BadWord(index, slot, raw, decode(raw, slot));
  }

  /// The head of the slab's own list.
  BadWord head() {
    return new BadWord(Freelist.HEAD, headSlot(), fault.head(), fault.head());
  }

  long decode(long raw, long slot) {
    return decoder.decode(raw, slot, cache().random());
  }

  /// What the allocator writes into a slot for a pointer: encoding is its own inverse.
  long encode(long pointer, long slot) {
    return decode(pointer, slot);
  }

  /// What a word must hold to lead to an object; a head holds it as it is.
  long encode(long pointer, BadWord word) {
    return word.isHead() ? pointer : encode(pointer, word.slot());
  }

  /// Targets that a word of the list may have: the end, and the objects that the list did not meet.
  List<Long> targets() {
    List<Long> targets = new ArrayList<>();
    targets.add(0L);
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (!isMet(i)) {
        targets.add(slab.object(i));
      }
    }
    return targets;
  }

  /// The list from an object on.
  Freelist rest(long target) {
    SlabMemory trialMemory = new SlabMemory(kernel.memory().physical());
    Freelist.Walker trial = new Freelist.Walker(decoder, trialMemory);
    start(trial, trialMemory);
    return trial.walk(slab, target, slab.address());
  }

  /// Whether the list, led on from an object, ends well; on a slab's own list the length must agree
  /// with the counters too.
  boolean closes(long target) {
    Freelist rest = rest(target);
    return rest.isClosed() && (isOfCpu() || list().length() + rest.length() == free());
  }

  // ---- words

  long physical(long vaddr) {
    return kernel.memory().physicalAddress(vaddr);
  }

  String targetWords(long target) {
    return target == 0
        ? "the end of the list"
        : "object %d of the slab, 0x%x".formatted(slab.index(target), target);
  }

  /// Where the list is left, as evidence.
  Evidence chain(BadWord word, String sentence) {
    return new Evidence.ChainBroken(
        fault.listName(),
        word.isHead() ? slab.address() : slab.object(word.holder()),
        word.decoded(),
        list().length(),
        sentence);
  }

  /// A word as evidence, with what it looks like.
  Evidence word(BadWord word) {
    return word(
        word,
        "the word at 0x%x is 0x%016x (%s)"
            .formatted(word.slot(), word.raw(), WordShape.of(kernel, word.raw()).words()));
  }

  Evidence word(BadWord word, String sentence) {
    return new Evidence.WordAt(
        word.slot(), physical(word.slot()), word.raw(), word.decoded(), sentence);
  }
}
