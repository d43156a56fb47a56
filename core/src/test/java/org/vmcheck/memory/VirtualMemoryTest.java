package org.vmcheck.memory;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.vmcheck.arch.X86_64Paging;
import org.vmcheck.dump.PageRead;
import org.vmcheck.testing.PageTableBuilder;
import org.vmcheck.testing.SparseMemory;

class VirtualMemoryTest {
  private static final long DIRECT = 0xffff_8880_0000_0000L;
  private static final long VMALLOC = 0xffff_c900_0000_0000L;
  private static final long IMAGE = 0xffff_ffff_9280_0000L;

  private static final long IMAGE_BASE = 0xffff_ffff_8000_0000L;

  private final SparseMemory memory = new SparseMemory();
  private final PageTableBuilder tables = new PageTableBuilder(memory, 0x10_0000, 4, 0);

  private VirtualMemory virtual() {
    return new VirtualMemory(
        memory,
        new X86_64Paging(memory, 0x10_0000, 4, 0),
        new AddressMap(
            new AddressMap.Image(
                IMAGE,
                IMAGE + 0x20_0000,
                IMAGE_BASE,
                // The image lies below its linked physical place: phys_base is negative.
                0x40_0000 - (IMAGE - IMAGE_BASE)),
            IMAGE_BASE,
            0,
            new AddressMap.DirectMap(DIRECT, DIRECT, DIRECT + 0x1000_0000),
            0,
            VMALLOC));
  }

  @Test
  void imageAndDirectMapNeedNoPageTables() {
    memory.writeU64(0x40_0010, 0x1122_3344_5566_7788L);

    assertThat(virtual().physicalAddress(IMAGE + 0x10)).isEqualTo(0x40_0010);
    assertThat(virtual().physicalAddress(DIRECT + 0x40_0010)).isEqualTo(0x40_0010);
    assertThat(virtual().read(DIRECT + 0x40_0010, 8))
        .isInstanceOfSatisfying(
            MemoryRead.Bytes.class,
            read -> assertThat(read.view().u64(0)).isEqualTo(0x1122_3344_5566_7788L));
  }

  @Test
  void readAcrossPagesFollowsEachPagesOwnFrame() {
    tables.map(VMALLOC, 0x70_0000, 4096).map(VMALLOC + 4096, 0x50_0000, 4096);
    memory.write(0x70_0ffc, new byte[] {1, 2, 3, 4}).write(0x50_0000, new byte[] {5, 6, 7, 8});

    assertThat(virtual().read(VMALLOC + 4092, 8))
        .isInstanceOfSatisfying(
            MemoryRead.Bytes.class,
            read -> assertThat(read.view().u64(0)).isEqualTo(0x0807_0605_0403_0201L));
  }

  @Test
  void readThatRunsIntoAHoleNamesTheFirstMissingByte() {
    tables.map(VMALLOC, 0x70_0000, 4096);
    memory.touch(0x70_0000);

    assertThat(virtual().read(VMALLOC + 4000, 200))
        .isInstanceOfSatisfying(
            MemoryRead.NotMapped.class, read -> assertThat(read.vaddr()).isEqualTo(VMALLOC + 4096));
  }

  @Test
  void excludedPageIsMissingWithItsReason() {
    memory.touch(0x40_0000).exclude(0x40_0000);

    assertThat(virtual().read(DIRECT + 0x40_0008, 8))
        .isEqualTo(new MemoryRead.Missing(DIRECT + 0x40_0008, 0x400, new PageRead.Excluded(0x400)));
  }

  @Test
  void excludedPageTableIsMissingNotAWildPointer() {
    tables.map(VMALLOC, 0x70_0000, 4096);
    long table = tables.tableOf(VMALLOC, 1);
    memory.touch(0x70_0000).exclude(table);

    assertThat(virtual().read(VMALLOC, 8))
        .isEqualTo(
            new MemoryRead.Missing(VMALLOC, table >>> 12, new PageRead.Excluded(table >>> 12)));
  }

  @Test
  void readOfAnAbsurdSizeIsRefused() {
    assertThat(virtual().read(DIRECT, -1)).isInstanceOf(MemoryRead.NotMapped.class);
    assertThat(virtual().read(DIRECT, Integer.MAX_VALUE)).isInstanceOf(MemoryRead.NotMapped.class);
  }

  @Test
  void readThatWrapsAroundTheTopOfMemoryIsNotMapped() {
    assertThat(virtual().read(-4, 8)).isInstanceOf(MemoryRead.NotMapped.class);
  }
}
