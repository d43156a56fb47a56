package org.vmcheck.desk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.FindAnswer;
import org.vmcheck.finding.FoundPattern;
import org.vmcheck.finding.Holder;
import org.vmcheck.finding.MemoryPattern;
import org.vmcheck.finding.RefsAnswer;
import org.vmcheck.finding.Task;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.TestData;

/// Who holds an object: held against every word of every page, read one by one.
class ReferencesTest {
  private static final Set<PageState.Kind> PASSED_OVER =
      EnumSet.of(PageState.Kind.ANONYMOUS, PageState.Kind.PAGE_CACHE, PageState.Kind.PAGE_TABLE);

  private static RefsAnswer refs(Places places, long address) {
    return new References(places).to(address, References.Extent.WHOLE, 2, (_, _, _) -> {});
  }

  /// Ten objects of different caches, symbols and stacks: start and size by start.
  private static Map<Long, Long> targets(Kernel kernel, Places places) {
    Map<String, Long> byCache = new HashMap<>();
    Map<Long, Long> targets = new TreeMap<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        kernel.memory().physical().endPfn(),
        _ -> true,
        view -> {
          String cache = view.slab().cache().name();
          if (byCache.putIfAbsent(cache, 1L) == null && targets.size() < 8) {
            targets.put(view.slab().object(0), (long) view.slab().cache().objectSize());
          }
          return targets.size() < 8;
        });
    Task task = places.callStacks().tasks().byPid(2).orElseThrow();
    targets.put(task.stack(), places.callStacks().stackBytes());
    long init = kernel.symbol("init_task").orElseThrow();
    targets.put(init, kernel.symbols().orElseThrow().nextAbove(init).orElseThrow() - init);
    return targets;
  }

  /// Not only when the time for a partial answer is over too: of this there is none.
  @Test
  void aSearchEndsAtTheDeadline() throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named("healthy"))) {
      Places places = new Places(real.kernel());
      long init = real.kernel().symbol("init_task").orElseThrow();
      Cancellation over = Cancellation.after(Optional.of(Duration.ZERO));
      List<Long> shown = new ArrayList<>();

      assertThatThrownBy(
              () ->
                  over.run(
                      () ->
                          new References(places)
                              .to(init, References.Extent.WHOLE, 2, (_, at, _) -> shown.add(at))))
          .isInstanceOf(CancelledException.class)
          .hasMessageContaining("the deadline of 0 ms");
      assertThat(shown).isEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"healthy", "debian-5.10"})
  void everyWordThatLeadsThereIsFound(String name) throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named(name))) {
      Places places = new Places(real.kernel());
      Map<Long, Long> targets = targets(real.kernel(), places);
      Map<Long, Set<Long>> expected = bruteForce(real.kernel(), targets);
      assertThat(targets).hasSize(10);
      for (Map.Entry<Long, Long> target : targets.entrySet()) {
        RefsAnswer answer = refs(places, target.getKey());
        assertThat(answer.size()).isEqualTo(target.getValue());
        assertThat(answer.total()).isEqualTo(answer.holders().size());
        assertThat(
                answer.holders().stream()
                    .map(holder -> real.kernel().memory().physicalAddress(holder.address()))
                    .toList())
            .as("0x%x", target.getKey())
            .containsExactlyInAnyOrderElementsOf(expected.get(target.getKey()));
        for (Holder holder : answer.holders()) {
          assertThat(real.kernel().word(holder.address())).hasValue(holder.word());
        }
      }
    }
  }

  /// Physical addresses of the words that lead to each target: one page, one word after the other,
  /// without the machinery of the search.
  private static Map<Long, Set<Long>> bruteForce(Kernel kernel, Map<Long, Long> targets) {
    PhysicalMemory memory = kernel.memory().physical();
    Map<Long, Set<Long>> found = new HashMap<>();
    targets.keySet().forEach(start -> found.put(start, new TreeSet<>()));
    for (long pfn = memory.nextStored(0); pfn >= 0; pfn = memory.nextStored(pfn + 1)) {
      if (!(memory.read(pfn) instanceof PageRead.Present(var segment))
          || PASSED_OVER.contains(MemMap.of(kernel).orElseThrow().state(pfn).kind())) {
        continue;
      }
      ByteView page = ByteView.of("page", segment);
      for (int at = 0; at < 4096; at += 8) {
        long word = page.u64(at);
        for (Map.Entry<Long, Long> target : targets.entrySet()) {
          if (word >= target.getKey() && word < target.getKey() + target.getValue()) {
            found.get(target.getKey()).add((pfn << 12) + at);
          }
        }
      }
    }
    return found;
  }

  @Test
  void holdersAreNamed() throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named("healthy"))) {
      Places places = new Places(real.kernel());
      Task task = places.callStacks().tasks().byPid(2).orElseThrow();

      RefsAnswer answer = refs(places, task.address());

      // Its children know their parent, and its own stack knows whose it is.
      assertThat(answer.holders())
          .anySatisfy(
              holder -> {
                assertThat(holder.rank()).isEqualTo(Holder.Rank.MEMBER);
                assertThat(holder.place().name()).isEqualTo("task_struct");
                assertThat(holder.place().member()).isEqualTo("real_parent");
                assertThat(holder.word()).isEqualTo(task.address());
              });
      assertThat(answer.holders().getFirst().rank()).isEqualTo(Holder.Rank.MEMBER);
      assertThat(refs(places, task.stack()).holders())
          .anySatisfy(holder -> assertThat(holder.place().member()).isEqualTo("stack"));
    }
  }

  @Test
  void patternsAreFoundWhereverTheyLie() throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named("healthy"))) {
      Places places = new Places(real.kernel());
      PatternSearch search = new PatternSearch(places);
      long banner = real.kernel().symbol("linux_banner").orElseThrow();

      FindAnswer text =
          search.find(MemoryPattern.ofText("Linux version "), 1000, 2, (_, _, _) -> {});

      assertThat(text.found().stream().map(f -> f.place().address())).contains(banner);
      assertThat(text.total()).isEqualTo(text.found().size());
      // Across the border of two frames: any 16 bytes around one are found there.
      long border = (banner & -4096) + 8192;
      String hex = HexFormat.of().formatHex(real.kernel().memory().bytes(border - 9, 16).bytes());
      List<Long> found = new ArrayList<>();
      for (FoundPattern one :
          search.find(MemoryPattern.ofHex(hex), 1000, 2, (_, _, _) -> {}).found()) {
        found.add(one.place().address());
      }
      assertThat(found).contains(border - 9);
      long word = real.kernel().word(banner).orElseThrow();
      assertThat(
              search
                  .find(MemoryPattern.ofWord(word, 0xffff_ffff_ffffL), 1000, 1, (_, _, _) -> {})
                  .found()
                  .stream()
                  .map(f -> f.place().address()))
          .contains(banner);
    }
  }
}
