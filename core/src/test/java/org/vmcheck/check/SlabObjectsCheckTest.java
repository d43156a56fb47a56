package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.TestData;

/// The links and pointers in allocated objects of real kernels: silent as the kernel left them, and
/// a flipped bit is named with the value that the word had.
class SlabObjectsCheckTest extends ChangedDump {
  SlabObjectsCheckTest() {
    super(new SlabObjectsCheck(), "debian-cloud");
  }

  /// Words of allocated objects that are not 0.
  private final List<Long> words = new ArrayList<>();

  @BeforeAll
  void look() throws Exception {
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        _ -> true,
        view -> {
          collect(view);
          return true;
        });
  }

  private void collect(SlabView view) {
    Slab slab = view.slab();
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (view.listOf(i) == null) {
        for (long at = slab.object(i); at < slab.object(i) + slab.cache().objectSize(); at += 8) {
          if (kernel.word(at).orElse(0) != 0) {
            words.add(at);
          }
        }
      }
    }
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.all().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void whatKernelsLeaveIsSilent(TestData data) throws Exception {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));
      assertThat(ran.findings()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("links")).isGreaterThan(10_000);
    }
  }

  @Test
  void aFlippedBitIsNamedWithTheValueThatTheWordHad() {
    Random random = new Random(23);
    int trials = 40;
    int noticed = 0;
    for (int i = 0; i < trials; i++) {
      long at = words.get(random.nextInt(words.size()));
      long before = kernel.word(at).orElseThrow();
      memory.restore().flip(physical(at), random.nextInt(64));
      for (Finding finding : run().findings()) {
        assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
        assertThat(finding.subject().address()).isEqualTo(at);
        assertThat(finding.subject().decoded()).isEqualTo(before);
        noticed++;
      }
    }
    // Of the words that are not 0 about a third are links or pointers, and a bit in two of these
    // leads nowhere.
    assertThat(noticed).isGreaterThanOrEqualTo(trials / 5);
  }

  /// RB_CLEAR_NODE: a node that is in no tree leads to itself, and keeps a child that may lie one
  /// bit away. A value one bit away that leads nowhere is a flipped bit.
  @Test
  void aClearedNodeOfATreeIsNoEmptyHead() {
    int node =
        kernel
            .struct("vmap_area", "rb_node")
            .orElseThrow()
            .member("rb_node")
            .orElseThrow()
            .offset();
    List<Long> areas = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        cache -> cache.name().equals("vmap_area"),
        view -> {
          for (int i = 0; i < view.slab().walkableObjects(); i++) {
            if (view.listOf(i) == null) {
              areas.add(view.slab().object(i) + node);
            }
          }
          return true;
        });
    assertThat(areas).hasSizeGreaterThan(20);
    for (long at : areas.subList(0, 20)) {
      memory.restore().setWord(physical(at), at).setWord(physical(at) + 8, at ^ 1L << 7);
      assertThat(run().findings()).isEmpty();
    }
    memory.restore().setWord(physical(areas.getFirst()), areas.getFirst());
    memory.setWord(physical(areas.getFirst()) + 8, areas.getFirst() ^ 1L << 40);
    assertThat(run().findings()).hasSize(1);
  }

  /// Of all words, those that are 0 too: what they are for is told by their siblings and by types.
  @Test
  void aQuarterOfAllFlippedBitsIsNoticed() {
    List<Long> all = objectsOf(_ -> true);
    Random random = new Random(27);
    int trials = 80;
    int noticed = 0;
    for (int i = 0; i < trials; i++) {
      long object = all.get(random.nextInt(all.size()));
      long at = object + 8L * random.nextInt(8);
      memory.restore().flip(physical(at), random.nextInt(64));
      noticed += run().findings().isEmpty() ? 0 : 1;
    }
    assertThat(noticed).isGreaterThanOrEqualTo(trials / 4);
  }

  private List<Long> objectsOf(Predicate<String> cache) {
    List<Long> objects = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        one -> cache.test(one.name()) && one.objectSize() >= 64,
        view -> {
          for (int i = 0; i < view.slab().walkableObjects(); i++) {
            if (view.listOf(i) == null) {
              objects.add(view.slab().object(i));
            }
          }
          return true;
        });
    return objects;
  }

  private int offset(String struct, String member) {
    return kernel.struct(struct, member).orElseThrow().member(member).orElseThrow().offset();
  }

  private long word(long at) {
    return kernel.word(at).orElseThrow();
  }

  private void isNamed(long at, long right) {
    assertThat(run().findings())
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
              assertThat(finding.subject().address()).isEqualTo(at);
              assertThat(finding.subject().decoded()).isEqualTo(right);
            });
  }

  @Test
  void parentAndChildOfATreesNodeProveEachOther() {
    int rb = offset("kernfs_node", "rb");
    long node =
        objectsOf("kernfs_node_cache"::equals).stream()
            .mapToLong(object -> object + rb)
            .filter(at -> (word(at) & ~3) != 0 && word(at + 8) != 0 && word(at + 16) != 0)
            .findFirst()
            .orElseThrow();
    for (int bit : new int[] {2, 7, 20, 50}) {
      memory.restore().flip(physical(node), bit);
      isNamed(node, word(node));
      memory.restore().flip(physical(node + 8), bit);
      isNamed(node + 8, word(node + 8));
      memory.restore().flip(physical(node + 16), bit);
      isNamed(node + 16, word(node + 16));
    }
    // Its colour proves nothing.
    memory.restore().flip(physical(node), 0);
    assertThat(run().findings()).isEmpty();
  }

  @Test
  void aChildWhereThereIsNoneIsNamed() {
    int rb = offset("kernfs_node", "rb");
    long leaf =
        objectsOf("kernfs_node_cache"::equals).stream()
            .mapToLong(object -> object + rb)
            .filter(at -> (word(at) & ~3) != 0 && word(at + 8) == 0 && word(at + 16) == 0)
            .findFirst()
            .orElseThrow();
    memory.restore().flip(physical(leaf + 8), 21);
    isNamed(leaf + 8, 0);
  }

  /// The super block that many inodes share: a bit away it is inside another object. The start of
  /// another object is a pointer as good as this one.
  @Test
  void whatManySiblingsShareIsKnownButNotWhatLeadsToAnotherObject() {
    int sb = offset("inode", "i_sb");
    List<Long> inodes = objectsOf("inode_cache"::equals);
    long shared =
        inodes.stream()
            .collect(Collectors.groupingBy(at -> word(at + sb), Collectors.counting()))
            .entrySet()
            .stream()
            .max(Map.Entry.comparingByValue())
            .orElseThrow()
            .getKey();
    long at =
        sb + inodes.stream().filter(one -> word(one + sb) == shared).findFirst().orElseThrow();
    int named = 0;
    for (int bit = 12; bit < 29; bit++) {
      memory.restore().flip(physical(at), bit);
      if (!run().findings().isEmpty()) {
        isNamed(at, shared);
        named++;
      }
    }
    assertThat(named).isPositive();
    memory.restore().flip(physical(at), 35);
    isNamed(at, shared);
    long other =
        objectsOf(name -> name.startsWith("kmalloc")).stream()
            .filter(one -> Long.bitCount(one ^ shared) == 1)
            .findFirst()
            .orElse(inodes.getLast());
    memory.restore().setWord(physical(at), other);
    assertThat(run().findings()).isEmpty();
  }

  /// A null pointer, by its type, that holds one bit; a number that no pointer is, of several bits,
  /// may be something else.
  @Test
  void oneBitInANullPointerIsNamed() {
    int acl = offset("inode", "i_flctx");
    long at =
        acl
            + objectsOf("inode_cache"::equals).stream()
                .filter(one -> word(one + acl) == 0)
                .findFirst()
                .orElseThrow();
    memory.restore().flip(physical(at), 33);
    isNamed(at, 0);
    memory.restore().setWord(physical(at), 0x1_0000_1000L);
    assertThat(run().findings()).isEmpty();
    memory.restore().flip(physical(at), 4);
    assertThat(run().findings()).isEmpty();
  }

  /// Wherever it is, in caches of all kinds of objects too.
  @Test
  void anAddressThatLacksOneOfItsHighestBitsIsNamed() {
    long at = 0;
    for (long object : objectsOf(name -> name.startsWith("kmalloc-"))) {
      long value = word(object + 16);
      if (kernel.memory().map().isDirectMap(value) && kernel.word(value & ~7).isPresent()) {
        at = object + 16;
      }
    }
    memory.restore().flip(physical(at), 55);
    isNamed(at, word(at));
    // Two are no accident: something keeps its pointers so.
    long second = 0;
    Slab slab = slabOf(at);
    for (int i = 0; i < slab.walkableObjects(); i++) {
      long beside = slab.object(i) + 16;
      if (beside != at && kernel.memory().map().isDirectMap(word(beside))) {
        second = beside;
      }
    }
    if (second != 0) {
      memory.flip(physical(second), 55);
      assertThat(run().findings().stream().map(one -> one.subject().address()))
          .doesNotContain(at, second);
    }
  }

  private Slab slabOf(long at) {
    List<Slab> found = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        _ -> true,
        view -> {
          if (view.slab().indexHolding(at) >= 0) {
            found.add(view.slab());
          }
          return true;
        });
    return found.getFirst();
  }

  @Test
  void anotherValidPointerIsNotCalledWrong() {
    Random random = new Random(24);
    for (int i = 0; i < 20; i++) {
      long at = words.get(random.nextInt(words.size()));
      long other = kernel.word(words.get(random.nextInt(words.size()))).orElseThrow();
      if (!kernel.memory().paging().isCanonical(other) || word(at) >= 0) {
        continue;
      }
      memory.restore().setWord(physical(at), other);
      assertThat(run().findings().stream().map(Finding::cause))
          .as("0x%x for 0x%x", other, at)
          .doesNotContain(Cause.METADATA_OVERWRITTEN);
    }
  }
}
