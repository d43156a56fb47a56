package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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

  @ParameterizedTest
  @ValueSource(
      strings = {
        "NUMBER(PG_slab)=9223372036854775807",
        "NUMBER(PG_lru)=-1",
        "NUMBER(PG_hwpoison)=64",
        "NUMBER(PG_head_mask)=0",
        "NUMBER(PG_head_mask)=3",
        "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=0",
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-1",
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=4294967296",
        "NUMBER(phys_base)=1",
        "NUMBER(phys_base)=9223372036854775807",
        "NUMBER(sme_mask)=-1",
        "NUMBER(sme_mask)=4096",
        "NUMBER(pgtable_l5_enabled)=2",
        "NUMBER(KERNEL_IMAGE_SIZE)=0",
        "NUMBER(SECTION_SIZE_BITS)=64",
        "NUMBER(VMALLOC_START)=0x1000",
        "SYMBOL(swapper_pg_dir)=1000",
        "SYMBOL(_stext)=7fffffffffffffff",
        "SYMBOL(prb)=0",
        "SIZE(page)=0",
        "SIZE(printk_info)=-8",
        "OFFSET(page.flags)=4294967295",
        "OFFSET(page.flags)=-8",
        "LENGTH(mem_section)=0",
        "LENGTH(mem_section)=99999999999999999999"
      })
  void aValueThatCannotBeIsNamedAndNotUsed(String line) {
    Vmcoreinfo info = Vmcoreinfo.parse(line + "\n");
    String name = line.substring(line.indexOf('(') + 1, line.indexOf(')'));
    assertThat(info.implausible()).singleElement().asString().startsWith(line + ": n");
    assertThat(
            Stream.of(
                info.number(name),
                info.symbol(name),
                info.size(name),
                info.offset(name),
                info.length(name)))
        .allMatch(OptionalLong::isEmpty);
  }

  @Test
  void aMemberBehindTheEndOfItsStructureIsNotUsed() {
    Vmcoreinfo info = Vmcoreinfo.parse("SIZE(page)=64\nOFFSET(page.lru)=64\nOFFSET(zone.lru)=64\n");
    assertThat(info.offset("page.lru")).isEmpty();
    assertThat(info.offset("zone.lru")).hasValue(64);
    assertThat(info.implausible())
        .containsExactly("OFFSET(page.lru)=64: not an offset in a structure of 64 bytes, 0 to 63");
  }

  /// As Linux 4.12 to 7.1 print them.
  @Test
  void nothingThatKernelsSayIsRefused() {
    assertThat(
            Vmcoreinfo.parse(
                    """
                    SYMBOL(init_uts_ns)=ffffffff82a12340
                    SYMBOL(mem_section)=ff1100007ffd5000
                    SIZE(page)=64
                    SIZE(pglist_data)=176320
                    SIZE(nodemask_t)=8
                    OFFSET(page.compound_head)=8
                    OFFSET(pglist_data.nr_zones)=172864
                    OFFSET(mem_section.section_mem_map)=0
                    LENGTH(mem_section)=131072
                    LENGTH(free_area.free_list)=5
                    NUMBER(NR_FREE_PAGES)=0
                    NUMBER(PG_slab)=7
                    NUMBER(PG_head_mask)=16384
                    NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-128
                    NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257
                    NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376
                    NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=4093640704
                    NUMBER(HUGETLB_PAGE_DTOR)=2
                    NUMBER(phys_base)=-234881024
                    NUMBER(KERNEL_IMAGE_SIZE)=536870912
                    NUMBER(VMALLOC_START)=0xffffb17e80000000
                    NUMBER(VMALLOC_START)=-58274397650944
                    NUMBER(pgtable_l5_enabled)=1
                    NUMBER(sme_mask)=2251799813685248
                    """)
                .implausible())
        .isEmpty();
  }

  @Test
  void theTextEndsAtItsNul() {
    assertThat(INFO.text()).endsWith("=nothing\n");
    assertThat(Vmcoreinfo.parse("").isEmpty()).isTrue();
    assertThat(Vmcoreinfo.parse("OSRELEASE=6.1").release()).isEqualTo("6.1");
  }

  @Test
  void aCrashBeyondTheClocksEndHasNoTime() {
    assertThat(Vmcoreinfo.parse("CRASHTIME=9223372036854775807").crashTime()).isEmpty();
    assertThat(Vmcoreinfo.parse("CRASHTIME=-5").crashTime()).isEmpty();
    assertThat(Vmcoreinfo.parse("CRASHTIME=9223372036").crashTime()).hasValue(9_223_372_036L);
  }
}
