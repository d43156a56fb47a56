package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFlags;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.Words;

/// Finds the members of a `kmem_cache` that cannot be right, and what they must hold.
///
/// SLUB computes nearly all of them from two, the size and the alignment that were asked for (Linux
/// `mm/slub.c`, calculate_sizes and oo_make; `include/linux/reciprocal_div.h`), so each number is
/// told by the others: a member is to blame if a change of it alone makes all of them agree.
public final class CacheMembers {
  private static final int MAX_SIZE = 1 << 23;
  private static final int MAX_ORDER = 11;

  /// The members that are computed from one another.
  private static final List<String> NUMBERS =
      List.of(
          "size",
          "object_size",
          "reciprocal_size",
          "offset",
          "oo",
          "min",
          "inuse",
          "align",
          "red_left_pad",
          "flags");

  /// The members that say where in an object the bytes lie that debugging options fix.
  private static final Set<String> GEOMETRY =
      Set.of("size", "object_size", "offset", "inuse", "align", "red_left_pad", "flags");

  /// The members that say where objects and their free pointers lie.
  private static final Set<String> STRIDE = Set.of("size", "offset", "red_left_pad", "flags");

  private final Kernel kernel;
  private final SlabCache cache;
  private final StructLayout layout;
  private final Optional<SlabFlags> flags;
  private final long trackBytes;
  private final Map<String, Long> held = new LinkedHashMap<>();

  private CacheMembers(Kernel kernel, SlabCache cache, StructLayout layout) {
    this.kernel = kernel;
    this.cache = cache;
    this.layout = layout;
    this.flags = SlabCaches.of(kernel).layout().map(SlabLayout::flags);
    this.trackBytes = kernel.struct("track", "addr").map(StructLayout::size).orElse(0L);
    for (String name : NUMBERS) {
      member(name).ifPresent(m -> read(m).ifPresent(value -> held.put(name, value)));
    }
  }

  /// A member that cannot be right.
  ///
  /// @param name of the member
  /// @param address of it
  /// @param value what it holds
  /// @param expected what it must hold, where only one value will do
  /// @param isOneBit whether one flipped bit explains it
  /// @param why what contradicts it, a clause
  public record Wrong(
      String name,
      long address,
      int byteCount,
      long value,
      OptionalLong expected,
      boolean isOneBit,
      String why) {
    /// Whether the freelists are looked for in the wrong places with it.
    public boolean isStride() {
      return STRIDE.contains(name);
    }

    /// Whether the bytes that debugging options fix are looked for in the wrong places with it.
    boolean isGeometry() {
      return GEOMETRY.contains(name);
    }
  }

  /// The members of a cache that cannot be right: none of a healthy one.
  public static List<Wrong> wrong(Kernel kernel, SlabCache cache) {
    Optional<StructLayout> layout =
        switch (SlabCaches.of(kernel).detection()) {
          case SlabLayout.Detection.Known(SlabLayout known) -> Optional.of(known.cache());
          case SlabLayout.Detection.Old(var old) -> Optional.of(old.cache());
          case SlabLayout.Detection.Unknown _ -> Optional.empty();
        };
    return layout.map(one -> new CacheMembers(kernel, cache, one).wrong()).orElse(List.of());
  }

  private List<Wrong> wrong() {
    List<Wrong> all = new ArrayList<>();
    if (cache.allocator() == SlabCache.Allocator.SLUB) {
      numbers().ifPresent(all::add);
    } else if (held.containsKey("align") && !isWords(held.get("align"))) {
      all.add(wrong("align", OptionalLong.empty(), false, "it is no multiple of 8"));
    }
    name().ifPresent(all::add);
    constructor().ifPresent(all::add);
    references().ifPresent(all::add);
    return all;
  }

  // ---- the numbers

  /// A rule that some numbers break.
  ///
  /// @param members the ones that it compares, the likelier culprit first
  private record Broken(List<String> members, String why) {}

