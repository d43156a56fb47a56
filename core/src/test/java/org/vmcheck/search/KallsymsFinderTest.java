package org.vmcheck.search;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.arch.Architectures;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.testing.KallsymsWriter;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.RealDumps;
import org.vmcheck.testing.SparseMemory;
import org.vmcheck.testing.TestData;

class KallsymsFinderTest {
  private static final long IMAGE_BASE = 0xffff_ffff_8000_0000L;
  private static final long TEXT = 0xffff_ffff_9280_0000L;
  private static final long TABLES = TEXT + 0x60_0000;

  /// The image lies at 0x500_0000, below its linked place.
  private static final long PHYS_BASE = 0x500_0000 - (TEXT - IMAGE_BASE);

  private static List<Symbol> symbols(boolean percpu) {
    List<Symbol> symbols = new ArrayList<>();
    for (int i = 0; i < 100 && percpu; i++) {
      symbols.add(new Symbol("percpu_variable_" + i, 'A', 0x40L * i));
    }
    symbols.add(new Symbol("_text", 'T', TEXT));
    symbols.add(new Symbol("_stext", 'T', TEXT));
    for (int i = 0; i < 2000; i++) {
      symbols.add(new Symbol("some_function_" + i, 't', TEXT + 0x1000 + 64L * i));
    }
    symbols.add(new Symbol("__start_rodata", 'R', TEXT + 0x40_0000));
    symbols.add(new Symbol("linux_banner", 'R', TEXT + 0x40_0040));
    symbols.add(new Symbol("__end_rodata", 'R', TEXT + 0xa0_0000));
    symbols.add(new Symbol("phys_base", 'D', TEXT + 0xc0_0010));
    symbols.add(new Symbol("_end", 'B', TEXT + 0x200_0000));
    return symbols;
  }

  private static SparseMemory memory(KallsymsWriter writer) {
    SparseMemory memory = new SparseMemory();
    byte[] noise = new byte[16 << 20];
    new Random(1).nextBytes(noise);
    memory.write(0x500_0000, noise);
    memory.write(physical(TABLES), writer.at(TABLES).bytes());
    memory.write(
        physical(TEXT + 0x40_0040),
        "Linux version 5.3.18 (gcc)".getBytes(StandardCharsets.ISO_8859_1));
    memory.writeU64(physical(TEXT + 0xc0_0010), PHYS_BASE);
    return memory;
  }

  private static long physical(long vaddr) {
    return vaddr - IMAGE_BASE + PHYS_BASE;
  }

  @Test
  void tablesGiveThePlaceOfTheImageWithNothingElseKnown() {
    for (KallsymsWriter writer :
        List.of(
            KallsymsWriter.as418(symbols(true)).relativeBase(TEXT),
            KallsymsWriter.as53(symbols(true)).relativeBase(TEXT),
            KallsymsWriter.as53(symbols(false)).encoding(Kallsyms.Encoding.ABSOLUTE),
            KallsymsWriter.as612(symbols(true)).relativeBase(TEXT),
            KallsymsWriter.as70(symbols(false)))) {
      KallsymsFinder.Found found =
          new KallsymsFinder(memory(writer), Architectures.all().getFirst())
              .findAnywhere()
              .orElseThrow();

      assertThat(found.imageOffset()).isEqualTo(IMAGE_BASE - PHYS_BASE);
      assertThat(found.symbols().address("phys_base")).hasValue(TEXT + 0xc0_0010);
      assertThat(found.symbols().address("some_function_1999")).hasValue(TEXT + 0x1000 + 64 * 1999);
    }
  }

  @Test
  void copyOfAKernelInThePageCacheIsNotTheRunningOne() {
    SparseMemory memory = memory(KallsymsWriter.as53(symbols(true)).relativeBase(TEXT));
    memory.write(
        0x100_0000,
        KallsymsWriter.as53(symbols(true)).relativeBase(0xffff_ffff_8100_0000L).at(TABLES).bytes());

    KallsymsFinder.Found found =
        new KallsymsFinder(memory, Architectures.all().getFirst()).findAnywhere().orElseThrow();

    assertThat(found.imageOffset()).isEqualTo(IMAGE_BASE - PHYS_BASE);
  }

