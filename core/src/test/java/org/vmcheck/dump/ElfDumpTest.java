package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.KdumpWriter;

class ElfDumpTest extends DumpFormatContract {
  @Override
  byte[] fixture() {
    return fixture(ElfWriter.of64()).bytes();
  }

  static ElfWriter fixture(ElfWriter writer) {
    byte[] two = Arrays.copyOf(contents(0x10), 8192);
    System.arraycopy(contents(0x11), 0, two, 4096, 4096);
    return writer
        .vmcoreinfo(INFO)
        .align(8)
        .load(0x20000, contents(0x20))
        .load(0x10000, 0xffff888000010000L, two, 0x3000);
  }

  @Override
  String format() {
    return "elf64";
  }

  static Stream<ElfWriter> everyClassAndByteOrder() {
    return Stream.of(
        ElfWriter.of64(),
        ElfWriter.of64().bigEndian(),
        ElfWriter.of64().extendedCount(),
        ElfWriter.of32(),
        ElfWriter.of32().bigEndian(),
        ElfWriter.of32().extendedCount());
  }

  @ParameterizedTest
  @MethodSource("everyClassAndByteOrder")
  void readsEveryClassAndByteOrder(ElfWriter writer) throws IOException {
    try (Dump dump = Dumps.open(fixture(writer).write(directory))) {
      for (long pfn : STORED) {
        assertThat(bytes(dump.memory().read(pfn))).isEqualTo(contents(pfn));
      }
      assertThat(dump.memory().read(0x12)).isEqualTo(new PageRead.Excluded(0x12));
      assertThat(dump.vmcoreinfo()).get().extracting(Vmcoreinfo::release).isEqualTo("6.1.0-test");
    }
  }

  @Test
  void moreSegmentsThanTheHeaderCanCountAreRead() throws IOException {
    ElfWriter writer = ElfWriter.of64().align(1);
    for (int i = 0; i < 70_000; i++) {
      writer.load(i * 0x2000L, 0, i == 69_999 ? contents(7) : new byte[0], 4096);
    }
    try (Dump dump = Dumps.open(writer.write(directory))) {
      assertThat(bytes(dump.memory().read(69_999L * 2))).isEqualTo(contents(7));
      assertThat(dump.loadSegments()).hasSize(70_000);
    }
  }

