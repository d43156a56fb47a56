package org.vmcheck.search;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.arch.Architectures;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.testing.ElfWriter;

class VmcoreinfoSearchTest {
  private static final int STALE_NOTE = 0x8000;
  private static final int NOTE = 0x10000;
  private static final int DATA = 0x14000;

  @TempDir private Path directory;

  private static String info(String release, long uts) {
    return """
    OSRELEASE=%s
    PAGESIZE=4096
    SYMBOL(init_uts_ns)=%x
    OFFSET(uts_namespace.name)=4
    SYMBOL(swapper_pg_dir)=ffffffff80001000
    SYMBOL(_stext)=ffffffff80200000
    NUMBER(phys_base)=0
    """
        .formatted(release, uts);
  }

  /// 128 KiB of memory: page tables at 0x1000, the kernel's name at 0x5000.
  private static ByteBuffer memory() {
    ByteBuffer memory = ByteBuffer.allocate(0x20000).order(ByteOrder.LITTLE_ENDIAN);
    memory.putLong(0x1000 + 511 * 8, 0x2000 | 1);
    memory.putLong(0x2000 + 510 * 8, 0x3000 | 1);
    memory.putLong(0x3000 + 8, 0x200000 | 0x81);
    text(memory, 0x5000 + 4 + 130, "6.1.0-true");
    return memory;
  }

  private static void text(ByteBuffer memory, int at, String text) {
    memory.put(at, text.getBytes(StandardCharsets.US_ASCII));
  }

  private static void note(ByteBuffer memory, int at, String text) {
    memory.putInt(at, 11).putInt(at + 4, text.length()).putInt(at + 8, 0);
    text(memory, at + 12, "VMCOREINFO");
    text(memory, at + 24, text);
  }

  @SuppressWarnings("ByteBufferBackingArray") // allocated in this class
  private Optional<VmcoreinfoSearch.Found> search(ByteBuffer memory, long cr3) throws IOException {
    ByteBuffer cpu = ByteBuffer.allocate(440).order(ByteOrder.LITTLE_ENDIAN);
    cpu.putInt(0, 1).putInt(4, 440).putLong(416, cr3);
    Path file =
        ElfWriter.of64()
            .align(8)
            .note("QEMU", 0, cpu.array())
            .load(0, memory.array())
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      return VmcoreinfoSearch.in(dump);
    }
  }

  @Test
  void theNoteThatMemoryAgreesWithIsTaken() throws IOException {
    ByteBuffer memory = memory();
    note(memory, STALE_NOTE, info("5.4.0-stale", 0xffffffff80005000L));
    note(memory, NOTE, info("6.1.0-true", 0xffffffff80005000L));
    // The words also stand in read-only data, as a format and as a name.
    text(memory, 0x18010, "VMCOREINFO\0");
    text(memory, 0x19000, "OSRELEASE=%s\n");
    assertThat(search(memory, 0x1000))
        .get()
        .satisfies(
            found -> {
              assertThat(found.info().release()).isEqualTo("6.1.0-true");
              assertThat(found.paddr()).isEqualTo(NOTE + 24);
              assertThat(found.evidence())
                  .isEqualTo("the kernel's name in memory and the CPUs' page tables agree with it");
            });
  }

  /// With page-table isolation a CPU in user mode has its own table one page further on.
  @Test
  void aCpuInUserModeConfirmsThroughTheKernelsTable() throws IOException {
    ByteBuffer memory = memory();
    // The kernel's root at an 8 KiB boundary.
    memory.putLong(0x6000 + 511 * 8, 0x2000 | 1);
    note(memory, NOTE, info("6.1.0-true", 0xffffffff80005000L));
    assertThat(search(memory, 0x7000).orElseThrow().evidence()).contains("page tables agree");
  }

  /// Kernels before 4.13 keep the note in a static array, at any word and across pages.
  @Test
  void aNoteAcrossTwoPagesIsFound() throws IOException {
    ByteBuffer memory = memory();
    note(memory, NOTE + 4096 - 100, info("6.1.0-true", 0xffffffff80005000L));
    assertThat(search(memory, 0).orElseThrow())
        .satisfies(
            found -> {
              assertThat(found.info().text()).isEqualTo(info("6.1.0-true", 0xffffffff80005000L));
              assertThat(found.evidence()).isEqualTo("the kernel's name in memory agrees with it");
            });
  }

  @Test
  void theBareTextServesWhereTheNoteIsGone() throws IOException {
    ByteBuffer memory = memory();
    text(memory, DATA, info("6.1.0-true", 0xffffffff80005000L));
    assertThat(search(memory, 0x1000).orElseThrow().paddr()).isEqualTo(DATA);
  }

  /// Frames of a sparse core that hold nothing are not read: 4 GiB of them here, all of which the
  /// header says are stored.
  @Test
  void holesOfASparseCoreArePassedOver() throws IOException {
    ByteBuffer memory = memory();
    note(memory, NOTE, info("5.4.0-stale", 0xffffffff80005000L));
    Path core = sparse(memory, 4L << 30);
    try (Dump dump = Dumps.open(core)) {
      assertThat(dump.container().pages().stored()).isEqualTo(1 << 20);
      Cancellation work = Cancellation.after(Optional.empty());
      assertThat(work.run(() -> VmcoreinfoSearch.in(dump))).isEmpty();
      assertThat(
              work.run(
                  () ->
                      new KallsymsFinder(dump.memory(), Architectures.all().getFirst())
                          .findAnywhere()))
          .isEmpty();
      assertThat(work.steps()).isLessThan(20_000);
    }
  }

  @Test
  void whatTheDeadlineLeftUnsearchedIsNamed() throws IOException {
    try (Dump dump = Dumps.open(sparse(memory(), 1 << 20))) {
      Cancellation over = Cancellation.after(Optional.empty());
      over.cancel();
      assertThatThrownBy(() -> over.run(() -> VmcoreinfoSearch.in(dump)))
          .isInstanceOf(CancelledException.class)
          .hasMessage(
              "a request to stop; memory from 0x0 on was not searched for a VMCOREINFO note");
      assertThatThrownBy(
              () ->
                  over.run(
                      () ->
                          new KallsymsFinder(dump.memory(), Architectures.all().getFirst())
                              .findAnywhere()))
          .hasMessage("a request to stop; memory from 0x0 on was not searched for a symbol table");
    }
  }

  /// A core with one segment of that many bytes, of which the file holds the first; the rest is a
  /// hole.
  @SuppressWarnings("ByteBufferBackingArray") // allocated in this class
  private Path sparse(ByteBuffer memory, long byteCount) throws IOException {
    Path file = ElfWriter.of64().load(0, memory.array()).write(directory);
    try (RandomAccessFile core = new RandomAccessFile(file.toFile(), "rw")) {
      int header = 64 + 56 * (headers(core) - 1);
      core.seek(header + 32);
      core.writeLong(Long.reverseBytes(byteCount));
      core.writeLong(Long.reverseBytes(byteCount));
      core.seek(header + 8);
      core.setLength(Long.reverseBytes(core.readLong()) + byteCount);
    }
    return file;
  }

  private static int headers(RandomAccessFile core) throws IOException {
    core.seek(56);
    return Short.reverseBytes(core.readShort());
  }

  @Test
  void nothingIsMadeUp() throws IOException {
    ByteBuffer memory = memory();
    note(memory, NOTE, info("5.4.0-stale", 0xffffffff80005000L));
    note(memory, STALE_NOTE, "OSRELEASE=6.1.0-true\nPAGESIZE=4096\n");
    assertThat(search(memory, 0x1000)).isEmpty();
  }
}
