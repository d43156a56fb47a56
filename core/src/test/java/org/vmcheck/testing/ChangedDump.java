package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInstance;
import org.vmcheck.check.Check;
import org.vmcheck.check.CheckContext;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;

/// Tests of one check over one real dump, opened once, whose memory each test changes.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class ChangedDump {
  private final Check check;
  private final String data;

  protected Dump dump;
  protected Kernel kernel;
  protected ChangedMemory memory;

  /// @param data name of a folder of `testdata/`
  protected ChangedDump(Check check, String data) {
    this.check = check;
    this.data = data;
  }

  @BeforeAll
  protected final void openDump() throws Exception {
    dump = Dumps.open(TestData.named(data).dump());
    kernel = found(dump);
    memory = new ChangedMemory(dump.memory());
  }

  @AfterAll
  protected final void closeDump() {
    dump.close();
  }

  @BeforeEach
  protected final void restoreMemory() {
    memory.restore();
  }

  protected static Kernel found(Dump dump) {
    return ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
  }

  protected final CheckOutcome outcome(Dump dump, Kernel kernel) {
    return check.run(new CheckContext(dump, new KernelSearch.Found(kernel), 1, false, () -> false));
  }

  /// The check's answer over memory as it is now.
  protected final CheckOutcome.Ran run() {
    return (CheckOutcome.Ran) outcome(memory.of(dump), kernel.over(memory));
  }

  /// The one finding over memory as it is now.
  protected final Finding only() {
    List<Finding> findings = run().findings();
    assertThat(findings).hasSize(1);
    return findings.getFirst();
  }

  protected final long physical(long vaddr) {
    return kernel.memory().physicalAddress(vaddr);
  }
}