  @Test
  void theFirstOfTwoOverlappingSegmentsCounts() throws IOException {
    Path file =
        ElfWriter.of64()
            .load(0x5000, Bytes.filledWith(1))
            .load(0x4000, Bytes.filledWith(2, 0x3000))
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(bytes(dump.memory().read(4))).isEqualTo(Bytes.filledWith(2));
      assertThat(bytes(dump.memory().read(5))).isEqualTo(Bytes.filledWith(1));
      assertThat(bytes(dump.memory().read(6))).isEqualTo(Bytes.filledWith(2));
    }
  }

  @Test
  void aPageInTwoSegmentsIsPutTogether() throws IOException {
    byte[] page = contents(3);
    Path file =
        ElfWriter.of64()
            .load(0x3800, Arrays.copyOfRange(page, 0x800, 0x1000))
            .load(0x3000, Arrays.copyOf(page, 0x800))
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(bytes(dump.memory().read(3))).isEqualTo(page);
      assertThat(dump.memory().nextStored(0)).isEqualTo(3);
      assertThat(dump.memory().nextStored(4)).isEqualTo(-1);
    }
  }

  /// A partial last page is lost by makedumpfile; its bytes are not to be taken for zeros.
  @Test
  void aPartialPageIsNotInTheDump() throws IOException {
    Path file = ElfWriter.of64().load(0x1000, Bytes.filledWith(1, 0x1c00)).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().read(2)).isEqualTo(new PageRead.NotInDump(2));
      assertThat(dump.memory().endPfn()).isEqualTo(3);
    }
  }

  /// What one segment leaves out another may hold, whichever comes first.
  @Test
  void anUnstoredTailDoesNotHideWhatALaterSegmentHolds() throws IOException {
    Path file =
        ElfWriter.of64()
            .load(0x4000, 0, Bytes.filledWith(1), 0x4000)
            .load(0x6000, Bytes.filledWith(2))
            .load(0x4000, Bytes.filledWith(3))
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(bytes(dump.memory().read(4))).isEqualTo(Bytes.filledWith(1));
      assertThat(dump.memory().read(5)).isEqualTo(new PageRead.Excluded(5));
      assertThat(bytes(dump.memory().read(6))).isEqualTo(Bytes.filledWith(2));
      assertThat(dump.memory().read(7)).isEqualTo(new PageRead.Excluded(7));
      assertThat(dump.container().pages()).isEqualTo(new Container.Pages(4, 2, 2, 0));
    }
  }

  /// As below the BIOS's own memory at 0x9fc00, and where a segment begins inside a page.
  @Test
  void eachStoredByteOfAPageInPartIsReached() throws IOException {
    byte[] low = Arrays.copyOf(contents(1), 0xc00);
    byte[] high = Arrays.copyOfRange(contents(2), 0x123, 0x1000);
    Path file =
        ElfWriter.of64()
            .align(1)
            .load(0x9f000, low)
            .load(0xa1123, 0, high, 0x2000)
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      PhysicalMemory memory = dump.memory();
      assertThat(memory.read(0x9f)).isEqualTo(new PageRead.NotInDump(0x9f));
      assertThat(memory.storedInPart(0x9f000)).isEqualTo(0xc00);
      assertThat(memory.storedInPart(0x9fbff)).isEqualTo(1);
      assertThat(memory.storedInPart(0x9fc00)).isZero();
      assertThat(memory.storedInPart(0xa1000)).isZero();
      assertThat(memory.storedInPart(0xa1123)).isEqualTo(high.length);
      assertThat(bytes(memory.readPart(0x9f000, 0xc00))).isEqualTo(low);
      assertThat(bytes(memory.readPart(0x9fbff, 1))).containsExactly(low[0xbff]);
      assertThat(bytes(memory.readPart(0xa1123, high.length))).isEqualTo(high);
    }
  }

  @Test
  void aPageThatIsCutOffIsStoredUpToTheEndOfTheFile() throws IOException {
    byte[] whole = ElfWriter.of64().load(0x1000, Bytes.filledWith(1, 0x8000)).bytes();
    Path file = Files.write(directory.resolve("cut"), Arrays.copyOf(whole, 0x1000 + 0x2800));
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().storedInPart(0x2800)).isZero();
      assertThat(dump.memory().storedInPart(0x3000)).isEqualTo(0x800);
      assertThat(dump.memory().storedInPart(0x3800)).isZero();
      assertThat(bytes(dump.memory().readPart(0x3000, 0x800)))
          .isEqualTo(Bytes.filledWith(1, 0x800));
    }
  }

  private static byte[] bytes(MemorySegment segment) {
    return segment.toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void pagesBehindTheEndOfTheFileAreTruncated() throws IOException {
    byte[] whole =
        ElfWriter.of64()
            .load(0x1000, Bytes.filledWith(1, 0x8000))
            .load(0x20000, contents(1))
            .bytes();
    Path file = Files.write(directory.resolve("cut"), Arrays.copyOf(whole, 0x1000 + 0x2800));
    try (Dump dump = Dumps.open(file)) {
      assertThat(bytes(dump.memory().read(2))).isEqualTo(Bytes.filledWith(1));
      assertThat(dump.memory().read(3))
          .isEqualTo(
              new PageRead.Damaged(
                  3,
                  0x3000,
                  PageRead.Damage.TRUNCATED,
                  "the page lies beyond the file's 14336 bytes"));
      ContainerAudit audit = dump.audit();
      assertThat(audit.pages().damagedInAll()).isEqualTo(7);
      assertThat(audit.defects())
          .extracting(ContainerAudit.Defect::firstPfn, ContainerAudit.Defect::lastPfn)
          .containsExactly(
              org.assertj.core.groups.Tuple.tuple(3L, 8L),
              org.assertj.core.groups.Tuple.tuple(0x20L, 0x20L));
    }
  }

  @Test
  void wrappingSegmentsAreIgnoredWithARemark() throws IOException {
    Path file =
        ElfWriter.of64()
            .load(0x1000, contents(1))
            .load(-0x1000 & ~0xfffL, 0, new byte[0], Long.MAX_VALUE)
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().remarks())
          .containsExactly(
              "program header 1: p_paddr + p_memsz is beyond 2^52, where no memory is; ignored");
    }
  }

  @Test
  void whatIsNoDumpIsNamed() throws IOException {
    assertRefused(
        ElfWriter.of64().type(2).load(0, contents(1)),
        "[x] Ehdr.e_type at 0x10: expected 4 (a core), got 2: an executable (a vmlinux? give it"
            + " with --vmlinux)");
    assertRefused(ElfWriter.of64(), "[x] an ELF core without memory segments");
    assertRefused(
        ElfWriter.of64().note("CORE", 3, new byte[136]).load(0, 0x400000, contents(1), 4096),
        "[x] the core of a user process, not a kernel's dump: gdb reads it");
    assertRefused(
        ElfWriter.of64().load(-1, contents(1)),
        "[x] an ELF core whose segments carry no physical addresses");
  }

  /// Memory that ends inside a page, begins inside one, and a page of two segments.
  @Test
  void pagesStoredInPartAreCountedAsSuch() throws IOException {
    byte[] page = contents(1);
    Path file =
        ElfWriter.of64()
            .align(8)
            .load(0x1000, page)
            .load(0x2000, Arrays.copyOf(page, 0xc00))
            .load(0x5800, Arrays.copyOf(page, 0x800))
            .load(0x8000, Arrays.copyOf(page, 0x100))
            .load(0x8100, Arrays.copyOf(page, 0xf00))
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().pages()).isEqualTo(new Container.Pages(4, 2, 0, 0, 2));
      assertThat(dump.memory().storedInPart(0x2000)).isEqualTo(0xc00);
      assertThat(dump.memory().nextStored(2)).isEqualTo(8);
    }
  }

  @Test
  void xenIsNamedAsEachToolWritesIt() throws IOException {
    Path core = Files.write(directory.resolve("core"), ElfWriter.xenDumpCore(contents(1)));
    assertThatThrownBy(() -> Dumps.open(core))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessage(
            "[core] looks like an xl dump-core file, which is not supported: crash reads it");
    for (String note : List.of("Xen", "VMCOREINFO_XEN")) {
      Path kdump =
          KdumpWriter.version(6).note(note, 1, new byte[8]).raw(1, contents(1)).write(directory);
      Path elf = fixture(ElfWriter.of64()).note(note, 1, new byte[8]).write(directory, "elf");
      for (Path file : List.of(kdump, elf)) {
        assertThatThrownBy(() -> Dumps.open(file))
            .isInstanceOf(UnsupportedFormatException.class)
            .hasMessage(
                "[%s] looks like the dump of a Xen host (note %s), which is not supported: crash"
                        .formatted(file.getFileName(), note)
                    + " reads it");
      }
    }
  }

  private void assertRefused(ElfWriter writer, String message) throws IOException {
    Path file = writer.write(directory, "x");
    assertThatThrownBy(() -> Dumps.open(file)).hasMessage(message);
  }
}
