package org.vmcheck.desk;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.Reading;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;
import org.vmcheck.testing.TestData;

/// Words of known kind, taken out of real dumps by other ways than the reader's, are read as what
/// they are: of ten thousand, 99 in a hundred come first.
class WordReaderTest {
  private static final int EACH = 850;

  /// A word of known kind.
  ///
  /// @param kind what it is, for the tally
  /// @param place the kind of place that it leads to; empty if it is no pointer
  /// @param start where that begins; 0 if it does not matter
  private record Known(
      String kind,
      long word,
      OptionalLong at,
      Reading.Kind reading,
      Optional<Place.Kind> place,
      long start) {
    boolean isRight(WordAnswer answer) {
      Reading best = answer.best();
      return best.kind() == reading
          && (place.isEmpty()
              || best.place()
                  .filter(p -> p.kind() == place.get() && (start == 0 || p.start() == start))
                  .isPresent());
    }
  }

  private final List<Known> words = new ArrayList<>();
  private final Random random = new Random(24);

  private void add(String kind, long word, Reading.Kind reading) {
    words.add(new Known(kind, word, OptionalLong.empty(), reading, Optional.empty(), 0));
  }

  private void add(String kind, long word, Place.Kind place, long start) {
    words.add(
        new Known(
            kind, word, OptionalLong.empty(), Reading.Kind.POINTER, Optional.of(place), start));
  }

  @ParameterizedTest
  @ValueSource(strings = {"healthy", "debian-7.2", "debian-5.10"})
  void knownWordsAreReadAsWhatTheyAre(String name) throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named(name))) {
      Places places = new Places(real.kernel());
      gather(real.kernel(), places);
      WordReader reader = new WordReader(places);
      Map<String, int[]> tally = new TreeMap<>();
      Map<String, String> wrong = new LinkedHashMap<>();
      int right = 0;
      for (Known known : words) {
        WordAnswer answer = reader.read(known.word(), known.at(), false);
        int[] of = tally.computeIfAbsent(known.kind(), _ -> new int[2]);
        of[1]++;
        if (known.isRight(answer)) {
          of[0]++;
          right++;
        } else {
          wrong.putIfAbsent(known.kind(), "0x%x: %s".formatted(known.word(), answer.readings()));
        }
      }
      assertThat(words.size()).isGreaterThanOrEqualTo(10_000);
      String table =
          tally.entrySet().stream()
              .map(e -> "%s %d/%d".formatted(e.getKey(), e.getValue()[0], e.getValue()[1]))
              .toList()
              .toString();
      assertThat(right / (double) words.size())
          .as("%s %s", table, wrong)
          .isGreaterThanOrEqualTo(0.99);
    }
  }

  private void gather(Kernel kernel, Places places) {
    objects(kernel);
    symbols(kernel);
    List<Task> tasks = places.callStacks().tasks().all();
    for (int i = 0; i < EACH; i++) {
      Task task = tasks.get(random.nextInt(tasks.size()));
      if (task.pid() != 0 && task.stack() != 0) {
        add(
            "stack",
            task.stack() + random.nextLong(places.callStacks().stackBytes()),
            Place.Kind.TASK_STACK,
            task.stack());
      }
      long pfn = random.nextLong(kernel.memory().physical().endPfn());
      long descriptor = MemMap.of(kernel).orElseThrow().descriptor(pfn);
      if (kernel.memory().physicalAddress(descriptor) >= 0) {
        add("page descriptor", descriptor, Place.Kind.PAGE_DESCRIPTOR, descriptor);
      }
      add("error", -1 - random.nextInt(1, 4095), Reading.Kind.ERROR);
      add("number", random.nextInt(1, 1 << 16), Reading.Kind.NUMBER);
      StringBuilder text = new StringBuilder();
      for (int c = 0; c < 8; c++) {
        text.append((char) random.nextInt(0x61, 0x7b));
      }
      long word = 0;
      for (int c = 7; c >= 0; c--) {
        word = word << 8 | text.charAt(c);
      }
      add("text", word, Reading.Kind.TEXT);
    }
    long[] poisons = {
      0xdead000000000100L,
      0xdead000000000122L,
      0x6b6b6b6b6b6b6b6bL,
      0xa56b6b6b6b6b6b6bL,
      0x5a5a5a5a5a5a5a5aL,
      0xccccccccccccccccL,
      0x57ac6e9dL,
    };
    for (int i = 0; i < EACH; i++) {
      add("poison", poisons[i % poisons.length], Reading.Kind.POISON);
    }
  }

  private void objects(Kernel kernel) {
    List<SlabView> views = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        kernel.memory().physical().endPfn(),
        _ -> true,
        view -> {
          views.add(view);
          return true;
        });
    for (int i = 0; i < 2 * EACH; i++) {
      SlabView view = views.get(random.nextInt(views.size()));
      int index = random.nextInt(view.slab().walkableObjects());
      long object = view.slab().object(index);
      long inside = (random.nextLong(view.slab().cache().objectSize()) & -8L);
      // The first task's stack lies in the image, and no object's.
      add("object", object, Place.Kind.SLAB_OBJECT, object);
      add("inside an object", object + inside, Place.Kind.SLAB_OBJECT, object);
      long flipped = object ^ 1L << random.nextInt(40, 63);
      words.add(
          new Known(
              "one bit off",
              flipped,
              OptionalLong.empty(),
              Reading.Kind.FLIPPED_POINTER,
              Optional.of(Place.Kind.SLAB_OBJECT),
              object));
    }
    int freed = 0;
    for (SlabView view : views) {
      for (SlabView.FreeObjects list : view.lists()) {
        for (int index : list.objects()) {
          long slot = view.slab().slot(index);
          if (list.kind() == SlabView.Kind.LIST && freed < EACH && random.nextInt(4) == 0) {
            freed++;
            words.add(
                new Known(
                    "free pointer",
                    kernel.word(slot).orElseThrow(),
                    OptionalLong.of(slot),
                    Reading.Kind.FREE_POINTER,
                    Optional.empty(),
                    0));
          }
        }
      }
    }
  }

  private static List<Symbol> first(Symbols symbols) {
    List<Symbol> some = new ArrayList<>();
    for (int i = 0; i < Math.min(200, symbols.count()); i++) {
      some.add(symbols.get(i));
    }
    return some;
  }

  private void symbols(Kernel kernel) {
    long stext = kernel.symbol("_stext").orElseThrow();
    long etext = kernel.symbol("_etext").orElseThrow();
    long data = kernel.symbol("_sdata").orElseThrow();
    long end = kernel.symbol("_edata").orElseThrow();
    for (int i = 0; i < EACH; i++) {
      add("text address", random.nextLong(stext, etext), Place.Kind.TEXT, 0);
      add("data address", random.nextLong(data, end), Place.Kind.DATA, 0);
      long perCpu = kernel.symbol("runqueues").orElseThrow() + random.nextInt(0x800);
      int cpu = random.nextInt(kernel.perCpu().cpus().size());
      add(
          "per-CPU address",
          kernel.perCpu().address(perCpu, cpu),
          Place.Kind.PER_CPU,
          kernel.perCpu().address(kernel.symbol("runqueues").orElseThrow(), cpu));
    }
    int added = 0;
    for (Modules.Module module : kernel.modules().all()) {
      for (Symbol symbol :
          kernel.modules().symbols(module).map(WordReaderTest::first).orElse(List.of())) {
        if (added < EACH
            && symbol.address() < 0
            && kernel.modules().at(symbol.address()).isPresent()) {
          added++;
          add("module address", symbol.address(), Place.Kind.MODULE, 0);
        }
      }
    }
  }
}
