package org.vmcheck.check;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.Set;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.KnownTables;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.task.CallStacks;
import org.vmcheck.testing.ChangedMemory;

/// The damage curve: changes memory of a real dump at random places of each class, runs the checks
/// of the kernel on each change, and prints how often they noticed. `scripts/lab/damage` starts it.
///
/// A change is noticed where a finding appears that the dump does not have without it; placed where
/// such a finding names an address within the changed unit (object, descriptor, table, stack, page
/// of text); its value is known where a finding says what the word was before.
public final class DamageTrials {
  /// What is done to a place.
  private enum Change {
    BIT("one bit flipped"),
    WORD("one word overwritten"),
    ZERO("one word zeroed"),
    SPAN("64 bytes overwritten");

    private final String words;

    Change(String words) {
      this.words = words;
    }
  }

  /// Memory that is one thing: from its first byte to behind its last, by its virtual address.
  private record Unit(long start, long end) {}

  private record Score(int trials, int noticed, int placed, int known, int doubted) {}

  private final Dump dump;
  private final Kernel kernel;
  private final ChangedMemory memory;
  private final Random random;
  private final Set<String> before = new HashSet<>();
  private final Set<String> doubtsBefore = new HashSet<>();
  private final Map<String, String> held = new LinkedHashMap<>();

  private DamageTrials(Dump dump, Kernel kernel, long seed) {
    this.dump = dump;
    this.kernel = kernel;
    this.memory = new ChangedMemory(dump.memory());
    this.random = new Random(seed);
  }

  /// @param args dump, trials of each change, seed, a word of the names of the classes of memory
  ///   (or nothing: all), and the kernel's own file if it is at hand
  public static void main(String[] args) throws IOException {
    try (Dump dump = Dumps.open(Path.of(args[0]))) {
      DebugSources sources =
          new DebugSources(
              args.length > 4 ? Optional.of(Path.of(args[4])) : Optional.empty(),
              List.of(),
              false,
              Set.of(),
              KnownTables.NONE);
      if (KernelFinder.find(dump, sources, 0) instanceof KernelSearch.Found(Kernel kernel)) {
        new DamageTrials(dump, kernel, Long.parseLong(args[2]))
            .print(Integer.parseInt(args[1]), args[3]);
      } else {
        System.err.println("damage: no kernel is found in " + args[0]);
        System.exit(3);
      }
    }
  }

  private void print(int trials, String named) {
    baseline();
    System.out.printf("### %s%n%n", kernel.identity().release());
    System.out.println(
        "| memory | change | trials | noticed | placed | right value | doubts only |");
    System.out.println("|---|---|---|---|---|---|---|");
    for (Map.Entry<String, List<Unit>> memoryOf : classes().entrySet()) {
      if (memoryOf.getValue().isEmpty() || !memoryOf.getKey().contains(named)) {
        continue;
      }
      for (Change change : Change.values()) {
        Score score = score(memoryOf.getValue(), change, trials);
        System.out.printf(
            "| %s | %s | %d | %d %% | %d %% | %d %% | %d %% |%n",
            memoryOf.getKey(),
            change.words,
            score.trials,
            share(score.noticed, score),
            share(score.placed, score),
            share(score.known, score),
            share(score.doubted, score));
      }
    }
    System.out.printf(
        "%nHeld against other memory without any change, of %,d bytes stored: ", stored());
    System.out.println(
        String.join(
                ", ",
                held.entrySet().stream()
                    .map(e -> "%s %,d".formatted(e.getKey(), Long.parseLong(e.getValue())))
                    .toList())
            + ".");
  }

  private static long share(int part, Score of) {
    return Math.round(100.0 * part / Math.max(1, of.trials));
  }

  private long stored() {
    return dump.container().pages().stored() * kernel.memory().pageSize();
  }

  private void baseline() {
    for (CheckOutcome outcome : run()) {
      outcome.findingsIfRan().forEach(finding -> before.add(key(outcome.id(), finding)));
      doubtsBefore.addAll(doubts(outcome));
      if (outcome instanceof CheckOutcome.Ran ran && ran.facts().containsKey("bytes")) {
        held.put(ran.id(), ran.facts().get("bytes"));
      }
    }
  }