  private Optional<Wrong> numbers() {
    List<Broken> broken = broken(held);
    if (broken.isEmpty()) {
      return Optional.empty();
    }
    // What each member could hold instead for all rules to be kept.
    Map<String, Set<Long>> repairs = new LinkedHashMap<>();
    for (String name : held.keySet()) {
      if (broken.stream().noneMatch(rule -> rule.members.contains(name))) {
        continue;
      }
      for (long trial : trials(name)) {
        if (keeps(with(name, trial))) {
          repairs.computeIfAbsent(name, _ -> new TreeSet<>()).add(trial);
        }
      }
    }
    if (repairs.size() > 1) {
      int best =
          repairs.entrySet().stream()
              .mapToInt(one -> support(one.getKey(), one.getValue()))
              .max()
              .orElseThrow();
      repairs.entrySet().removeIf(one -> support(one.getKey(), one.getValue()) < best);
    }
    if (repairs.size() > 1 && repairs.keySet().stream().anyMatch(name -> near(name, repairs) > 0)) {
      repairs.keySet().removeIf(name -> near(name, repairs) == 0);
    }
    String why = String.join("; ", new LinkedHashSet<>(broken.stream().map(Broken::why).toList()));
    if (repairs.size() != 1) {
      String first = broken.getFirst().members.getFirst();
      return Optional.of(
          wrong(
              first,
              OptionalLong.empty(),
              false,
              why
                  + (repairs.isEmpty()
                      ? ""
                      : "; either of " + String.join(" and ", repairs.keySet()) + " is wrong")));
    }
    String name = repairs.keySet().iterator().next();
    return Optional.of(repaired(name, List.copyOf(repairs.get(name)), why));
  }

  private Wrong repaired(String name, List<Long> values, String why) {
    List<Long> near = values.stream().filter(value -> isOneBit(name, value)).toList();
    List<Long> choice = near.isEmpty() ? values : near;
    if (choice.size() > 1) {
      int best = choice.stream().mapToInt(value -> support(with(name, value))).max().orElseThrow();
      choice = choice.stream().filter(value -> support(with(name, value)) == best).toList();
    }
    boolean isKnown = choice.size() == 1;
    // Any power of two is one bit away from zero: that shows nothing.
    boolean isOneBit = !near.isEmpty() && held.get(name) != 0;
    return wrong(
        name,
        isKnown ? OptionalLong.of(choice.getFirst()) : OptionalLong.empty(),
        isOneBit,
        isKnown || choice.size() > 4
            ? why
            : why
                + "; it would fit with "
                + String.join(" or ", choice.stream().map(value -> number(name, value)).toList()));
  }

  private boolean isOneBit(String name, long value) {
    return Long.bitCount(held.get(name) ^ value) == 1;
  }

  private long near(String name, Map<String, Set<Long>> repairs) {
    return repairs.get(name).stream().filter(value -> isOneBit(name, value)).count();
  }

  private int support(String name, Set<Long> values) {
    return values.stream().mapToInt(value -> support(with(name, value))).max().orElse(0);
  }

  private Map<String, Long> with(String name, long value) {
    Map<String, Long> changed = new HashMap<>(held);
    changed.put(name, value);
    return changed;
  }

