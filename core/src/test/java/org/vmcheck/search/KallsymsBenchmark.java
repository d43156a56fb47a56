package org.vmcheck.search;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.OptionalLong;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.TestData;

/// Decoding a real kernel's symbol table, up to where symbols can be asked for by name. The bound
/// is memcpy of the same tables: a floor that no decoder reaches, since each record's length must
/// be read before the next is found, and each name hashed.
@State(Scope.Thread)
public class KallsymsBenchmark {
  private Kallsyms.Tables tables;
  private OptionalLong stext;
  private byte[] bytes;

  /// What was decoded.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long symbols;
  }

  @Setup
  public void setUp() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      Kallsyms.Tables read = KernelFinder.kallsyms(kernel.vmcoreinfo(), kernel.memory());
      // Copies: the dump is closed when the clock starts.
      tables =
          new Kallsyms.Tables(
              read.count(),
              copy(read.names()),
              copy(read.tokenTable()),
              copy(read.tokenIndex()),
              copy(read.offsets()),
              read.offsetsAddress(),
              copy(read.absolute()),
              read.relativeBase());
      stext = kernel.vmcoreinfo().symbol("_stext");
    }
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    for (ByteView table :
        new ByteView[] {
          tables.names(),
          tables.tokenTable(),
          tables.tokenIndex(),
          tables.offsets(),
          tables.absolute()
        }) {
      if (table != null) {
        all.write(bytes(table));
      }
    }
    bytes = all.toByteArray();
  }

  private static byte[] bytes(ByteView table) throws IOException {
    return table.bytes(0, Math.toIntExact(table.size()));
  }

  private static ByteView copy(ByteView table) throws IOException {
    return table == null ? null : ByteView.of(table.part(), bytes(table));
  }

  @Benchmark
  public Symbols vmcheck(Count count) throws MalformedFileException {
    Symbols symbols = Kallsyms.decode(tables, stext);
    count.symbols += symbols.count();
    return symbols;
  }

  @Benchmark
  public byte[] bound(Count count) {
    count.symbols += tables.count();
    return bytes.clone();
  }
}