  private List<CheckOutcome> run() {
    Dump changed = memory.of(dump);
    CheckContext context =
        new CheckContext(
            changed, new KernelSearch.Found(kernel.over(memory)), 2, false, () -> false);
    List<CheckOutcome> outcomes = new ArrayList<>();
    for (Check check : Checks.all()) {
      if (check.needs() == Needs.DUMP || check.id().startsWith("lowmem.")) {
        continue;
      }
      List<String> unmet = check.needs().unmet(context);
      try {
        outcomes.add(
            unmet.isEmpty() ? check.run(context) : new CheckOutcome.Skipped(check.id(), unmet));
      } catch (RuntimeException broken) {
        outcomes.add(new CheckOutcome.Failed(check.id(), String.valueOf(broken)));
      }
    }
    return outcomes;
  }

  private static String key(String check, Finding finding) {
    return check + " " + finding.cause() + " " + finding.subject().address();
  }

  private static List<String> doubts(CheckOutcome outcome) {
    List<String> doubts = new ArrayList<>(outcome.coverageIfRan().gaps());
    if (outcome instanceof CheckOutcome.Skipped || outcome instanceof CheckOutcome.Failed) {
      doubts.add(outcome.id());
    }
    return doubts;
  }

  private Score score(List<Unit> units, Change change, int trials) {
    int tried = 0;
    int noticed = 0;
    int placed = 0;
    int known = 0;
    int doubted = 0;
    for (int i = 0; i < 20 * trials && tried < trials; i++) {
      Unit unit = units.get(random.nextInt(units.size()));
      int bytes = change == Change.SPAN ? 64 : 8;
      long words = (unit.end - unit.start - bytes) / 8 + 1;
      if (words < 1) {
        continue;
      }
      long at = unit.start + 8 * Math.floorMod(random.nextLong(), words);
      OptionalLong was = kernel.word(at);
      memory.restore();
      if (was.isEmpty() || !change(at, change)) {
        continue;
      }
      tried++;
      List<Finding> news = new ArrayList<>();
      boolean isDoubted = false;
      for (CheckOutcome outcome : run()) {
        outcome.findingsIfRan().stream()
            .filter(finding -> !before.contains(key(outcome.id(), finding)))
            .forEach(news::add);
        isDoubted |= !doubtsBefore.containsAll(doubts(outcome));
      }
      noticed += news.isEmpty() ? 0 : 1;
      placed += news.stream().anyMatch(finding -> isIn(finding, unit)) ? 1 : 0;
      known += news.stream().anyMatch(finding -> says(finding, at, was.getAsLong())) ? 1 : 0;
      doubted += news.isEmpty() && isDoubted ? 1 : 0;
    }
    return new Score(tried, noticed, placed, known, doubted);
  }

  /// @return whether the memory differs now
  private boolean change(long at, Change change) {
    long physical = kernel.memory().physicalAddress(at);
    if (physical < 0
        || !(dump.memory().read(kernel.memory().pfn(physical)) instanceof PageRead.Present)) {
      return false;
    }
    long was = memory.word(physical);
    switch (change) {
      case BIT -> memory.flip(physical, random.nextInt(64));
      case WORD -> memory.setWord(physical, random.nextLong());
      case ZERO -> memory.setWord(physical, 0);
      case SPAN -> {
        for (int i = 0; i < 64; i += 8) {
          // A span of an object may cross into a page that lies elsewhere.
          long next = kernel.memory().physicalAddress(at + i);
          if (next < 0
              || !(dump.memory().read(kernel.memory().pfn(next)) instanceof PageRead.Present)) {
            return false;
          }
          memory.setWord(next, random.nextLong());
        }
      }
    }
    return memory.word(physical) != was;
  }

  private boolean isIn(Finding finding, Unit unit) {
    if (isIn(finding.subject().address(), unit)
        || isIn(finding.subject().object(), unit)
        || isIn(finding.subject().slab(), unit)) {
      return true;
    }
    return finding.evidence().stream()
        .anyMatch(
            evidence ->
                (evidence instanceof Evidence.WordAt word && isIn(word.address(), unit))
                    || (evidence instanceof Evidence.BytesAt bytes && isIn(bytes.address(), unit)));
  }

