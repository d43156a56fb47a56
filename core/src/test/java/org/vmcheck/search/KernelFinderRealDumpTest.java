package org.vmcheck.search;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.LayoutTable;
import org.vmcheck.testing.RealDumps;

/// Against a real dump of Debian's 6.1 kernel and layouts that pahole wrote for it.
class KernelFinderRealDumpTest {
  private static final Path DUMP = RealDumps.shared("dumps/debian-6.1.192-cloud.vmcore");
  private static final Path LAYOUTS = RealDumps.shared("layouts/6.1.192-debian-cloud.tsv");

  static Kernel kernel(Dump dump) {
    KernelSearch search = KernelFinder.find(dump);
    assertThat(search).isInstanceOf(KernelSearch.Found.class);
    return ((KernelSearch.Found) search).kernel();
  }

  @Test
  void allSymbolsAreDecoded() throws Exception {
    assumeTrue(Files.exists(DUMP));
    try (Dump dump = Dumps.open(DUMP)) {
      Symbols symbols = kernel(dump).symbols().orElseThrow();

      assertThat(symbols.count()).isEqualTo(87_347);
      assertThat(symbols.address("fixed_percpu_data")).hasValue(0);
      assertThat(symbols.address("init_task").orElseThrow() >>> 31).isEqualTo(0x1_ffff_ffffL);
    }
  }

  @Test
  void everyStructOfTheTableHasItsSizeAndMembers() throws Exception {
    assumeTrue(Files.exists(DUMP) && Files.exists(LAYOUTS));
    try (Dump dump = Dumps.open(DUMP)) {
      RealDumps.assertAgrees(kernel(dump).types().orElseThrow(), LayoutTable.read(LAYOUTS));
    }
  }
}
