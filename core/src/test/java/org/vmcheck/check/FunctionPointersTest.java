package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.Modules;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.TestData;

/// Tables of functions without the kernel's file: silent in all dumps, and an entry that leads
/// elsewhere is named with where.
class FunctionPointersTest extends ChangedDump {
  FunctionPointersTest() {
    super(new ImageTextCheck(), "debian-cloud");
  }

  private long word(long vaddr) {
    return kernel.word(vaddr).orElseThrow();
  }

  private long symbol(String name) {
    return kernel.symbol(name).orElseThrow();
  }

  private Symbol symbolAt(long address) {
    return kernel.symbols().orElseThrow().atOrBefore(address).orElseThrow();
  }

  private boolean isFunction(long value) {
    return value >= symbol("_stext")
        && value < symbol("_etext")
        && symbolAt(value).address() == value;
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.all().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void whatWasLinkedIsSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));
      assertThat(ran.findings()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("system calls")).isGreaterThan(300);
      assertThat(ran.coverage().lookedAt().get("pointers to functions")).isGreaterThan(1000);
    }
  }

  private Finding named(long at) {
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.TEXT_MODIFIED);
    assertThat(finding.subject().address()).isEqualTo(at);
    return finding;
  }

  @Test
  void aSystemCallThatLeadsIntoAModuleIsNamedWithIt() {
    Modules.Module module = kernel.modules().all().getFirst();
    long hook = module.ranges().getFirst().start() + 0x40;
    long slot = symbol("sys_call_table") + 8 * 62;
    memory.setWord(physical(slot), hook);

    assertThat(named(slot).claim())
        .startsWith("sys_call_table[62] leads to ")
        .contains(module.name());

    // Into the middle of another, to nothing, to nobody's memory.
    for (long other : new long[] {word(slot) + 3, 0, 0x4141_4141_4141_4141L}) {
      memory.restore().setWord(physical(slot), other);
      named(slot);
    }
    // Another system call is as good as this one.
    memory.restore().setWord(physical(slot), word(slot + 8));
    assertThat(run().findings()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 35, 50, 63})
  void aBitOfASystemCallIsNamedWithTheFunction(int bit) {
    long slot = symbol("sys_call_table") + 8 * 100;
    memory.flip(physical(slot), bit);

    Finding finding = named(slot);

    assertThat(finding.subject().raw()).isEqualTo(word(slot) ^ 1L << bit);
    if (bit > 3) {
      assertThat(finding.subject().decoded()).isEqualTo(word(slot));
    }
  }

  /// Selector, type, an entry that is not present, a target outside the image.
  @Test
  void aGateThatTheKernelDoesNotWriteIsNamed() {
    long gate = symbol("idt_table") + 16 * 14;
    for (int bit : new int[] {17, 40, 47, 64, 70}) {
      if (bit != 40) {
        memory.restore().flip(physical(gate) + (bit & 64) / 8, bit & 63);
        assertThat(named(gate).claim()).startsWith("idt_table[14] ");
      }
    }
    // A trap gate, and one that programs may call.
    memory.restore().flip(physical(gate), 40);
    assertThat(run().findings()).isEmpty();
    memory.setWord(physical(gate), word(gate) | 3L << 45);
    assertThat(run().findings()).isEmpty();
    // One that is not used.
    memory.restore().setWord(physical(gate), 0).setWord(physical(gate) + 8, 0);
    assertThat(run().findings()).isEmpty();
  }

  /// What has no symbol of its own may follow the table: a switch's table of jumps.
  @Test
  void whatLiesBehindTheLastSystemCallIsNoneOfThem() {
    long table = symbol("sys_call_table");
    long end = kernel.symbols().orElseThrow().nextAbove(table).orElseThrow();
    long last = end - 8;
    while (!isFunction(word(last))) {
      last -= 8;
    }
    for (long at = last - 24; at < end; at += 8) {
      memory.setWord(physical(at), symbol("_stext") + 0x1001 + 16 * (at & 0xff));
    }
    assertThat(run().findings()).isEmpty();
  }

  private List<Long> pointers() {
    long start = symbol("__start_rodata");
    long end = symbol("__start_ro_after_init");
    return LongStream.iterate(start, at -> at < end, at -> at + 8)
        .filter(at -> kernel.word(at).isPresent() && isFunction(word(at)))
        .filter(at -> symbolAt(at).address() == symbolAt(at + 16).address())
        .filter(at -> !symbolAt(at).name().endsWith("sys_call_table"))
        .filter(at -> isFunction(word(at + 8)) && isFunction(word(at + 16)))
        .boxed()
        .toList();
  }

  @Test
  void aPointerOfAReadOnlyStructureLeadsToAFunctionOfTheKernel() {
    List<Long> pointers = pointers();
    assertThat(pointers).hasSizeGreaterThan(100);
    long at = pointers.get(pointers.size() / 2);
    for (int bit : new int[] {0, 2, 40, 55, 63}) {
      memory.restore().flip(physical(at), bit);
      if (bit < 47 && bit > 20) {
        continue; // Where it leads is not known to be wrong: numbers look so.
      }
      assertThat(named(at).claim()).contains(symbolAt(at).name());
    }
    // Where a function of a module begins.
    Modules.Module module = kernel.modules().all().getFirst();
    Symbols ofModule = kernel.modules().symbols(module).orElseThrow();
    long hook =
        ofModule.atOrBefore(module.ranges().getFirst().start() + 0x100).orElseThrow().address();
    memory.restore().setWord(physical(at), hook);
    assertThat(named(at).claim()).contains(module.name());
    // A null pointer is a method that there is not.
    memory.restore().setWord(physical(at), 0);
    assertThat(run().findings()).isEmpty();
  }

  /// Computed jumps keep the addresses of labels in such a table.
  @Test
  void labelsWithinFunctionsAreNoPointersToFunctions() {
    long at = pointers().getFirst();
    memory.setWord(physical(at), word(at) + 1).setWord(physical(at) + 8, word(at + 8) + 1);

    assertThat(run().findings()).isEmpty();
  }
}
