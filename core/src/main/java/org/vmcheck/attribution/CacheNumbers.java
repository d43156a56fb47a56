package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFlags;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.Words;

/// The rule book of the numbers of a `kmem_cache` of SLUB: which of them follow from which.
///
/// SLUB computes nearly all from two, the size and the alignment that were asked for (Linux
/// `mm/slub.c`, calculate_sizes and oo_make; `include/linux/reciprocal_div.h`).
public final class CacheNumbers {
  private static final int MAX_SIZE = 1 << 23;
  private static final int MAX_ORDER = 11;

  private final Kernel kernel;
  private final SlabCache cache;
  private final Optional<SlabFlags> flags;
  private final long trackBytes;

  CacheNumbers(Kernel kernel, SlabCache cache) {
    this.kernel = kernel;
    this.cache = cache;
    this.flags = SlabCaches.of(kernel).layout().map(SlabLayout::flags);
    this.trackBytes = kernel.struct("track", "addr").map(StructLayout::size).orElse(0L);
  }

  /// A rule that some numbers break.
  ///
  /// @param members the ones that it compares, the likelier culprit first
  record Broken(List<String> members, String why) {}

  /// Values that a member could hold instead: with one bit flipped, or computed from the others.
  ///
  /// @param held what all members hold
  /// @param bits of the member
  Set<Long> trials(String name, Map<String, Long> held, int bits) {
    Set<Long> trials = new LinkedHashSet<>();
    long now = held.get(name);
    for (int bit = 0; bit < bits; bit++) {
      trials.add(now ^ 1L << bit);
    }
    long size = held.getOrDefault("size", 0L);
    long inuse = held.getOrDefault("inuse", 0L);
    switch (name) {
      case "size" -> {
        if (held.containsKey("reciprocal_size")) {
          trials.addAll(dividedBy(held.get("reciprocal_size")));
        }
      }
      case "reciprocal_size" -> trials.add(reciprocal(size));
      case "oo" -> {
        for (int order = 0; order <= MAX_ORDER && isSize(size); order++) {
          trials.add(orderAndCount(order, size));
        }
      }
      case "min" -> {
        if (isSize(size)) {
          trials.add(orderAndCount(leastOrder(size), size));
        }
      }
      case "inuse" -> trials.add(inuseOf(held));
      case "object_size" -> {
        for (int less = 0; less < 16; less++) {
          trials.add(inuse - less);
        }
      }
      case "offset" -> {
        for (long at = 0; at <= Math.min(size - 8, 1 << 16); at += 8) {
          trials.add(at);
        }
      }
      case "red_left_pad" -> trials.add(padOf(held));
      case "flags" ->
          flags.ifPresent(masks -> trials.add(now & ~(masks.poison() | masks.objectPoison())));
      default -> {}
    }
    trials.remove(now);
    return trials;
  }

  /// Whether all rules are kept, and those too that a repair must keep although a healthy cache
  /// might not.
  boolean keeps(Map<String, Long> v) {
    long size = v.get("size");
    return broken(v).isEmpty()
        && v.get("inuse") == inuseOf(v)
        && (!v.containsKey("align") || !isPowerOfTwo(v.get("align")) || size % v.get("align") == 0)
        && (!v.containsKey("min") || v.get("min") == orderAndCount(leastOrder(size), size))
        && (v.get("oo") >>> 16) >= leastOrder(size);
  }

  /// How many habits, which are no rules, a cache follows.
  int support(Map<String, Long> v) {
    long inuse = v.get("inuse");
    long offset = v.get("offset");
    boolean isOutside = offset >= inuse;
    int support = 0;
    if (v.containsKey("align") && !isDebug(v)) {
      long least = inuse + (isOutside ? 8 : 0);
      support += v.get("size") == roundUp(least, v.get("align")) ? 1 : 0;
    }
    // The pointer lies behind the object or, from 5.7 on, in its middle (3202fa62fb43 "slub:
    // relocate freelist pointer to middle of object"), before that at its start.
    support += offset == usualOffset(v) ? 1 : 0;
    if (flags.isPresent() && v.containsKey("red_left_pad")) {
      support += has(v, flags.get().redZone()) == (v.get("red_left_pad") != 0) ? 1 : 0;
    }
    return support;
  }

