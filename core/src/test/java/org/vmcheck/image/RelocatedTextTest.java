package org.vmcheck.image;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.RepagedMemory;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.ChangedMemory;
import org.vmcheck.testing.TestData;

/// The text of a real kernel of aarch64 against a flat image that is made of it: the tables that
/// were freed when it started are written anew, and some words moved back.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RelocatedTextTest {
  private static final int NOP = 0xd503_201f;

  private Dump dump;
  private Kernel kernel;
  private ChangedMemory memory;
  private long start;
  private long distance;
  private ByteBuffer image;
  private int pointers;
  private int alternative;
  private int function;

  @BeforeAll
  void open() throws Exception {
    dump = Dumps.open(TestData.named("debian-7.2-arm64").dump());
    kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
    PhysicalMemory pages = RepagedMemory.of(dump.memory(), kernel.memory().pageSize());
    memory = new ChangedMemory(pages);
    start = symbol("_text");
    distance = kernel.vmcoreinfo().kernelOffset().orElseThrow();
    assertThat(distance).isPositive();
    image = ByteBuffer.allocate(at("_edata")).order(ByteOrder.LITTLE_ENDIAN);
    for (int at = 0; at < at("__init_begin"); at += kernel.memory().pageSize()) {
      ByteView page = kernel.memory().bytes(start + at, kernel.memory().pageSize());
      image.put(at, page.bytes());
    }
    alternative = at("schedule") + 0x40;
    function = at("schedule") + 0x80;
    relocations();
    tables();
  }

  private long symbol(String name) {
    return kernel.symbol(name).orElseThrow();
  }

  private int at(String name) {
    return (int) (symbol(name) - start);
  }

  /// Two words of the read-only data hold addresses: one is named by `.rela.dyn`, with nothing at
  /// its place, as lld and ld leave it, the other by `.relr.dyn`, with the address as linked.
  private void relocations() {
    pointers = at("__start_rodata") + 0x4000;
    while (image.getLong(pointers) >> 32 != start >> 32
        || image.getLong(pointers + 8) >> 32 != start >> 32) {
      pointers += 8;
    }
    long linked = start - distance;
    image.putLong(at("__pi_rela_start"), linked + pointers);
    image.putLong(at("__pi_rela_start") + 8, 1027);
    image.putLong(at("__pi_rela_start") + 16, image.getLong(pointers) - distance);
    image.putLong(pointers, 0);
    image.putLong(pointers + 8, image.getLong(pointers + 8) - distance);
    // A place that is moved there and back, and with the next word its neighbour.
    image.putLong(at("__pi_relr_start"), linked + pointers + 8);
    for (int at = at("__pi_relr_start") + 8; at < at("__pi_relr_end"); at += 8) {
      image.putLong(at, 1);
    }
  }

  private void tables() {
    int entry = at("__alt_instructions");
    image.putInt(entry, alternative - entry).putInt(entry + 4, at("_stext") - entry - 4);
    image.put(entry + 10, (byte) 8).put(entry + 11, (byte) 8);
    // A function's entry as it is linked, at a place that memory patched.
    for (int i = 0; i < 3; i++) {
      image.putInt(function + 4 * i, i == 1 ? 0xd503_245f : NOP);
    }
    image.putInt(function + 12, 0x1234_5678);
    image.putLong(at("__start_mcount_loc"), start + function);
  }

  @AfterAll
  void close() {
    dump.close();
  }

  @BeforeEach
  void restore() {
    memory.restore();
    memory.setWord(
        physical(function), (0x1111_1111_2222_2222L & 0xffff_ffffL) | (0xd503_245fL << 32));
    memory.setWord(physical(function + 8), 0x9400_0001L | (0x1234_5678L << 32));
  }

  private TextSurvey survey() {
    Vmlinux.Part part = new Vmlinux.Part(Vmlinux.FLAT, 0, ByteView.of("image", image.array()));
    return new TextPass(kernel.over(memory), List.of(part)).run();
  }

  private TextFault only() {
    TextSurvey survey = survey();
    assertThat(survey.remarks()).isEmpty();
    assertThat(survey.faults()).hasSize(1);
    return survey.faults().getFirst();
  }

  private long physical(int at) {
    return kernel.memory().physicalAddress(start + at);
  }

  @Test
  void whatWasMovedAndWhatTheKernelPatchesIsNoFault() {
    memory.setWord(physical(alternative), 0x1414_1414_1414_1414L);

    TextSurvey survey = survey();

    assertThat(survey.remarks()).isEmpty();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.lookedAt().get("bytes of text")).isGreaterThan(16L << 20);
    assertThat(survey.lookedAt().get("bytes of read-only data")).isGreaterThan(12L << 20);
  }

  /// An ELF file's sections lie where they were linked, and leave gaps.
  @Test
  void theSectionsOfAnElfFileAreThatImageToo() {
    long linked = start - distance;
    int head = at("_stext");
    ByteView bytes = ByteView.of("vmlinux", image.array());
    List<Vmlinux.Part> parts =
        List.of(
            new Vmlinux.Part(".head.text", linked, bytes.slice(".head.text", 0, head)),
            new Vmlinux.Part(".text", linked + head, bytes.slice(".text", head, 0x60000)),
            new Vmlinux.Part(
                ".data",
                linked + head + 0x60000,
                bytes.slice(".data", head + 0x60000, bytes.size() - head - 0x60000)),
            new Vmlinux.Part(".elsewhere", 0x1000, bytes.slice(".elsewhere", 0, 64)));
    memory.flip(physical(at("schedule")), 5);

    TextSurvey survey = new TextPass(kernel.over(memory), parts).run();

    assertThat(survey.faults())
        .singleElement()
        .satisfies(fault -> assertThat(fault.bits()).isEqualTo(1));
  }

  @Test
  void whatIsBesideAPatchedPlaceIsNamed() {
    memory.flip(physical(alternative + 8), 3);
    assertThat(only().address()).isEqualTo(start + alternative + 8);

    restore();
    memory.flip(physical(function + 8), 35);
    assertThat(only().address()).isEqualTo(start + function + 12);
  }

  @Test
  void flippedBitsOfTextAndOfMovedAddressesAreNamed() {
    Random random = new Random(4);
    for (int i = 0; i < 6; i++) {
      int at = i == 0 ? pointers : i == 1 ? pointers + 8 : 0x60000 + 8 * random.nextInt(1 << 20);
      int bit = random.nextInt(64);
      restore();
      memory.flip(physical(at), bit);

      TextFault fault = only();

      assertThat(fault.bits()).isEqualTo(1);
      assertThat(fault.word()).isEqualTo(start + at);
      assertThat(fault.value() ^ fault.expected()).isEqualTo(1L << bit);
      assertThat(fault.section()).isEqualTo(i < 2 ? ".rodata" : ".text");
    }
  }

  @Test
  void aLoneBreakpointIsCountedAndNotJudged() {
    long word = memory.word(physical(0x60100));
    memory.setWord(physical(0x60100), (word & -1L << 32) | 0xd420_1000L);

    TextSurvey survey = survey();

    assertThat(survey.faults()).isEmpty();
    assertThat(survey.remarks()).hasSize(1);
  }

  @Test
  void aBranchThatWasWrittenOverCodeIsNamed() {
    long word = memory.word(physical(0x60100));
    memory.setWord(physical(0x60100), (word & -1L << 32) | 0x17ff_ffffL);

    TextFault fault = only();

    assertThat(fault.word()).isEqualTo(start + 0x60100);
    assertThat(kernel.architecture().instructions().target(start + 0x60100, fault.value()))
        .hasValue(start + 0x60100 - 4);
  }

  /// Nothing is judged by tables that are not there.
  @Test
  void anImageWithOtherTablesIsNotComparedWith() {
    int table = at("__pi_relr_start");
    long was = image.getLong(table);
    try {
      image.putLong(table, 2);
      TextSurvey survey = survey();
      assertThat(survey.faults()).isEmpty();
      assertThat(survey.lookedAt()).isEmpty();
      assertThat(survey.remarks()).hasSize(1);
    } finally {
      image.putLong(table, was);
    }
    int entry = at("__alt_instructions") + 11;
    try {
      image.put(entry, (byte) 9);
      assertThat(survey().remarks()).hasSize(1);
    } finally {
      image.put(entry, (byte) 8);
    }
  }
}
