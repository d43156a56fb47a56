package org.vmcheck.image;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.ChangedMemory;
import org.vmcheck.testing.TestData;

/// The text of a real kernel against a file that is made of it: some words are moved back to where
/// they were linked, and some places are named by the tables of places that the kernel patches.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TextPassTest {
  private static final long LINKED = 0xffff_ffff_8100_0000L;
  private static final int TEXT = 2 << 20;

  private Dump dump;
  private Kernel kernel;
  private ChangedMemory memory;
  private long text;
  private long offset;
  private byte[] code;

  @BeforeAll
  void open() throws Exception {
    dump = Dumps.open(TestData.named("healthy").dump());
    kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
    memory = new ChangedMemory(dump.memory());
    text = kernel.symbol("_text").orElseThrow();
    offset = text - LINKED;
    assertThat(offset).isPositive();
    code = kernel.memory().bytes(text, TEXT).bytes(0, TEXT);
    // Words that KASLR moved: one up, as most, one down, as places of per-CPU data, one over a
    // page.
    ByteBuffer words = ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN);
    words.putInt(0x10003, words.getInt(0x10003) - (int) offset);
    words.putInt(0x20007, words.getInt(0x20007) + (int) offset);
    words.putInt(0x30ffe, words.getInt(0x30ffe) - (int) offset);
    // What the kernel patched.
    for (int at : new int[] {0x40000, 0x40100, 0x40200}) {
      words.putInt(at, ~words.getInt(at));
    }
    words.putInt(0x50000, ~words.getInt(0x50000)); // A call.
  }

  @AfterAll
  void close() {
    dump.close();
  }

  @BeforeEach
  void restore() {
    memory.restore();
  }

  /// A table of places relative to each entry.
  private static Vmlinux.Part table(String name, long vaddr, int... places) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * places.length).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < places.length; i++) {
      bytes.putInt(4 * i, (int) (LINKED + places[i] - (vaddr + 4L * i)));
    }
    return new Vmlinux.Part(name, vaddr, ByteView.of(name, bytes.array()));
  }

  private static Vmlinux.Part alternatives(int stride, long vaddr, int place, int length) {
    ByteBuffer bytes = ByteBuffer.allocate(stride * 2).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < 2; i++) {
      int at = i * stride;
      bytes.putInt(at, (int) (LINKED + place - (vaddr + at)));
      bytes.putInt(at + 4, (int) (LINKED + 0x100 - (vaddr + at + 4)));
      bytes.put(at + (stride == 14 ? 12 : 10), (byte) length);
    }
    return new Vmlinux.Part(".altinstructions", vaddr, ByteView.of("alternatives", bytes.array()));
  }

  private TextSurvey survey(int stride, Vmlinux.Part... more) {
    List<Vmlinux.Part> parts = new ArrayList<>(List.of(more));
    parts.add(new Vmlinux.Part(".text", LINKED, ByteView.of("text", code)));
    parts.add(table(".return_sites", LINKED + (16 << 20), 0x40000));
    parts.add(table(".retpoline_sites", LINKED + (17 << 20), 0x40100));
    parts.add(table(".call_sites", LINKED + (18 << 20), 0x50000, 0x50100));
    parts.add(alternatives(stride, LINKED + (19 << 20), 0x40200, 6));
    return new TextPass(kernel.over(memory), parts).run();
  }

  private TextFault only() {
    TextSurvey survey = survey(14);
    assertThat(survey.remarks()).isEmpty();
    assertThat(survey.faults()).hasSize(1);
    return survey.faults().getFirst();
  }

  private long physical(int at) {
    return kernel.memory().physicalAddress(text + at);
  }

  @Test
  void whatWasMovedAndWhatTheKernelPatchesIsNoFault() {
    for (int stride : new int[] {12, 13, 14}) {
      TextSurvey survey = survey(stride);

      assertThat(survey.faults()).isEmpty();
      assertThat(survey.remarks()).isEmpty();
      assertThat(survey.lookedAt().get("bytes of text")).isBetween(TEXT - 40L, TEXT - 10L);
      assertThat(survey.sites()).isEqualTo(4);
    }
  }

  @Test
  void everyFlippedBitOfTextIsNamed() {
    Random random = new Random(3);
    for (int i = 0; i < 200; i++) {
      int at = 0x60000 + 8 * random.nextInt(0x10000);
      int bit = random.nextInt(64);
      memory.restore().flip(physical(at), bit);

      TextFault fault = only();

      assertThat(fault.bits()).isEqualTo(1);
      assertThat(fault.address()).isEqualTo(text + at + bit / 8);
      assertThat(fault.word()).isEqualTo(text + at);
      assertThat(fault.value() ^ fault.expected()).isEqualTo(1L << bit);
      assertThat(fault.expected()).isEqualTo(kernel.word(text + at).orElseThrow());
    }
  }

  @Test
  void aBitOfAnAddressThatWasMovedIsNamed() {
    // Byte 3 of the moved word, the word at 0x10000 holds its first bytes.
    memory.flip(physical(0x10000), 8 * 3 + 5);

    TextFault fault = only();

    assertThat(fault.bits()).isEqualTo(1);
    assertThat(fault.address()).isEqualTo(text + 0x10003);
    assertThat(Long.bitCount(fault.value() ^ fault.expected())).isEqualTo(1);
  }

  @Test
  void oneBitOfACallIsNamedAndAChangedCallIsNot() {
    memory.flip(physical(0x50100), 9);
    assertThat(only().bits()).isEqualTo(1);

    memory.restore().setWord(physical(0x50100), memory.word(physical(0x50100)) ^ 0xff00ffL);
    assertThat(survey(14).faults()).isEmpty();
  }

  /// The first list of `kprobe_table` leads to a `struct kprobe` in memory that nothing uses here.
  private void probe(int at, long value) {
    long probe = kernel.symbol("init_task").orElseThrow();
    memory.setWord(kernel.memory().physicalAddress(probe), 0);
    memory.setWord(kernel.memory().physicalAddress(probe + 40), text + at);
    memory.setWord(
        kernel.memory().physicalAddress(kernel.symbol("kprobe_table").orElseThrow()), probe);
    memory.setWord(physical(at), value);
  }

  @Test
  void aProbeIsNoFault() {
    long code = memory.word(physical(0x60100));
    for (long patched :
        new long[] {(code & (-1L << 40)) | 0x78_5634_12e9L, (code & ~0xffL) | 0xcc}) {
      memory.restore();
      probe(0x60100, patched);
      assertThat(survey(14).faults()).isEmpty();
      assertThat(survey(14).remarks()).isEmpty();
    }
  }

  @Test
  void aJumpThatNoProbeExplainsIsNamed() {
    long code = memory.word(physical(0x60100));
    memory.setWord(physical(0x60100), (code & (-1L << 40)) | 0x78_5634_12e9L);

    assertThat(only().address()).isEqualTo(text + 0x60100);
  }

  /// A debugger's, in a virtual machine: no table of the kernel tells of it.
  @Test
  void aLoneBreakpointIsCountedAndNotJudged() {
    int at = 0x60100;
    while (Integer.bitCount((code[at] & 0xff) ^ 0xcc) < 2) {
      at++;
    }
    long word = memory.word(physical(at));
    memory.setWord(physical(at), (word & ~0xffL) | 0xcc);

    TextSurvey survey = survey(14);

    assertThat(survey.faults()).isEmpty();
    assertThat(survey.remarks()).hasSize(1);
  }

  @Test
  void withoutTheTableOfProbesABreakpointThatIsOneBitAwayIsNotJudged() {
    int at = 0x60000;
    while (Integer.bitCount((code[at] & 0xff) ^ 0xcc) != 1) {
      at++;
    }
    long table = kernel.symbol("kprobe_table").orElseThrow();
    memory.flip(physical(at), Integer.numberOfTrailingZeros((code[at] & 0xff) ^ 0xcc));
    assertThat(survey(14).faults()).hasSize(1);

    memory.exclude(kernel.memory().physicalAddress(table) >>> 12);
    TextSurvey survey = survey(14);
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.remarks()).hasSize(1);
  }

  @Test
  void writtenOverCodeIsOnePlace() {
    memory.setWord(physical(0x70008), 0x6161616161616161L);
    memory.setWord(physical(0x70010), 0x6161616161616161L);

    TextFault fault = only();

    assertThat(fault.address()).isBetween(text + 0x70008, text + 0x7000b);
    assertThat(fault.byteCount()).isBetween(12L, 16L);
    assertThat(fault.bits()).isGreaterThan(8);
  }

  @Test
  void moreThanDamageLeavesIsSaidAndNotJudged() {
    for (int i = 0; i < 40; i++) {
      memory.flip(physical(0x80000 + 0x100 * i), 3);
    }

    TextSurvey survey = survey(14);

    assertThat(survey.faults()).isEmpty();
    assertThat(survey.remarks()).hasSize(1);
  }

  /// Kernels before 4.20: addresses, of the place, of where it leads, and of the key.
  @Test
  void jumpLabelsOfOldKernelsAreTheKernelsOwn() {
    long start = LINKED + (20 << 20);
    ByteBuffer labels = ByteBuffer.allocate(48).order(ByteOrder.LITTLE_ENDIAN);
    for (int at : new int[] {0, 24}) {
      labels.putLong(at, LINKED + 0x60100 + at).putLong(at + 8, LINKED + 0x60200);
    }
    Vmlinux.Part table =
        new Vmlinux.Part("__jump_table", start, ByteView.of("labels", labels.array()));
    PatchSites sites = new PatchSites(List.of(table), LINKED, LINKED + TEXT);
    sites.jumpLabels(start, start + 48, 5);

    assertThat(sites.sites()).isEqualTo(2);
    assertThat(sites.bytes()).isEqualTo(10);
    assertThat(sites.isOpen(LINKED + 0x60118)).isTrue();
  }

  /// Kernels before 5.6 sorted them when they started.
  @Test
  void tablesThatTheKernelSortsAreNotCompared() {
    Vmlinux.Part sorted = table(".orc_unwind_ip", LINKED + 0x100000, 0x200, 0x300, 0x400);
    Vmlinux.Part unsorted = table(".orc_unwind_ip", LINKED + 0x100000, 0x200, 0x400, 0x300);

    assertThat(survey(14, sorted).faults()).isNotEmpty();
    assertThat(survey(14, unsorted).faults()).isEmpty();
  }

  @Test
  void aPageThatIsNotInTheDumpIsCounted() {
    memory.exclude(physical(0x90000) >>> 12);

    TextSurvey survey = survey(14);

    assertThat(survey.faults()).isEmpty();
    assertThat(survey.notRead()).containsEntry("pages of the image", 1L);
  }
}
