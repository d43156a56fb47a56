package org.vmcheck.desk;

import java.io.IOException;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.TestData;

/// The kernel of a dump of `testdata/`, open.
record RealKernel(Dump dump, Kernel kernel) implements AutoCloseable {
  static RealKernel of(TestData data) throws IOException {
    Dump dump = Dumps.open(data.dump());
    return new RealKernel(dump, ((KernelSearch.Found) KernelFinder.find(dump)).kernel());
  }

  @Override
  public void close() {
    dump.close();
  }
}
