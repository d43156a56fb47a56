package org.vmcheck.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.task.Moments.Disagreement;
import org.vmcheck.task.Moments.Kind;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// What real dumps of one moment never have, and what copies with words of another have.
class MomentsTest {
  private static final long SECOND = 1_000_000_000;

  static List<TestData> dumps() throws Exception {
    return TestData.all();
  }

  private static Kernel kernel(Dump dump) {
    return ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
  }

  private static List<Disagreement> disagreements(Path path) throws Exception {
    try (Dump dump = Dumps.open(path)) {
      return Moments.disagreements(kernel(dump));
    }
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void aDumpOfOneMomentHasNone(TestData data) throws Exception {
    assertThat(disagreements(data.dump())).isEmpty();
  }

  @Test
  void ticksAheadOfTheirSourceAndATaskAheadOfAllClocksAreAProof(@TempDir Path dir)
      throws Exception {
    Path real = TestData.named("debian-cloud").dump();
    DumpCopy copy = DumpCopy.of(real);
    long jiffies;
    long started;
    try (Dump dump = Dumps.open(real)) {
      Kernel kernel = kernel(dump);
      jiffies = physical(kernel, kernel.symbol("jiffies_64").orElseThrow());
      StructLayout type = kernel.struct("task_struct", "se").orElseThrow();
      Task task = CallStacks.of(kernel).tasks().byPid(2).orElseThrow();
      started =
          physical(kernel, task.address() + type.member("se.exec_start").orElseThrow().offset());
    }
    copy.setWord(jiffies, copy.word(jiffies) - 250);
    Path ticks = copy.write(dir, Packer.ZLIB);
    assertThat(disagreements(ticks)).extracting(Disagreement::kind).containsExactly(Kind.TICKS);
    assertThat(Moments.prove(disagreements(ticks), 4096)).isFalse();

    copy.setWord(started, copy.word(started) + 600 * SECOND);
    List<Disagreement> both = disagreements(copy.write(dir, Packer.ZLIB));
    assertThat(both).extracting(Disagreement::kind).containsExactly(Kind.TICKS, Kind.CLOCK);
    assertThat(Moments.prove(both, 4096)).isTrue();
  }

  @Test
  void registersAloneOrOnePageAreNoProof() {
    Disagreement ticks = new Disagreement(Kind.TICKS, "ticks", 0x1000);
    Disagreement near = new Disagreement(Kind.CLOCK, "a clock", 0x1ff8);
    Disagreement stack = new Disagreement(Kind.REGISTERS, "a stack", 0x5000);
    Disagreement other = new Disagreement(Kind.REGISTERS, "a stack", 0x9000);

    assertThat(Moments.prove(List.of(ticks, near), 4096)).isFalse();
    assertThat(Moments.prove(List.of(stack, other), 4096)).isFalse();
    assertThat(Moments.prove(List.of(ticks, stack), 4096)).isTrue();
  }

  private static long physical(Kernel kernel, long address) {
    return kernel.memory().physicalAddress(address);
  }
}