  private long usualOffset(Map<String, Long> v) {
    boolean isOutside =
        cache.hasConstructor()
            || flags
                .map(f -> (v.get("flags") & (f.poison() | f.typesafeByRcu())) != 0)
                .orElse(false);
    long middle = v.get("object_size") / 2 & ~7L;
    return isOutside ? v.get("inuse") : isMiddleUsual() ? middle : 0;
  }

  private boolean isMiddleUsual() {
    int middle = 0;
    int start = 0;
    for (SlabCache other : SlabCaches.of(kernel).caches()) {
      if (other.address() != cache.address() && other.objectSize() >= 16) {
        middle += other.offset() == (other.objectSize() / 2 & ~7) ? 1 : 0;
        start += other.offset() == 0 ? 1 : 0;
      }
    }
    return middle > start;
  }

  private boolean isDebug(Map<String, Long> v) {
    return flags
        .map(f -> (v.get("flags") & (f.redZone() | f.poison() | f.storeUser() | f.kasan())) != 0)
        .orElse(false);
  }

  private boolean has(Map<String, Long> v, long mask) {
    return (v.get("flags") & mask) != 0;
  }

  /// The rules that a healthy cache of every generation keeps, as far as these numbers break them.
  List<Broken> broken(Map<String, Long> v) {
    List<Broken> broken = new ArrayList<>();
    long size = v.get("size");
    long objectSize = v.get("object_size");
    long offset = v.get("offset");
    long inuse = v.get("inuse");
    if (!isSize(size)) {
      broken.add(
          new Broken(
              List.of("size"),
              "size is %d, no multiple of 8 from 8 to %d".formatted(size, MAX_SIZE)));
    }
    if (objectSize < 1 || objectSize > size) {
      broken.add(
          new Broken(
              List.of("object_size", "size"),
              "object_size is %d with size %d".formatted(objectSize, size)));
    }
    if (offset > size - 8 || (offset & 7) != 0) {
      broken.add(
          new Broken(
              List.of("offset", "size"), "offset is %d with size %d".formatted(offset, size)));
    }
    boolean isHalfMerged = inuse < roundUp(objectSize, 8) && mayBeMerging();
    if (isHalfMerged) {
      // Legal for an instant.
    } else if (inuse < objectSize || inuse > size || inuse > roundUp(objectSize, 8) + 8) {
      broken.add(
          new Broken(
              List.of("inuse", "object_size", "size"),
              "inuse is %d with object_size %d and size %d".formatted(inuse, objectSize, size)));
    } else if (inuse != inuseOf(v) && flags.filter(f -> has(v, f.kasan())).isEmpty()) {
      // Merging raises both alike, and a cache with red zones is never merged.
      broken.add(
          new Broken(
              List.of("inuse", "object_size", "flags"),
              "inuse is %d, and with object_size %d and these flags it is %d"
                  .formatted(inuse, objectSize, inuseOf(v))));
    }
    for (String name : List.of("oo", "min")) {
      if (v.containsKey(name) && !isOrderAndCount(v.get(name), size)) {
        broken.add(
            new Broken(
                List.of(name, "size"),
                "%s is %s with size %d".formatted(name, number(name, v.get(name)), size)));
      }
    }
    if (v.containsKey("reciprocal_size")
        && (!isSize(size) || v.get("reciprocal_size") != reciprocal(size))) {
      broken.add(
          new Broken(
              List.of("reciprocal_size", "size"),
              "reciprocal_size does not divide by the size %d".formatted(size)));
    }
    if (v.containsKey("align") && !isAlignment(v)) {
      broken.add(
          new Broken(
              List.of("align"),
              "align is %d, and objects are not aligned so".formatted(v.get("align"))));
    }
    flags.ifPresent(masks -> flags(v, masks, broken));
    return broken;
  }

  /// Debugging options that the object has no room for.
  private void flags(Map<String, Long> v, SlabFlags masks, List<Broken> broken) {
    long offset = v.get("offset");
    long inuse = v.get("inuse");
    if (has(v, masks.redZone())
        && v.containsKey("red_left_pad")
        && isPowerOfTwo(v.getOrDefault("align", 8L))
        && v.get("red_left_pad") != padOf(v)) {
      broken.add(
          new Broken(
              v.get("red_left_pad") == 0
                  ? List.of("flags", "red_left_pad")
                  : List.of("red_left_pad", "align", "flags"),
              "flags say that there are red zones and red_left_pad is " + v.get("red_left_pad")));
    }
    if (has(v, masks.poison() | masks.objectPoison()) && offset < inuse) {
      broken.add(
          new Broken(
              List.of("flags", "offset", "inuse"),
              "flags say that objects are poisoned and the free pointer, at %d, is in the poison"
                  .formatted(offset)));
    }
    long tracks = inuse + (offset >= inuse ? 8 : 0) + 2 * trackBytes;
    if (has(v, masks.storeUser()) && tracks > v.get("size")) {
      broken.add(
          new Broken(
              List.of("flags", "inuse", "size"),
              "flags say that users are recorded and %d bytes have no room for it"
                  .formatted(v.get("size"))));
    }
  }

