package org.vmcheck.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.testing.SparseMemory;

class RepagedMemoryTest {
  private final SparseMemory memory = new SparseMemory();

  @Test
  void aLargerPageIsPutTogetherOfBlocks() {
    for (int i = 0; i < 4; i++) {
      memory.writeU64(0x8000 + i * 0x1000L, i + 1);
    }
    PhysicalMemory pages = RepagedMemory.of(memory, 1 << 14);

    assertThat(pages.pageSize()).isEqualTo(16384);
    assertThat(pages.read(2))
        .isInstanceOfSatisfying(
            PageRead.Present.class,
            page -> {
              assertThat(page.bytes().byteSize()).isEqualTo(16384);
              assertThat(page.bytes().get(ValueLayout.JAVA_BYTE, 0x2000)).isEqualTo((byte) 3);
            });
    assertThat(pages.nextStored(0)).isEqualTo(2);
    assertThat(pages.nextStored(3)).isEqualTo(-1);
    assertThat(pages.endPfn()).isEqualTo(3);
  }

  @Test
  void aPageOfWhichABlockIsMissingIsWhatThatBlockIs() {
    memory.writeU64(0x8000, 1).touch(0x9000).exclude(0xa000).touch(0xb000);

    assertThat(RepagedMemory.of(memory, 1 << 14).read(2)).isInstanceOf(PageRead.Excluded.class);
  }

  @Test
  void aSmallerPageIsAPieceOfItsBlock() {
    for (int i = 0; i < 16; i++) {
      memory.writeU64(0x1_0000 + i * 0x1000L, i + 1);
    }
    PhysicalMemory blocks = RepagedMemory.of(memory, 1 << 16);
    PhysicalMemory pages = RepagedMemory.of(blocks, 1 << 12);

    assertThat(pages.endPfn()).isEqualTo(32);
    assertThat(pages.nextStored(0)).isEqualTo(16);
    assertThat(pages.nextStored(21)).isEqualTo(21);
    assertThat(pages.read(21))
        .isInstanceOfSatisfying(
            PageRead.Present.class,
            page -> {
              assertThat(page.bytes().byteSize()).isEqualTo(4096);
              assertThat(page.bytes().get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 6);
            });
    assertThat(pages.read(3)).isInstanceOf(PageRead.NotInDump.class);
  }

  @Test
  void equalSizesNeedNothingBetween() {
    assertThat(RepagedMemory.of(memory, 4096)).isSameAs(memory);
    assertThat(RepagedMemory.isPageSize(4096)).isTrue();
    assertThat(RepagedMemory.isPageSize(8192)).isFalse();
  }
}
