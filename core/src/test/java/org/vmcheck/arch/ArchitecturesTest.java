package org.vmcheck.arch;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.Vmcoreinfo;

class ArchitecturesTest {
  private static final Vmcoreinfo OF_ARM64 =
      Vmcoreinfo.parse("NUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffff800000000000\n");
  private static final Vmcoreinfo OF_X86 = Vmcoreinfo.parse("NUMBER(phys_base)=0\n");

  /// Writes the width of addresses, and nothing that arm64 writes.
  private static final Vmcoreinfo OF_RISCV = Vmcoreinfo.parse("NUMBER(VA_BITS)=48\n");

  private static Container container(String machine, boolean is64, boolean isBigEndian) {
    return new Container(
        "elf64",
        0,
        false,
        List.of(),
        -1,
        is64,
        isBigEndian,
        machine,
        "",
        false,
        new Container.Pages(0, 0, 0, 0),
        List.of());
  }

  private static String name(Container container, Vmcoreinfo info) {
    return Architectures.of(container, info).map(Architecture::name).orElse("none");
  }

  @Test
  void theContainersWordCounts() {
    assertThat(name(container("x86_64", true, false), OF_ARM64)).isEqualTo("x86_64");
    assertThat(name(container("aarch64", true, false), OF_X86)).isEqualTo("aarch64");
    assertThat(Architectures.refusal(container("aarch64", true, false))).isEmpty();
  }

  /// QEMU's kdump writer has no name for arm64.
  @Test
  void whereTheContainerHasNoWordVmcoreinfoTells() {
    for (String machine : List.of("", "Unknown")) {
      Container container = container(machine, true, false);

      assertThat(Architectures.refusal(container)).isEmpty();
      assertThat(name(container, OF_ARM64)).isEqualTo("aarch64");
      assertThat(name(container, OF_X86)).isEqualTo("x86_64");
      assertThat(name(container, OF_RISCV)).isEqualTo("none");
    }
  }

  @Test
  void whatIsNotReadIsNamed() {
    assertThat(Architectures.refusal(container("s390x", true, true)).orElseThrow())
        .isEqualTo(
            "architecture not supported: s390x, big-endian (kernel checks read x86_64 and aarch64"
                + " only)");
    assertThat(Architectures.refusal(container("aarch64", true, true)).orElseThrow())
        .contains("aarch64, big-endian");
    assertThat(Architectures.refusal(container("arm", false, false)).orElseThrow())
        .contains("supported: arm (");
    assertThat(name(container("aarch64", true, true), OF_ARM64)).isEqualTo("none");
  }
}
