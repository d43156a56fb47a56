package org.vmcheck.debuginfo;

import java.io.IOException;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.TestData;

/// Reading a real kernel's BTF: every record walked and checked, up to where types can be asked for
/// by name. The bound is memcpy of the same bytes: a floor that no reader reaches, since the length
/// of a record is known only when it is read.
@State(Scope.Thread)
public class BtfBenchmark {
  private byte[] bytes;
  private int types;

  /// What was read.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long types;
  }

  @Setup
  public void setUp() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      long start = kernel.symbol("__start_BTF").orElseThrow();
      int size = Math.toIntExact(kernel.symbol("__stop_BTF").orElseThrow() - start);
      if (!(kernel.memory().read(start, size) instanceof MemoryRead.Bytes(ByteView view))) {
        throw new IOException("the kernel's BTF cannot be read");
      }
      bytes = view.bytes(0, size);
    }
    types = BtfTypes.parse(ByteView.of("btf", bytes)).typeCount();
  }

  @Benchmark
  public BtfTypes vmcheck(Count count) throws IOException {
    BtfTypes parsed = BtfTypes.parse(ByteView.of("btf", bytes));
    count.types += parsed.typeCount();
    return parsed;
  }

  @Benchmark
  public byte[] bound(Count count) {
    count.types += types;
    return bytes.clone();
  }
}
