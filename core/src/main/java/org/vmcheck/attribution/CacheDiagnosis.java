package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabMemory;
import org.vmcheck.slab.Words;

/// One member of a `kmem_cache` that is wrong: it makes every slab of the cache look broken, and
/// with its right value all of them are whole.
///
/// @param member of `kmem_cache`
/// @param value what it holds
/// @param expected what it must hold
/// @param closed freelists that close with that value, of those that were broken
public record CacheDiagnosis(
    SlabCache cache, String member, long value, long expected, int closed) {
  private static final int MIN_BROKEN = 2;

  /// Objects that one list alone must have for its closing to be no chance.
  private static final int MIN_OBJECTS = 3;

  /// Looks for one value that makes all broken freelists of a cache close.
  public static Optional<CacheDiagnosis> ofBroken(
      Kernel kernel, FreelistDecoder decoder, List<SlabFault.Broken> broken) {
    if (broken.size() < MIN_BROKEN && freeObjects(broken.getFirst()) < MIN_OBJECTS) {
      return Optional.empty();
    }
    SlabCache cache = broken.getFirst().cache();
    if (decoder != FreelistDecoder.PLAIN) {
      for (long random : secrets(kernel, decoder, broken)) {
        // Lists that close with the secret as it is are broken by each other, not by it.
        if (random != cache.random()
            && allClose(kernel, decoder, broken, c -> c.withRandom(random))) {
          return Optional.of(
              new CacheDiagnosis(cache, "random", cache.random(), random, broken.size()));
        }
      }
    }
    for (int offset = 0; offset <= cache.size() - 8; offset += 8) {
      int trial = offset;
      if (trial != cache.offset() && allClose(kernel, decoder, broken, c -> c.withOffset(trial))) {
        return Optional.of(
            new CacheDiagnosis(cache, "offset", cache.offset(), trial, broken.size()));
      }
    }
    return Optional.empty();
  }

  /// Secrets under which the first pointers of two broken lists, or of the only one, make sense.
  private static Set<Long> secrets(
      Kernel kernel, FreelistDecoder decoder, List<SlabFault.Broken> broken) {
    Set<Long> common = null;
    for (SlabFault.Broken fault : broken.subList(0, Math.min(MIN_BROKEN, broken.size()))) {
      Slab slab = fault.slab();
      int first = slab.index(fault.head());
      SlabMemory memory = new SlabMemory(kernel.memory().physical());
      memory.set(slab);
      if (first < 0 || !memory.isReadable(slab.slot(first))) {
        return Set.of();
      }
      long slot = slab.slot(first);
      Set<Long> candidates = new HashSet<>();
      for (int i = -1; i < slab.walkableObjects(); i++) {
        long target = i < 0 ? 0 : slab.object(i);
        // Decoding with a secret of zero leaves the secret XOR the pointer.
        candidates.add(decoder.decode(memory.word(slot), slot, 0) ^ target);
      }
      if (common == null) {
        common = candidates;
      } else {
        common.retainAll(candidates);
      }
    }
    return common;
  }

  /// How many objects the list can have: by the slab's counters, or, as nothing counts a CPU's own
  /// list, all.
  private static int freeObjects(SlabFault.Broken fault) {
    Slab slab = fault.slab();
    return fault.cpu() >= 0 ? slab.walkableObjects() : slab.objects() - slab.inuse();
  }

  /// Whether a list that closes is all of it.
  private static boolean isWhole(SlabFault.Broken fault, Freelist list) {
    return list.length() >= MIN_OBJECTS
        && (fault.cpu() >= 0 || list.length() == freeObjects(fault));
  }

  private static boolean allClose(
      Kernel kernel,
      FreelistDecoder decoder,
      List<SlabFault.Broken> broken,
      Function<SlabCache, SlabCache> change) {
    SlabMemory memory = new SlabMemory(kernel.memory().physical());
    Freelist.Walker walker = new Freelist.Walker(decoder, memory);
    for (SlabFault.Broken fault : broken) {
      Slab slab = fault.slab().withCache(change.apply(fault.cache()));
      walker.start(slab);
      Freelist list = walker.walk(slab, fault.head(), slab.address());
      // A plain word of zero ends any list: it must be the right end.
      boolean isRight = fault.cpu() >= 0 || list.length() == slab.objects() - slab.inuse();
      if (!list.isClosed() || !isRight || (broken.size() < MIN_BROKEN && !isWhole(fault, list))) {
        return false;
      }
    }
    return true;
  }

  /// The finding at the member.
  public Finding finding(Kernel kernel, String check) {
    Member layout =
        SlabCaches.of(kernel).layout().orElseThrow().cache().member(member).orElseThrow();
    long address = cache.address() + layout.offset();
    long raw =
        kernel.memory().read(address, 8) instanceof MemoryRead.Bytes(ByteView view)
            ? view.u64(0)
            : value;
    int bits = Long.bitCount(value ^ expected);
    Cause cause = bits == 1 ? Cause.BIT_FLIP : Cause.METADATA_OVERWRITTEN;
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.WhatIf(
            "kmem_cache." + member,
            closed == 1
                ? "with %s = 0x%x the one broken freelist of the cache closes"
                    .formatted(member, expected)
                : "with %s = 0x%x all %d broken freelists of the cache close"
                    .formatted(member, expected, closed)));
    evidence.add(
        new Evidence.WordAt(
            address,
            kernel.memory().physicalAddress(address),
            value,
            expected,
            "%s at 0x%x is 0x%x, %s from 0x%x"
                .formatted(member, address, value, Words.plural(bits, "bit", "bits"), expected)));
    evidence.add(HexWindow.around(kernel, address, (int) layout.byteSize(), "the cache's members"));
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        "kmem_cache.%s of cache %s is overwritten".formatted(member, Words.name(cache)),
        Subject.cache(Words.name(cache))
            .withAddress(address, kernel.memory().physicalAddress(address))
            .withWord(raw, Evidence.UNKNOWN),
        evidence,
        List.of(),
        Fingerprint.of(check, cause, Words.name(cache), "kmem_cache." + member));
  }
}