  private static boolean isSize(long size) {
    return size >= 8 && size <= MAX_SIZE && (size & 7) == 0;
  }

  static boolean isWords(long align) {
    return align > 0 && (align & 7) == 0;
  }

  /// Whether an alignment can be right. A driver may ask for any number, which is rounded up to
  /// words; the kernel rounds the size with a mask, as if it were a power of two, and so shows one
  /// that it was given.
  private boolean isAlignment(Map<String, Long> v) {
    long align = v.get("align");
    long inuse = v.get("inuse");
    if (!isWords(align) || isPowerOfTwo(align)) {
      return isWords(align);
    }
    long least = inuse + (v.get("offset") >= inuse ? 8 : 0);
    return isDebug(v) || cache.refcount() > 1 || v.get("size") == ((least + align - 1) & -align);
  }

  /// Whether a CPU may be stopped between the two stores by which a cache that is merged into this
  /// one raises object_size and then inuse (`__kmem_cache_alias`): both under slab_mutex, whose
  /// first word names its owner.
  private boolean mayBeMerging() {
    OptionalLong mutex = kernel.symbol("slab_mutex");
    return cache.refcount() > 1
        && (mutex.isEmpty() || kernel.word(mutex.getAsLong()).orElse(1) != 0);
  }

  private static boolean isPowerOfTwo(long value) {
    return Long.bitCount(value) == 1;
  }

  private static long roundUp(long value, long align) {
    return align <= 0 ? value : (value + align - 1) / align * align;
  }

  private long inuseOf(Map<String, Long> v) {
    long objectSize = v.get("object_size");
    boolean isRed = flags.map(f -> has(v, f.redZone())).orElse(false);
    return roundUp(objectSize, 8) + (isRed && (objectSize & 7) == 0 ? 8 : 0);
  }

  private static long padOf(Map<String, Long> v) {
    return roundUp(8, v.getOrDefault("align", 8L));
  }

  private int leastOrder(long size) {
    int order = 0;
    while (cache.slabBytes(order) < size && order <= MAX_ORDER) {
      order++;
    }
    return order;
  }

  private long orderAndCount(long order, long size) {
    return order << 16 | Math.min(cache.slabBytes((int) order) / size, 32767);
  }

  private boolean isOrderAndCount(long value, long size) {
    return isSize(size)
        && value >>> 16 <= MAX_ORDER
        && (value & 0xffff) != 0
        && value == orderAndCount(value >>> 16, size);
  }

  /// `struct reciprocal_value` of a divisor as it lies in memory: m, sh1, sh2.
  static long reciprocal(long divisor) {
    if (divisor < 1) {
      return 0;
    }
    int log = 64 - Long.numberOfLeadingZeros(divisor - 1);
    long m = ((1L << 32) * ((1L << log) - divisor) / divisor + 1) & 0xffff_ffffL;
    return m | (long) Math.min(log, 1) << 32 | (long) Math.max(log - 1, 0) << 40;
  }

  /// The sizes that a reciprocal divides by: one, or none.
  private static Set<Long> dividedBy(long reciprocal) {
    Set<Long> sizes = new LinkedHashSet<>();
    int log = (int) (reciprocal >>> 40 & 0xff) + 1;
    if (log > 3 && log <= 23) {
      for (long size = Math.max(8, (1L << (log - 1)) & ~7L); size <= 1L << log; size += 8) {
        if (reciprocal(size) == reciprocal) {
          sizes.add(size);
        }
      }
    }
    return sizes;
  }

  /// A number as it is best read.
  public static String number(String name, long value) {
    return switch (name) {
      case "oo", "min" ->
          "0x%x (order %d, %s)"
              .formatted(value, value >>> 16, Words.plural(value & 0xffff, "object", "objects"));
      case "size", "object_size", "offset", "inuse", "align", "red_left_pad" ->
          Long.toString(value);
      default -> "0x" + Long.toHexString(value);
    };
  }
}
