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
import org.vmcheck.slab.SlabLayout;

/// Finds the members of a `kmem_cache` that cannot be right, and what they must hold.
///
/// Nearly all numbers of a cache are told by the others ([CacheNumbers]): a member is to blame if a
/// change of it alone makes all of them agree.
public final class CacheMembers {
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
  private final CacheNumbers rules;
  private final Map<String, Long> held = new LinkedHashMap<>();

  private CacheMembers(Kernel kernel, SlabCache cache, StructLayout layout) {
    this.kernel = kernel;
    this.cache = cache;
    this.layout = layout;
    this.rules = new CacheNumbers(kernel, cache);
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
    } else if (held.containsKey("align") && !CacheNumbers.isWords(held.get("align"))) {
      all.add(wrong("align", OptionalLong.empty(), false, "it is no multiple of 8"));
    }
    name().ifPresent(all::add);
    constructor().ifPresent(all::add);
    references().ifPresent(all::add);
    return all;
  }

  private Optional<Wrong> numbers() {
    List<CacheNumbers.Broken> broken = rules.broken(held);
    if (broken.isEmpty()) {
      return Optional.empty();
    }
    // What each member could hold instead for all rules to be kept.
    Map<String, Set<Long>> repairs = new LinkedHashMap<>();
    for (String name : held.keySet()) {
      if (broken.stream().noneMatch(rule -> rule.members().contains(name))) {
        continue;
      }
      for (long trial :
          rules.trials(name, held, member(name).orElseThrow().byteSize() >= 8 ? 64 : 32)) {
        if (rules.keeps(with(name, trial))) {
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
    String why =
        String.join(
            "; ", new LinkedHashSet<>(broken.stream().map(CacheNumbers.Broken::why).toList()));
    if (repairs.size() != 1) {
      String first = broken.getFirst().members().getFirst();
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
      int best =
          choice.stream().mapToInt(value -> rules.support(with(name, value))).max().orElseThrow();
      choice = choice.stream().filter(value -> rules.support(with(name, value)) == best).toList();
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
                + String.join(
                    " or ",
                    choice.stream().map(value -> CacheNumbers.number(name, value)).toList()));
  }

  private boolean isOneBit(String name, long value) {
    return Long.bitCount(held.get(name) ^ value) == 1;
  }

  private long near(String name, Map<String, Set<Long>> repairs) {
    return repairs.get(name).stream().filter(value -> isOneBit(name, value)).count();
  }

  private int support(String name, Set<Long> values) {
    return values.stream().mapToInt(value -> rules.support(with(name, value))).max().orElse(0);
  }

  private Map<String, Long> with(String name, long value) {
    Map<String, Long> changed = new HashMap<>(held);
    changed.put(name, value);
    return changed;
  }

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
}
