package org.vmcheck.desk;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Task;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;
import org.vmcheck.task.StackSpan;

/// Turns what `%p` printed back into addresses: each address that a message can be about is hashed
/// with the kernel's own key and compared.
public final class HashedPointers {
  /// A pointer's 16 digits, the first eight zero, and not all of them: `%p` prints a null pointer
  /// as it is.
  private static final Pattern PRINTED =
      Pattern.compile("(?<![0-9a-fA-F])00000000(?!00000000)([0-9a-f]{8})(?![0-9a-fA-F])");

  /// Lines whose digits are registers or physical ranges, which are printed as they are.
  private static final Pattern PLAIN =
      Pattern.compile(
          "\\b(?:R[A-Z0-9]{2}|CR[0-9]|DR[0-9]|FS|GS|EFLAGS|ORIG_RAX): ?[0-9a-f]"
              + "|\\[mem |BIOS-e820|crashkernel|\\b(?:0x)?[0-9a-f]{16} ?- ?(?:0x)?[0-9a-f]{16}\\b");

  /// Tokens of one log; a hostile one has millions.
  private static final int MAX_HASHES = 1 << 16;

  /// Addresses that are tried.
  private static final long MAX_TRIED = 1L << 28;

  private final Places places;
  private final Kernel kernel;
  private final PointerHash hash;
  private long tried;

  /// An address that a hash was turned back into.
  ///
  /// @param address the only one, or the first of several
  /// @param others further addresses with the same hash
  public record Pointer(long address, int others) {}

  /// What came of it.
  ///
  /// @param pointers by the 32 bits that were printed
  /// @param tried addresses that were hashed
  /// @param asked hashes that were looked for
  public record Result(Map<Integer, Pointer> pointers, long tried, int asked) {
    public Result {
      pointers = Map.copyOf(pointers);
    }

    /// How many of the pointers chance alone would give.
    public double expectedByChance() {
      return (double) tried * asked / (1L << 32);
    }
  }

  private HashedPointers(Places places, PointerHash hash) {
    this.places = places;
    this.kernel = places.kernel();
    this.hash = hash;
  }

  /// Looks for the pointers of lines of the log.
  ///
  /// @return empty if the key cannot be read
  public static Optional<Result> unhash(Places places, List<String> lines) {
    return of(places).map(hashes -> hashes.ofLines(lines));
  }

  /// @return empty if the key cannot be read
  static Optional<HashedPointers> of(Places places) {
    return PointerHash.of(places.kernel()).map(key -> new HashedPointers(places, key));
  }

  /// Whether a line of the log has a hashed pointer.
  public static boolean isIn(String line) {
    return !in(line).isEmpty();
  }

  /// The hashed pointers of a line of the log.
  public static List<Integer> in(String line) {
    List<Integer> hashes = new ArrayList<>();
    if (line.contains("00000000") && !PLAIN.matcher(line).find()) {
      Matcher matcher = PRINTED.matcher(line);
      while (matcher.find()) {
        hashes.add(Integer.parseUnsignedInt(matcher.group(1), 16));
      }
    }
    return hashes;
  }

  /// The same line with the addresses behind the hashes.
  public static String unhashed(String line, Result result) {
    if (in(line).isEmpty()) {
      return line;
    }
    return PRINTED
        .matcher(line)
        .replaceAll(
            match -> {
              Pointer found = result.pointers().get(Integer.parseUnsignedInt(match.group(1), 16));
              return Matcher.quoteReplacement(
                  found == null
                      ? match.group()
                      : "%s{%016x%s}"
                          .formatted(
                              match.group(),
                              found.address(),
                              found.others() > 0 ? ", or " + found.others() + " others" : ""));
            });
  }

  private Result ofLines(List<String> lines) {
    Set<Integer> wanted = new HashSet<>();
    for (String line : lines) {
      for (int printed : in(line)) {
        if (wanted.size() < MAX_HASHES) {
          wanted.add(printed);
        }
      }
    }
    return of(wanted);
  }

  /// Looks for pointers by what was printed of them.
  Result of(Set<Integer> wanted) {
    tried = 0;
    Map<Integer, Pointer> found = new HashMap<>();
    if (!wanted.isEmpty()) {
      Set<Long> met = new HashSet<>();
      eachCandidate(
          address -> {
            tried++;
            int printed = hash.of(address);
            if (wanted.contains(printed) && met.add(address)) {
              found.merge(
                  printed,
                  new Pointer(address, 0),
                  (first, _) -> new Pointer(first.address(), first.others() + 1));
            }
          });
    }
    return new Result(found, tried, wanted.size());
  }

  /// Every address that the kernel is likely to print: objects, what is on tasks' stacks, caches,
  /// symbols, pages and their descriptors.
  private void eachCandidate(LongConsumer sink) {
    Cancellation cancellation = Cancellation.current();
    for (SlabCache cache : SlabCaches.of(kernel).caches()) {
      sink.accept(cache.address());
    }
    kernel.symbols().ifPresent(symbols -> symbols.eachAddress(sink));
    for (Modules.Module module : kernel.modules().all()) {
      sink.accept(module.vaddr());
      module.ranges().forEach(range -> sink.accept(range.start()));
      kernel.modules().symbols(module).ifPresent(symbols -> symbols.eachAddress(sink));
    }
    for (StackSpan span : places.callStacks().spans()) {
      for (long at = span.low(); at <= span.high(); at += 8) {
        sink.accept(at);
      }
      span.task().map(Task::address).ifPresent(sink::accept);
    }
    MemMap.of(kernel)
        .ifPresent(
            memMap -> {
              for (long pfn = 0; pfn < memMap.endPfn() && tried < MAX_TRIED; pfn++) {
                cancellation.step();
                sink.accept(memMap.descriptor(pfn));
                sink.accept(kernel.memory().directMapPage(pfn));
              }
              objects(memMap, cancellation, sink);
            });
  }

  private void objects(MemMap memMap, Cancellation cancellation, LongConsumer sink) {
    if (SlabCaches.of(kernel).caches().isEmpty()) {
      return;
    }
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memMap.endPfn(),
        _ -> true,
        (SlabView view) -> {
          cancellation.step();
          for (int i = 0; i < view.slab().walkableObjects(); i++) {
            sink.accept(view.slab().object(i));
          }
          return tried < MAX_TRIED;
        });
  }
}
