package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class VmcoreinfoTest {
  private static final Vmcoreinfo INFO =
      Vmcoreinfo.parse(
          """
          OSRELEASE=6.1.0-56-cloud-amd64
          SYMBOL(_stext)=ffffffff93a00000
          OFFSET(page.flags)=0
          SIZE(page)=64
          LENGTH(zone.free_area)=11
          NUMBER(phys_base)=-234881024
          NUMBER(VMALLOC_START)=0xffffb17e80000000
          NUMBER(sme_mask)=140737488355328
          KERNELOFFSET=12a00000
          CRASHTIME=1700000000
          SYMBOL(bad)=zzz
          SIZE(huge)=99999999999999999999
          OSRELEASE=second
          no equals sign
          =nothing
          """
              + "\0OSRELEASE=after the NUL");

  @Test
  void eachFamilyOfKeysHasItsNumberFormat() {
    assertThat(INFO.release()).isEqualTo("6.1.0-56-cloud-amd64");
    assertThat(INFO.symbol("_stext")).hasValue(0xffffffff93a00000L);
    assertThat(INFO.offset("page.flags")).hasValue(0);
    assertThat(INFO.size("page")).hasValue(64);
    assertThat(INFO.length("zone.free_area")).hasValue(11);
    assertThat(INFO.number("phys_base")).hasValue(-234881024);
    assertThat(INFO.number("VMALLOC_START")).hasValue(0xffffb17e80000000L);
    assertThat(INFO.number("sme_mask")).hasValue(1L << 47);
    assertThat(INFO.kernelOffset()).hasValue(0x12a00000);
    assertThat(INFO.crashTime()).hasValue(1_700_000_000L);
  }

  @Test
  void aValueThatDoesNotParseIsAbsent() {
    assertThat(INFO.symbol("bad")).isEmpty();
    assertThat(INFO.size("huge")).isEmpty();
    assertThat(INFO.symbol("none")).isEmpty();
    assertThat(INFO.value("no equals sign")).isEmpty();
  }

  @Test
  void theTextEndsAtItsNul() {
    assertThat(INFO.text()).endsWith("=nothing\n");
    assertThat(Vmcoreinfo.parse("").isEmpty()).isTrue();
    assertThat(Vmcoreinfo.parse("OSRELEASE=6.1").release()).isEqualTo("6.1");
  }
}