  /// Values that a member could hold instead: with one bit flipped, or computed from the others.
  private Set<Long> trials(String name) {
    Set<Long> trials = new LinkedHashSet<>();
    int bits = member(name).orElseThrow().byteSize() >= 8 ? 64 : 32;
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
  private boolean keeps(Map<String, Long> v) {
    long size = v.get("size");
    return broken(v).isEmpty()
        && v.get("inuse") == inuseOf(v)
        && (!v.containsKey("align") || !isPowerOfTwo(v.get("align")) || size % v.get("align") == 0)
        && (!v.containsKey("min") || v.get("min") == orderAndCount(leastOrder(size), size))
        && (v.get("oo") >>> 16) >= leastOrder(size);
  }

  /// How many habits, which are no rules, a cache follows.
  private int support(Map<String, Long> v) {
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
  private List<Broken> broken(Map<String, Long> v) {
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

  private static boolean isWords(long align) {
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

  // ---- the rest

  private Optional<Wrong> name() {
    OptionalLong word = member("name").map(this::read).orElse(OptionalLong.empty());
    if (word.isEmpty()
        || !(kernel.memory().read(word.getAsLong(), 1) instanceof MemoryRead.NotMapped)) {
      return Optional.empty();
    }
    List<Long> fits = new ArrayList<>();
    for (int bit = 0; bit < 64; bit++) {
      long trial = word.getAsLong() ^ 1L << bit;
      if (kernel.string(trial, 128).filter(CacheMembers::isName).isPresent()) {
        fits.add(trial);
      }
    }
    String why = "it points to no memory";
    return Optional.of(
        fits.size() == 1 && word.getAsLong() != 0
            ? wrong(
                "name",
                OptionalLong.of(fits.getFirst()),
                true,
                why
                    + "; with one bit flipped back the name is "
                    + Printable.of(kernel.string(fits.getFirst(), 128).orElse(""), 60))
            : wrong("name", OptionalLong.empty(), false, why));
  }

  private static boolean isName(String text) {
    return text.length() > 1
        && text.length() < 128
        && text.chars().allMatch(c -> c > 0x20 && c < 0x7f);
  }

  private Optional<Wrong> constructor() {
    OptionalLong word = member("ctor").map(this::read).orElse(OptionalLong.empty());
    if (word.isEmpty() || word.getAsLong() == 0 || mayBeText(word.getAsLong())) {
      return Optional.empty();
    }
    List<Long> fits = new ArrayList<>();
    for (int bit = 0; bit < 64; bit++) {
      long trial = word.getAsLong() ^ 1L << bit;
      if (mayBeText(trial) && isSymbol(kernel.describe(trial))) {
        fits.add(trial);
      }
    }
    String why = "it points to no code";
    return Optional.of(
        fits.size() == 1
            ? wrong("ctor", OptionalLong.of(fits.getFirst()), true, why)
            : wrong("ctor", OptionalLong.empty(), false, why));
  }

  private static boolean isSymbol(String described) {
    return !described.startsWith("0x") && !described.contains("+");
  }

  /// Code of the kernel lies between two symbols, code of modules above the image.
  private boolean mayBeText(long address) {
    if (!kernel.memory().map().mayBeCode(address)) {
      return false;
    }
    OptionalLong start = kernel.symbol("_text");
    OptionalLong textEnd = kernel.symbol("_etext");
    OptionalLong end = kernel.symbol("_end");
    boolean isInImage =
        start.isPresent()
            && end.isPresent()
            && address >= start.getAsLong()
            && address < end.getAsLong();
    return !isInImage || textEnd.isEmpty() || address < textEnd.getAsLong();
  }

  /// A cache that is destroyed counts 0, one that is never shared or freed -1.
  private Optional<Wrong> references() {
    if (cache.refcount() >= -1) {
      return Optional.empty();
    }
    boolean isOneBit = Integer.bitCount(cache.refcount() ^ -1) == 1;
    return Optional.of(
        wrong(
            "refcount",
            isOneBit ? OptionalLong.of(0xffff_ffffL) : OptionalLong.empty(),
            isOneBit,
            "no cache counts " + cache.refcount()));
  }

  private Wrong wrong(String name, OptionalLong expected, boolean isOneBit, String why) {
    Member member = member(name).orElseThrow();
    return new Wrong(
        name,
        cache.address() + member.offset(),
        (int) Math.min(8, member.byteSize()),
        read(member).orElse(0),
        expected,
        isOneBit,
        why);
  }

  private Optional<Member> member(String name) {
    return name.equals("oo") || name.equals("min")
        ? layout.firstMember(name + ".x", name)
        : layout.member(name);
  }

  private OptionalLong read(Member member) {
    long address = cache.address() + member.offset();
    int count = (int) Math.min(8, member.byteSize());
    if (!(kernel.memory().read(address, count) instanceof MemoryRead.Bytes(ByteView view))) {
      return OptionalLong.empty();
    }
    if (member.name().equals("reciprocal_size")) {
      // Behind the two shifts there are two bytes that belong to nobody.
      return count < 6
          ? OptionalLong.empty()
          : OptionalLong.of(view.u32(0) | (long) view.u8(4) << 32 | (long) view.u8(5) << 40);
    }
    return OptionalLong.of(count >= 8 ? view.u64(0) : view.u32(0));
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