  @Test
  void imageWhoseVariableContradictsIsNotTaken() {
    SparseMemory memory = memory(KallsymsWriter.as53(symbols(true)).relativeBase(TEXT));
    memory.writeU64(physical(TEXT + 0xc0_0010), PHYS_BASE + 0x20_0000);

    assertThat(new KallsymsFinder(memory, Architectures.all().getFirst()).findAnywhere()).isEmpty();
    assertThat(
            new KallsymsFinder(memory, Architectures.all().getFirst())
                .find(IMAGE_BASE - PHYS_BASE, TEXT, OptionalLong.of(TEXT), TEXT + (1 << 28)))
        .isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"dumps/debian-6.1.192-cloud.vmcore"})
  void realDumpGivesTheSameSymbolsByNameAndBySignature(String name) throws Exception {
    Path file = RealDumps.shared(name);
    assumeTrue(Files.exists(file));
    try (Dump dump = Dumps.open(file)) {
      Kernel told = kernel(dump, DebugSources.DEFAULT);
      Symbols found =
          kernel(dump, DebugSources.DEFAULT.ignoring(DebugSources.Kind.KALLSYMS_KEYS))
              .symbols()
              .orElseThrow();

      assertThat(found.source()).isEqualTo("kallsyms by signature");
      assertSame(told.symbols().orElseThrow(), found);
      KallsymsFinder.Found anywhere =
          new KallsymsFinder(dump.memory(), Architectures.all().getFirst())
              .findAnywhere()
              .orElseThrow();
      assertThat(anywhere.imageOffset()).isEqualTo(told.memory().map().imageOffset());
      assertSame(told.symbols().orElseThrow(), anywhere.symbols());
    }
  }

  @Test
  void kernelIsFoundWithoutAnyVmcoreinfo(@TempDir Path folder) throws Exception {
    Path file = TestData.named("debian-cloud").dump();
    KdumpWriter writer = KdumpWriter.version(6).machine("x86_64");
    try (Dump dump = Dumps.open(file)) {
      long next = 0;
      for (long pfn = dump.memory().nextStored(0);
          pfn >= 0;
          pfn = dump.memory().nextStored(pfn + 1)) {
        if (dump.memory().read(pfn) instanceof PageRead.Present(MemorySegment bytes)) {
          if (pfn > next) {
            writer.excluded(next, pfn);
          }
          byte[] page = bytes.toArray(ValueLayout.JAVA_BYTE);
          String text = new String(page, StandardCharsets.ISO_8859_1);
          for (int at = text.indexOf("OSRELEASE=");
              at >= 0;
              at = text.indexOf("OSRELEASE=", at + 1)) {
            page[at] = 'X';
          }
          writer.packed(pfn, page, Packer.ZLIB);
          next = pfn + 1;
        }
      }
      Kernel told = kernel(dump, DebugSources.DEFAULT);
      try (Dump bare = Dumps.open(writer.write(folder))) {
        Kernel found = kernel(bare, DebugSources.DEFAULT);

        assertThat(found.memory().map()).isEqualTo(told.memory().map());
        assertThat(found.identity().release()).isEqualTo(told.identity().release());
        assertThat(SlabCaches.of(found).caches()).hasSameSizeAs(SlabCaches.of(told).caches());
      }
    }
  }

  private static void assertSame(Symbols expected, Symbols actual) {
    assertThat(actual.count()).isEqualTo(expected.count());
    for (int i = 0; i < expected.count(); i++) {
      assertThat(actual.get(i)).isEqualTo(expected.get(i));
    }
  }

  private static Kernel kernel(Dump dump, DebugSources sources) throws IOException {
    KernelSearch search = KernelFinder.find(dump, sources);
    assertThat(search).isInstanceOf(KernelSearch.Found.class);
    return ((KernelSearch.Found) search).kernel();
  }
}
