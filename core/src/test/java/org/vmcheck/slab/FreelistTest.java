package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// One freelist, word by word: how it ends, after how many objects, and what was met.
class FreelistTest {
  private static final long HEAD_SLOT = 0x1234;

  private final FakeImage image =
      FakeKernel.of(Layout.V6_1)
          .seed(3)
          .cache(FakeCache.named("victim", 64).partial(12).sheaves(0))
          .build();
  private final SlabImage built =
      image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
          .filter(slab -> slab.freelist().size() >= 6)
          .findFirst()
          .orElseThrow();
  private final List<Integer> order = built.freelist();

  /// The slab and a walker that stands at it, after what was done to the image.
  private record Walk(Slab slab, Freelist.Walker walker) {
    Freelist from(long head) {
      return walker.walk(slab, head, HEAD_SLOT);
    }
  }

  private Walk walk() {
    Kernel kernel = image.kernel();
    Slab slab =
        SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), List.of(built.pfn()))
            .getFirst()
            .slab();
    Freelist.Walker walker =
        new Freelist.Walker(
            image.survey().vote().decoder(), new SlabMemory(kernel.memory().physical()));
    walker.start(slab);
    return new Walk(slab, walker);
  }

  private long object(int position) {
    return built.object(order.get(position));
  }

  private void link(int position, long next) {
    int index = order.get(position);
    image.corruptWord(built.slot(index), image.encoded(built, index, next));
  }

  @Test
  void aWholeListClosesWithItsObjectsInOrder() {
    Walk walk = walk();

    Freelist list = walk.from(object(0));

    assertThat(list).isEqualTo(new Freelist(order.size(), new Freelist.End.Closed()));
    assertThat(list.isClosed()).isTrue();
    assertThat(walk.walker.lastMet(list)).isEqualTo(order);
    assertThat(walk.walker.met()).isEqualTo(order.size());
    for (int i = 0; i < built.objects(); i++) {
      assertThat(walk.walker.isMet(i)).isEqualTo(order.contains(i));
    }
    // Forgotten with the next slab.
    walk.walker.start(walk.slab);
    assertThat(walk.walker.met()).isZero();
    assertThat(walk.walker.isMet(order.getFirst())).isFalse();
  }

  @Test
  void anEmptyListCloses() {
    assertThat(walk().from(0)).isEqualTo(new Freelist(0, new Freelist.End.Closed()));
  }

  @Test
  void aBadPointerIsWhereItIsHeld() {
    link(2, object(3) + 8);
    int holder = order.get(2);

    Freelist list = walk().from(object(0));

    assertThat(list.length()).isEqualTo(3);
    assertThat(list.isClosed()).isFalse();
    assertThat(list.end())
        .isEqualTo(
            new Freelist.End.BadPointer(
                holder, built.slot(holder), image.word(built.slot(holder)), object(3) + 8));
    assertThat(walk().from(built.base() + 1))
        .isEqualTo(
            new Freelist(
                0,
                new Freelist.End.BadPointer(
                    Freelist.HEAD, HEAD_SLOT, built.base() + 1, built.base() + 1)));
  }

  @Test
  void aCircleSaysWhereItBegan() {
    link(4, object(1));
    int holder = order.get(4);

    Freelist list = walk().from(object(0));

    assertThat(list)
        .isEqualTo(
            new Freelist(
                5,
                new Freelist.End.Cycle(
                    holder,
                    built.slot(holder),
                    image.word(built.slot(holder)),
                    object(1),
                    order.get(1),
                    1)));
  }

  @Test
  void anObjectThatLeadsToItselfIsACircleFromItsOwnStep() {
    link(0, object(0));

    assertThat(walk().from(object(0)).end())
        .isInstanceOfSatisfying(
            Freelist.End.Cycle.class, end -> assertThat(end.firstStep()).isZero());
  }

  @Test
  void anObjectOfTheOtherListIsNoCircle() {
    link(2, 0);
    link(5, object(1));
    Walk walk = walk();

    Freelist first = walk.from(object(0));
    Freelist second = walk.from(object(3));

    assertThat(first).isEqualTo(new Freelist(3, new Freelist.End.Closed()));
    assertThat(second.length()).isEqualTo(3);
    assertThat(second.end())
        .isInstanceOfSatisfying(
            Freelist.End.OnOtherList.class,
            end -> {
              assertThat(end.target()).isEqualTo(order.get(1));
              assertThat(end.holder()).isEqualTo(order.get(5));
            });
    assertThat(walk.walker.lastMet(second)).isEqualTo(order.subList(3, 6));
    assertThat(walk.walker.met()).isEqualTo(6);
  }

  @Test
  void whatIsNotInTheDumpEndsTheWalk() {
    image.exclude(built.pfn());
    Walk walk = walk();

    Freelist list = walk.from(object(0));

    assertThat(list.length()).isEqualTo(1);
    assertThat(list.end())
        .isInstanceOfSatisfying(
            Freelist.End.Unreadable.class,
            end -> {
              assertThat(end.holder()).isEqualTo(order.getFirst());
              assertThat(end.slot()).isEqualTo(built.slot(order.getFirst()));
              assertThat(end.why()).isInstanceOf(PageRead.Excluded.class);
            });
    assertThat(walk.walker.readUnmet(walk.slab))
        .isEqualTo(new Freelist.Unmet(0, built.objects() - 1, 0));
  }

  /// What is behind a break still leads on; what is handed out holds its owner's words.
  @Test
  void objectsThatWereNotMetAreReadOnce() {
    for (int i = 0; i < built.objects(); i++) {
      if (!order.contains(i)) {
        image.corruptWord(built.slot(i), 0x1111_1111_1111_1111L);
      }
    }
    link(1, object(3) + 8);
    Walk walk = walk();
    walk.from(object(0));

    assertThat(walk.walker.readUnmet(walk.slab))
        .isEqualTo(new Freelist.Unmet(built.objects() - 2, 0, order.size() - 2));
  }

  /// More objects than a walker begins with room for, and fewer again.
  @Test
  void aWalkerServesSlabsOfAnySize() {
    FakeImage many =
        FakeKernel.of(Layout.V6_1)
            .seed(3)
            .cache(FakeCache.named("small", 32).partial(4).sheaves(0))
            .cache(FakeCache.named("large", 1024).partial(4).sheaves(0))
            .build();
    Kernel kernel = many.kernel();
    Freelist.Walker walker =
        new Freelist.Walker(
            many.survey().vote().decoder(), new SlabMemory(kernel.memory().physical()));
    for (String cache : List.of("large", "small", "large")) {
      SlabImage one = many.cache(cache).slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
      Slab slab =
          SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), List.of(one.pfn()))
              .getFirst()
              .slab();
      walker.start(slab);
      Freelist list = walker.walk(slab, one.object(one.freelist().getFirst()), HEAD_SLOT);
      assertThat(list).isEqualTo(new Freelist(one.freelist().size(), new Freelist.End.Closed()));
      assertThat(walker.lastMet(list)).isEqualTo(one.freelist());
    }
  }

  @Test
  void theFormsOfAPointerAreTheirOwnInverse() {
    for (FreelistDecoder decoder : FreelistDecoder.values()) {
      long word = decoder.decode(0xffff_8880_0000_1000L, 0xffff_8880_0000_2040L, 0x1234_5678L);
      assertThat(decoder.decode(word, 0xffff_8880_0000_2040L, 0x1234_5678L))
          .isEqualTo(0xffff_8880_0000_1000L);
    }
    assertThat(FreelistDecoder.PLAIN.decode(5, 6, 7)).isEqualTo(5);
    assertThat(FreelistDecoder.HARDENED.decode(0x10, 0x200, 0x3000)).isEqualTo(0x3210);
    assertThat(FreelistDecoder.HARDENED_SWAPPED.decode(0x10, 2, 0x3000))
        .isEqualTo(0x0200_0000_0000_3010L);
    assertThat(FreelistDecoder.HARDENED_SWAPPED.words())
        .isEqualTo("hardened, address byte-swapped");
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0, 0, true",
    "5, 2, 9, true",
    "5, 2, 10, false", // not more than half
    "4, 2, 6, false", // not more than twice the next
    "6, 3, 6, true", // all
    "6, 6, 7, false",
    "1, 0, 1, true",
    "1, 0, 2, false",
  })
  void aVoteIsClearBySharesAlone(int votes, int runnerUp, int slabs, boolean isClear) {
    assertThat(new FreelistDecoder.Vote(FreelistDecoder.PLAIN, votes, runnerUp, slabs).isClear())
        .isEqualTo(isClear);
  }
}