  /// By physical address: a byte of the image has two virtual ones.
  private boolean isIn(long address, Unit unit) {
    long physical = address == Evidence.UNKNOWN ? -1 : kernel.memory().physicalAddress(address);
    long start = kernel.memory().physicalAddress(unit.start);
    return physical >= 0 && physical >= start && physical < start + unit.end - unit.start;
  }

  private boolean says(Finding finding, long at, long was) {
    long physical = kernel.memory().physicalAddress(at);
    return finding.evidence().stream()
        .anyMatch(
            evidence ->
                evidence instanceof Evidence.WordAt word
                    && kernel.memory().physicalAddress(word.address()) == physical
                    && word.decoded() == was);
  }

  private Map<String, List<Unit>> classes() {
    Map<String, List<Unit>> classes = new LinkedHashMap<>();
    List<Unit> objects = new ArrayList<>();
    List<Unit> descriptorsOfSlabs = new ArrayList<>();
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        dump.memory().endPfn(),
        _ -> true,
        view -> {
          Slab slab = view.slab();
          descriptorsOfSlabs.add(
              new Unit(slab.address(), slab.address() + memMap.descriptorBytes()));
          for (int i = 0; i < slab.walkableObjects(); i++) {
            if (view.listOf(i) == null) {
              objects.add(new Unit(slab.object(i), slab.object(i) + slab.cache().objectSize()));
            }
          }
          return true;
        });
    List<Unit> descriptors = new ArrayList<>();
    for (long pfn = 0; pfn < memMap.endPfn(); pfn++) {
      long at = memMap.descriptor(pfn);
      if (memMap.isSetUp(pfn)) {
        descriptors.add(new Unit(at, at + memMap.descriptorBytes()));
      }
    }
    classes.put("allocated objects", byWords(objects));
    classes.put("descriptors of slabs", descriptorsOfSlabs);
    classes.put("page descriptors at large", descriptors);
    classes.put("kernel page tables", tables());
    classes.put("text", pages("_stext", "_etext"));
    classes.put("read-only data", pages("__start_rodata", "__end_rodata"));
    classes.put("data", pages("_sdata", "_edata"));
    classes.put("bss", pages("__bss_start", "__bss_stop"));
    classes.put("stacks", stacks());
    return classes;
  }

  /// Each object as often as it has 64 bytes, so that every word is as likely as another.
  private static List<Unit> byWords(List<Unit> objects) {
    List<Unit> all = new ArrayList<>();
    for (Unit object : objects) {
      for (long i = object.start; i < object.end; i += 64) {
        all.add(object);
      }
    }
    return all;
  }

  private List<Unit> pages(String first, String last) {
    List<Unit> pages = new ArrayList<>();
    long start = kernel.symbol(first).orElse(0);
    long end = kernel.symbol(last).orElse(0);
    int size = kernel.memory().pageSize();
    for (long at = start; at + size <= end; at += size) {
      pages.add(new Unit(at, at + size));
    }
    return pages;
  }

  private List<Unit> stacks() {
    List<Unit> stacks = new ArrayList<>();
    for (Task task : CallStacks.of(kernel).tasks().all()) {
      if (task.stack() != 0) {
        // All in use grows down from the top.
        stacks.add(new Unit(task.stack(), task.stack() + 4L * kernel.memory().pageSize()));
      }
    }
    return stacks;
  }

  private List<Unit> tables() {
    List<Unit> tables = new ArrayList<>();
    long top =
        kernel.symbol("init_top_pgt").orElseGet(() -> kernel.symbol("swapper_pg_dir").orElse(0));
    if (top != 0 && kernel.architecture().name().equals("x86_64")) {
      // The kernel's half of the top table is half of the page.
      tables(kernel.memory().map().imagePhysical(top), 4, 256, tables);
    }
    return tables;
  }

  private void tables(long physical, int level, int first, List<Unit> tables) {
    long at = kernel.memory().map().directMapAddress(physical);
    tables.add(new Unit(at + first * 8L, at + 4096));
    if (level == 1 || tables.size() > 4096) {
      return;
    }
    for (int i = first; i < 512; i++) {
      long entry = kernel.word(at + i * 8L).orElse(0);
      if ((entry & 1) != 0 && (entry & 0x80) == 0) {
        tables(entry & 0x000f_ffff_ffff_f000L, level - 1, 0, tables);
      }
    }
  }
}
