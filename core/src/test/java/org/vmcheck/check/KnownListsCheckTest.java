package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// The well-known lists and the links of the data of real kernels: silent as the kernel left them,
/// and each changed link is named with the value that it must hold.
class KnownListsCheckTest extends ChangedDump {
  KnownListsCheckTest() {
    super(new KnownListsCheck(), "healthy");
  }

  private long word(long vaddr) {
    return kernel.word(vaddr).orElseThrow();
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.small().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void listsThatCloseAreSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("lists")).isGreaterThan(50);
      assertThat(ran.coverage().lookedAt().get("links in data")).isGreaterThan(2000);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 7, 13, 30, 47, 63})
  void aBitOfANamedListIsNamedWithTheRightValue(int bit) {
    List<Long> nodes =
        ListWalk.walk(kernel.memory(), kernel.symbol("super_blocks").orElseThrow(), 1000).nodes();
    for (int link : new int[] {0, 8}) {
      long address = nodes.get(nodes.size() / 2) + link;
      memory.restore().flip(physical(address), bit);

      Finding finding = only();

      assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
      assertThat(finding.claim()).startsWith("super_blocks.");
      assertThat(finding.subject().address()).isEqualTo(address);
      assertThat(finding.subject().decoded()).isEqualTo(word(address));
    }
  }

  private List<Long> emptyHeads() {
    long start = kernel.symbol("_sdata").orElseThrow();
    long end = kernel.symbol("_edata").orElseThrow();
    return Stream.iterate(start, at -> at + 8 < end, at -> at + 8)
        .filter(at -> word(at) == at && word(at + 8) == at)
        .toList();
  }

  /// Seeded: of the heads in data, any bit of any word.
  @Test
  void aBitOfALinkInDataIsNamedWithTheRightValue() {
    Random random = new Random(11);
    List<Long> heads = emptyHeads();
    assertThat(heads).hasSizeGreaterThan(300);
    for (int i = 0; i < 25; i++) {
      long address = heads.get(random.nextInt(heads.size())) + 8L * random.nextInt(2);
      memory.restore().flip(physical(address), random.nextInt(64));

      Finding finding = only();

      assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
      assertThat(finding.subject().address()).isEqualTo(address);
      assertThat(finding.subject().decoded()).isEqualTo(word(address));
    }
  }

  /// What a stray write leaves: no address. A list's circle, or the head's other word, says what it
  /// was.
  @Test
  void anOverwrittenLinkInDataIsNamedWithTheRightValue() {
    Random random = new Random(12);
    List<Long> heads = emptyHeads();
    for (int i = 0; i < 10; i++) {
      long address = heads.get(random.nextInt(heads.size())) + 8L * random.nextInt(2);
      memory.restore().setWord(physical(address), random.nextLong() >>> 1 | 1L << 62);

      Finding finding = only();

      assertThat(finding.cause()).isEqualTo(Cause.LIST_BROKEN);
      assertThat(finding.subject().address()).isEqualTo(address);
      assertThat(finding.subject().decoded()).isEqualTo(word(address));
    }
  }

  /// A pointer to its own structure before a small number, before an address of a program.
  @Test
  void halfAHeadBeforeWhatMayBeANumberIsNoLink() {
    long head = emptyHeads().get(20);
    for (long number : new long[] {0, 42, 0x7fff_ffff_f000L, 0xdead_0000_0000_0122L}) {
      memory.restore().setWord(physical(head + 8), number);
      assertThat(run().findings()).isEmpty();
    }
  }

  @Test
  void anOverwrittenNodeIsABrokenList() {
    List<Long> nodes =
        ListWalk.walk(kernel.memory(), kernel.symbol("super_blocks").orElseThrow(), 1000).nodes();
    memory.setWord(physical(nodes.get(2)), 0x6161616161616161L);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.LIST_BROKEN);
    assertThat(finding.subject().decoded()).isEqualTo(word(nodes.get(2)));
  }

  @Test
  void aFileSystemWhosePointerIsFlippedIsFound() {
    long first = kernel.symbol("file_systems").orElseThrow();
    memory.flip(physical(first), 2);

    assertThat(only().claim()).startsWith("file_systems.next leads to 0x");
  }

  /// `struct pid` has an array of hash heads, and a task is on several of them with nodes that
  /// follow each other.
  @Test
  void neighbouringHashHeadsAreNoList() {
    long at = kernel.symbol("init_struct_pid").orElseThrow() + 0x20;
    memory.setWord(physical(at + 8), word(at) + 16);

    assertThat(run().findings()).isEmpty();
  }

  /// A word that leads to its own struct, before an empty head, is no damaged head.
  @Test
  void aPointerToItselfBeforeAnEmptyHeadIsNoLink() {
    long at =
        emptyHeads().stream()
            .map(head -> head - 8)
            .filter(own -> (own & 8) == 0 && word(own) == 0)
            .findFirst()
            .orElseThrow();
    memory.setWord(physical(at), at);

    assertThat(run().findings()).isEmpty();
  }

  /// A struct with its first and its last child, which lead to their parent with their second word.
  @Test
  void aTreesNodeWithItsChildrenIsNoLink() {
    List<Long> heads = emptyHeads();
    long parent = heads.get(0);
    List<Long> children =
        heads.subList(1, heads.size()).stream().filter(head -> (head & 15) == 0).limit(2).toList();
    memory
        .setWord(physical(parent), children.get(0))
        .setWord(physical(parent + 8), children.get(1));
    for (long child : children) {
      memory.setWord(physical(child), 7).setWord(physical(child + 8), parent);
    }

    assertThat(run().findings()).isEmpty();
  }

  /// `list_add`, stopped after its first store: the new node is still clear.
  @Test
  void aNewNodeOfClearedMemoryIsNoFinding() {
    List<Long> nodes =
        ListWalk.walk(kernel.memory(), kernel.symbol("super_blocks").orElseThrow(), 1000).nodes();
    long fresh = nodes.get(1) & -0x1000L;
    while (word(fresh) != 0 || word(fresh + 8) != 0 || Long.bitCount(fresh ^ nodes.get(1)) < 2) {
      fresh += 8;
    }
    memory.setWord(physical(nodes.get(2) + 8), fresh);

    assertThat(run().findings()).isEmpty();
    assertThat(run().notes()).hasSize(1);
  }

  @Test
  void aSymbolOfThatNameThatIsNoHeadIsNotLookedAt() {
    long head = kernel.symbol("super_blocks").orElseThrow();
    memory.setWord(physical(head), 0x3231564e).setWord(physical(head + 8), 0x32315559);

    assertThat(run().findings()).isEmpty();
  }

  @Test
  void aNodeThatIsNotInTheDumpIsCounted() {
    List<Long> nodes =
        ListWalk.walk(kernel.memory(), kernel.symbol("super_blocks").orElseThrow(), 1000).nodes();
    memory.exclude(physical(nodes.get(2)) >>> 12);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead().get("lists")).isPositive();
  }

  @Test
  void aKernelWithoutSuchSymbolsHasNothingToLookAt() {
    var image = FakeKernel.of(Layout.V6_1).seed(3).build();

    CheckOutcome outcome = outcome(image.dump(), image.kernel());

    assertThat(((CheckOutcome.NothingToLookAt) outcome).why())
        .isEqualTo("no symbol names a list that is known here");
  }
}
