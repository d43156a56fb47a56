package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.Bytes;

/// What every dump format keeps. The fixture holds frames 0x10 (stored), 0x11 (stored), 0x12
/// (excluded), 0x20 (stored), speaks of no frame between, and carries VMCOREINFO.
abstract class DumpFormatContract {
  static final String INFO = "OSRELEASE=6.1.0-test\nPAGESIZE=4096\nNUMBER(phys_base)=-4096\n";

  /// The frames that the fixture stores and what they hold.
  static final long[] STORED = {0x10, 0x11, 0x20};

  @TempDir Path directory;

  static byte[] contents(long pfn) {
    return Bytes.mixed(pfn);
  }

  /// The fixture's bytes.
  abstract byte[] fixture();

  abstract String format();

  final Path fixtureFile() throws IOException {
    return Files.write(directory.resolve("vmcore"), fixture());
  }

  static byte[] bytes(PageRead read) {
    assertThat(read).isInstanceOf(PageRead.Present.class);
    return ((PageRead.Present) read).bytes().toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void answersForEachFrameWhatItIs() throws IOException {
    try (Dump dump = Dumps.open(fixtureFile())) {
      PhysicalMemory memory = dump.memory();
      assertThat(memory.pageSize()).isEqualTo(4096);
      assertThat(memory.endPfn()).isEqualTo(0x21);
      for (long pfn : STORED) {
        assertThat(bytes(memory.read(pfn))).as("frame 0x%x", pfn).isEqualTo(contents(pfn));
        assertThat(bytes(memory.readInto(pfn, PageBuffer.of(memory)))).isEqualTo(contents(pfn));
      }
      assertThat(memory.read(0x12)).isEqualTo(new PageRead.Excluded(0x12));
      assertThat(memory.read(0x13)).isEqualTo(new PageRead.NotInDump(0x13));
      for (long wild : new long[] {0x21, 1L << 40, Long.MAX_VALUE, -1, Long.MIN_VALUE}) {
        assertThat(memory.read(wild)).isEqualTo(new PageRead.NotInDump(wild));
        assertThat(memory.defect(wild)).isEmpty();
      }
    }
  }

  @Test
  void walksTheStoredFramesInOrder() throws IOException {
    try (Dump dump = Dumps.open(fixtureFile())) {
      List<Long> seen = new ArrayList<>();
      for (long pfn = dump.memory().nextStored(0);
          pfn >= 0;
          pfn = dump.memory().nextStored(pfn + 1)) {
        seen.add(pfn);
      }
      assertThat(seen).containsExactly(0x10L, 0x11L, 0x20L);
      assertThat(dump.memory().nextStored(Long.MAX_VALUE)).isEqualTo(-1);
      assertThat(dump.memory().nextStored(-5)).isEqualTo(0x10);
    }
  }

  @Test
  void saysWhatItIs() throws IOException {
    try (Dump dump = Dumps.open(fixtureFile())) {
      Container container = dump.container();
      assertThat(container.format()).isEqualTo(format());
      assertThat(container.pages()).isEqualTo(new Container.Pages(4, 3, 1, 0));
      assertThat(container.incomplete()).isFalse();
      assertThat(container.remarks()).isEmpty();
      assertThat(dump.vmcoreinfo()).get().extracting(Vmcoreinfo::text).isEqualTo(INFO);
      assertThat(dump.files()).containsExactly(dump.path());
    }
  }

  @Test
  void aHealthyFileHasNothingToReport() throws IOException {
    try (Dump dump = Dumps.open(fixtureFile())) {
      ContainerAudit audit = dump.audit();
      assertThat(audit.defects()).isEmpty();
      assertThat(audit.disorder()).isEmpty();
      assertThat(audit.pages().stored()).isEqualTo(3);
      assertThat(audit.pages().damagedInAll()).isZero();
      PageSweep.Result sweep = PageSweep.over(dump, 2, OpenOptions.DEFAULT.progress(), () -> false);
      assertThat(sweep.defects()).isEmpty();
      assertThat(sweep.decoded()).isEqualTo(3);
      assertThat(sweep.finished()).isTrue();
    }
  }

  /// Every prefix opens or is refused by a declared exception; what opens answers every frame, and
  /// a frame that is not there whole is never answered with bytes.
  @Test
  void aPrefixIsADumpOrARefusal() throws IOException {
    prefixes(new Random(12), 250);
  }

  @Test
  @Tag("slow")
  void everyPrefixIsADumpOrARefusal() throws IOException {
    prefixes(new Random(13), 2000);
  }

  private void prefixes(Random random, int count) throws IOException {
    byte[] whole = fixture();
    for (int round = 0; round < count; round++) {
      int length = round < 100 ? round * 7 : random.nextInt(whole.length);
      probe(Arrays.copyOf(whole, length), true);
    }
  }

  @Test
  void aFlippedByteIsADumpOrARefusal() throws IOException {
    flips(new Random(4711), 400, 1);
  }

  @Test
  @Tag("slow")
  void manyFlippedBytesAreADumpOrARefusal() throws IOException {
    flips(new Random(815), 2000, 1);
    flips(new Random(816), 2000, 6);
  }

  /// Half of the flips hit the headers, where they do most.
  private void flips(Random random, int rounds, int most) throws IOException {
    byte[] whole = fixture();
    for (int round = 0; round < rounds; round++) {
      byte[] flipped = whole.clone();
      for (int flips = 1 + random.nextInt(most); flips > 0; flips--) {
        int at = random.nextInt(random.nextBoolean() ? Math.min(whole.length, 9000) : whole.length);
        flipped[at] =
            switch (random.nextInt(4)) {
              case 0 -> (byte) 0xff;
              case 1 -> (byte) 0x7f;
              case 2 -> 0;
              default -> (byte) random.nextInt(256);
            };
      }
      probe(flipped, false);
    }
  }

  /// @param onlyTrue whether a page that is answered must be the fixture's
  private void probe(byte[] bytes, boolean onlyTrue) throws IOException {
    Path file = Files.write(directory.resolve("probe"), bytes);
    try (Dump dump = Dumps.open(file)) {
      PageBuffer scratch = PageBuffer.of(dump.memory());
      for (long pfn = 0x0f; pfn <= 0x21; pfn++) {
        PageRead read = dump.memory().read(pfn);
        PageRead again = dump.memory().readInto(pfn, scratch);
        assertThat(again.words()).as("frame 0x%x", pfn).isEqualTo(read.words());
        if (read instanceof PageRead.Present(MemorySegment page)) {
          assertThat(page.byteSize()).isEqualTo(dump.memory().pageSize());
          if (onlyTrue) {
            assertThat(Arrays.equals(page.toArray(ValueLayout.JAVA_BYTE), contents(pfn)))
                .as("frame 0x%x of a prefix of %d bytes", pfn, bytes.length)
                .isTrue();
          }
        }
      }
      long steps = 0;
      for (long pfn = dump.memory().nextStored(0);
          pfn >= 0 && steps < 200;
          pfn = dump.memory().nextStored(pfn + 1)) {
        steps++;
        dump.memory().defect(pfn);
      }
      if (dump.container().pages().stored() < 100_000) {
        dump.audit();
      }
      dump.eraseinfo();
      dump.vmcoreinfo().ifPresent(Vmcoreinfo::release);
    } catch (MalformedFileException | UnsupportedFormatException e) {
      assertThat(e).hasMessageContaining("[probe] ");
    }
  }

  @Test
  void aFileCutShortWhileOpenAnswersUnreadable() throws IOException {
    Path file = fixtureFile();
    try (Dump dump = Dumps.open(file)) {
      try (var channel = Files.newByteChannel(file, java.nio.file.StandardOpenOption.WRITE)) {
        channel.truncate(100);
      }
      for (long pfn : STORED) {
        PageRead read = dump.memory().readInto(pfn, PageBuffer.of(dump.memory()));
        assertThat(read).isInstanceOf(PageRead.Unreadable.class);
      }
    }
  }

  @Test
  void anEmptyFileIsRefused() throws IOException {
    Path file = Files.createFile(directory.resolve("empty"));
    assertThatThrownBy(() -> Dumps.open(file)).hasMessage("[empty] the file is empty");
  }
}
