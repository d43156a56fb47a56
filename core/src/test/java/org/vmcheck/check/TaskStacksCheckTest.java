package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.StructLayout;
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

/// The guard words and lists of real tasks: silent where they are as the kernel left them, and each
/// changed word is named, by its place, with the value that it must hold.
class TaskStacksCheckTest extends ChangedDump {
  TaskStacksCheckTest() {
    super(new TaskStacksCheck(), "debian-cloud");
  }

  private StructLayout task;
  private long init;

  /// A process in the middle of the list.
  private long process;

  @BeforeAll
  void look() throws Exception {
    task = kernel.struct("task_struct").orElseThrow();
    init = kernel.symbol("init_task").orElseThrow();
    List<Long> nodes = ListWalk.walk(kernel.memory(), init + at("tasks"), 1 << 16).nodes();
    process = nodes.get(nodes.size() / 2) - at("tasks");
  }

  private int at(String member) {
    return task.member(member).orElseThrow().offset();
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.small().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void aKernelWhoseTasksAreSoundIsSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("stack ends")).isGreaterThan(30);
      assertThat(ran.coverage().lookedAt().get("lists")).isGreaterThan(100);
      assertThat(ran.coverage().lookedAt().get("return addresses")).isGreaterThan(30);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 17, 40, 63})
  void aBitOfAStacksEndIsNamed(int bit) {
    long stack = kernel.word(process + at("stack")).orElseThrow();
    memory.flip(physical(stack), bit);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().address()).isEqualTo(stack);
    assertThat(finding.subject().decoded()).isEqualTo(0x57ac6e9dL);
  }

  @Test
  void whatRanOverTheEndIsAnOverrun() {
    long stack = kernel.word(process + at("stack")).orElseThrow();
    memory.setWord(physical(stack), 0x4141414141414141L);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.STACK_OVERRUN);
    assertThat(finding.claim()).startsWith("the word at the end of the stack of task ");
  }

  @ParameterizedTest
  @ValueSource(ints = {8, 31, 56, 63})
  void aBitOfATasksCanaryIsToldFromItsStack(int bit) {
    memory.flip(physical(process + at("stack_canary")), bit);

    Finding finding = only();

    assertThat(finding.subject().address()).isEqualTo(process + at("stack_canary"));
    assertThat(finding.subject().decoded())
        .isEqualTo(kernel.word(process + at("stack_canary")).orElseThrow());
  }

  @Test
  void aBitOfACanaryOnAStackIsNamedThere() {
    long sp = kernel.word(process + at("thread.sp")).orElseThrow();
    long canary = kernel.word(process + at("stack_canary")).orElseThrow();
    long copy = sp;
    while (kernel.word(copy).orElseThrow() != canary) {
      copy += 8;
    }
    memory.flip(physical(copy), 44);

    assertThat(only().subject().address()).isEqualTo(copy);
  }

  /// A function that had returned left its canary where another has a variable of one byte.
  @Test
  void aVariableWhereACanaryWasIsNoFinding() {
    long sp = kernel.word(process + at("thread.sp")).orElseThrow();
    long canary = 0x01fa_0493_8619_fd00L;
    long was = kernel.word(process + at("stack_canary")).orElseThrow();
    long end = kernel.word(process + at("stack")).orElseThrow() + (16 << 10);
    memory.setWord(physical(process + at("stack_canary")), canary);
    long unused = 0;
    for (long at = sp; at < end; at += 8) {
      long word = kernel.word(at).orElseThrow();
      if (word == was) {
        memory.setWord(physical(at), canary);
      } else if (word == 0) {
        unused = at;
      }
    }
    memory.setWord(physical(unused), canary ^ 1L << 56);
    assertThat(run().findings()).isEmpty();

    memory.setWord(physical(unused), canary ^ 1L << 44);
    assertThat(only().subject().address()).isEqualTo(unused);
  }

  /// A canary that is not set yet is 0, which is one bit from many a word.
  @Test
  void aCanaryThatIsNotSetIsHeldAgainstNothing() {
    long at = kernel.word(process + at("thread.sp")).orElseThrow();
    while (kernel.word(at).orElseThrow() != 0) {
      at += 8;
    }
    memory.setWord(physical(process + at("stack_canary")), 0).setWord(physical(at), 1L << 20);

    assertThat(run().findings()).isEmpty();
  }

  @Test
  void stacksOfAnotherSizeAreCounted() {
    List<Long> nodes = ListWalk.walk(kernel.memory(), init + at("tasks"), 1 << 16).nodes();
    for (long node : nodes.subList(0, nodes.size() / 2)) {
      long at = node - at("tasks") + at("thread.sp");
      memory.setWord(physical(at), kernel.word(at).orElseThrow() + (16 << 10));
    }

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead().get("stacks of another size")).isGreaterThan(20L);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 12, 13, 33, 47, 60})
  void aBitOfALinkIsNamedWithTheRightValue(int bit) {
    for (int link : new int[] {0, 8}) {
      long address = process + at("tasks") + link;
      long right = kernel.word(address).orElseThrow();
      memory.restore().flip(physical(address), bit);

      Finding finding = only();

      assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
      assertThat(finding.subject().address()).isEqualTo(address);
      assertThat(finding.subject().decoded()).isEqualTo(right);
    }
  }

  @Test
  void anOverwrittenLinkIsABrokenList() {
    long address = process + at("children");
    memory.setWord(physical(address), 0x6161616161616161L);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.LIST_BROKEN);
    assertThat(finding.claim()).startsWith("task_struct.children.next of task ");
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 2, 14, 20, 50})
  void aBitOfASavedStackPointerIsNamed(int bit) {
    memory.flip(physical(process + at("thread.sp")), bit);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(bit < 3 ? Cause.UNKNOWN : Cause.BIT_FLIP);
    assertThat(finding.subject().address()).isEqualTo(process + at("thread.sp"));
  }

  @ParameterizedTest
  @ValueSource(ints = {14, 20, 50})
  void aBitOfTheStacksAddressIsNamed(int bit) {
    memory.flip(physical(process + at("stack")), bit);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().address()).isEqualTo(process + at("stack"));
  }

  @ParameterizedTest
  @ValueSource(ints = {3, 20, 62})
  void aBitOfWhereASleepingTaskGoesOnIsNamed(int bit) {
    long sp = kernel.word(process + at("thread.sp")).orElseThrow();
    int ret =
        kernel
            .struct("inactive_task_frame")
            .orElseThrow()
            .member("ret_addr")
            .orElseThrow()
            .offset();
    memory.flip(physical(sp + ret), bit);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().address()).isEqualTo(sp + ret);
  }

  /// `list_add`, stopped after its first store and before its last.
  @Test
  void aListThatACpuWasChangingIsNoFinding() {
    long next = kernel.word(process + at("tasks")).orElseThrow();
    long fresh = // Any node that is on another list, more than a bit away.
        Stream.of("children", "sibling", "pending.list")
            .map(member -> process + at(member))
            .filter(node -> Long.bitCount(node ^ process + at("tasks")) > 1)
            .findFirst()
            .orElseThrow();
    memory.setWord(physical(next + 8), fresh);
    assertThat(run().findings()).isEmpty();

    memory.setWord(physical(fresh), next).setWord(physical(fresh + 8), process + at("tasks"));
    assertThat(run().findings()).extracting(f -> f.subject().address()).doesNotContain(next + 8);

    // `list_del`, after its first store: the node behind leads past this one.
    memory.restore();
    memory.setWord(physical(next + 8), kernel.word(process + at("tasks") + 8).orElseThrow());
    assertThat(run().findings()).isEmpty();
    assertThat(run().notes()).hasSize(1);
  }

  /// `list_splice_tail_init`, stopped after each of its stores: a task that ends gives its children
  /// to another.
  @Test
  void childrenThatWereBeingGivenToAnotherTaskAreNoFinding() {
    long to = init + at("children");
    long list = // Of the other kernel threads, in the list of the first task's children.
        kernel.word(to + 8).orElseThrow() - at("sibling") + at("children");
    long first = kernel.word(list).orElseThrow();
    long last = kernel.word(list + 8).orElseThrow();
    assertThat(first).isNotEqualTo(last);
    long before = kernel.word(to + 8).orElseThrow();
    long[][] stores = {
      {first + 8, before}, {before, first}, {last, to}, {to + 8, last}, {list, list}
    };
    for (long[] store : stores) {
      memory.setWord(physical(store[0]), store[1]);

      assertThat(run().findings()).isEmpty();
      assertThat(run().notes()).isNotEmpty();
    }
  }

  /// A task that has left the lists goes on to run, and has a canary of its own.
  @Test
  void aCpuThatWasSwitchingToATaskThatEndsIsNoFinding() {
    var type = kernel.struct("fixed_percpu_data").orElseThrow();
    long at =
        kernel.perCpu().address(kernel.symbol("fixed_percpu_data").orElseThrow(), 0)
            + type.member("stack_canary").orElseThrow().offset();
    long right = kernel.word(at).orElseThrow();
    memory.setWord(physical(at), 0x5ac3_1277_80e4_9b00L);
    assertThat(run().findings()).isEmpty();

    memory.setWord(physical(at), right ^ 1L << 40);
    assertThat(only().subject().address()).isEqualTo(at);
  }

  @Test
  void aStackThatIsNotInTheDumpIsCounted() {
    long stack = kernel.word(process + at("stack")).orElseThrow();
    memory.exclude(physical(stack) >>> 12);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead()).containsEntry("stacks", 1L);
  }

  @Test
  void aKernelWhoseTasksAreNotKnownHasNothingToLookAt() {
    var image = FakeKernel.of(Layout.V6_1).seed(3).build();

    CheckOutcome outcome = outcome(image.dump(), image.kernel());

    assertThat(outcome).isInstanceOf(CheckOutcome.NothingToLookAt.class);
    assertThat(((CheckOutcome.NothingToLookAt) outcome).why())
        .isEqualTo("the symbol init_task is not known");
  }
}
