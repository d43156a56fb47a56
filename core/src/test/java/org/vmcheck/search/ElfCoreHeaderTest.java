package org.vmcheck.search;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.testing.SparseMemory;

class ElfCoreHeaderTest {
  /// As kexec-tools and the kernel's own loader write it.
  @ParameterizedTest
  @CsvSource({
    "elfcorehdr=867704K, 867704, 10",
    "root=/dev/vda elfcorehdr=0x35000000 quiet, 0x35000000, 0",
    "elfcorehdr=880803840, 880803840, 0",
    "ro elfcorehdr=512K@0x2f000000, 0x2f000000, 0",
    "elfcorehdr=2G, 2, 30"
  })
  void theAddressIsReadAsTheKernelReadsIt(String line, String number, int shift) {
    assertThat(ElfCoreHeader.address(line)).hasValue(Long.decode(number) << shift);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "root=/dev/vda ro crashkernel=256M",
        "noelfcorehdr=5",
        "elfcorehdr=",
        "x=elfcorehdr=5"
      })
  void otherKernelsHaveNone(String line) {
    assertThat(ElfCoreHeader.address(line)).isEmpty();
  }

  /// What claims to be one leads nowhere, and ends.
  @Test
  void anAddressOfNothingGivesNothing() {
    SparseMemory memory = new SparseMemory();
    memory.touch(0x1000);
    for (String value : new String[] {"9999999999999999999", "0xffffffffffffffff", "8589934592G"}) {
      long address = ElfCoreHeader.address("elfcorehdr=" + value).orElseThrow();
      assertThat(ElfCoreHeader.vmcoreinfo(memory, address)).isEmpty();
    }
    memory.writeU64(0x1000, 0x0001_0102_464c_457fL);
    memory.writeU64(0x1020, 64).writeU64(0x1030, 0xffff_0038_0000_0000L | 56L << 48);
    assertThat(ElfCoreHeader.vmcoreinfo(memory, 0x1000)).isEmpty();
  }
}
