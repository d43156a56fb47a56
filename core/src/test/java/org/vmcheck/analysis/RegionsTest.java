package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Packer;

/// Where the kernel's regions lie is told by the kernel and its page tables, not by its version;
/// and what VMCOREINFO says is used only where it can be.
class RegionsTest {
  private static final long BEFORE_4_20 = 0xffff_8800_0000_0000L;
  private static final long SINCE_4_20 = 0xffff_8880_0000_0000L;

  @TempDir private Path directory;

  private static DumpReport check(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  private DumpReport check(FakeImage image) throws Exception {
    return check(image.writeKdump(directory));
  }

  private static CheckOutcome any(DumpReport report, String id) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals(id))
        .findFirst()
        .orElseThrow();
  }

  private static CheckOutcome.Ran outcome(DumpReport report, String id) {
    return (CheckOutcome.Ran) any(report, id);
  }

  static Stream<Arguments> withoutVariables() {
    return Stream.of(
        Arguments.of(Layout.V4_14, BEFORE_4_20, false),
        Arguments.of(Layout.V4_14, SINCE_4_20, false),
        Arguments.of(Layout.V4_18_RHEL8, BEFORE_4_20, false),
        Arguments.of(Layout.V5_3, SINCE_4_20, false),
        Arguments.of(Layout.V5_3, 0xff11_0000_0000_0000L, true),
        Arguments.of(Layout.V4_18_RHEL8, 0xff10_0000_0000_0000L, true));
  }

  private static FakeKernel without(Layout layout, long base, boolean isFive) {
    FakeKernel config = FakeKernel.of(layout).seed(5).pageOffsetBase(base).noRegionVariables();
    return isFive ? config.fiveLevels() : config;
  }

  /// The base of the direct map moved in 4.20, and in stable 4.14 and 4.19.
  @ParameterizedTest
  @MethodSource("withoutVariables")
  void withoutVariablesThePageTablesTell(Layout layout, long base, boolean isFive)
      throws Exception {
    FakeImage image = without(layout, base, isFive).build();
    AddressMap map = image.kernel().memory().map();
    assertThat(map.directMap().start()).isEqualTo(base);
    DumpReport report = check(image);
    assertThat(report.verdict().reasons()).isEmpty();
    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    assertThat(outcome(report, "memory.translation").answer())
        .isEqualTo("page tables and arithmetic agree");
  }

  /// Nothing says where the direct map is: no slab is looked at, and nothing is found.
  @Test
  void aDirectMapThatIsNotFoundIsNotGuessed() throws Exception {
    FakeImage image = without(Layout.V5_3, SINCE_4_20, false).build();
    image.exclude(directMapTable(image) >>> 12);
    assertThat(image.kernel().memory().map().knowsDirectMap()).isFalse();
    DumpReport report = check(image);
    assertThat(report.findings()).allMatch(finding -> finding.cause().isArtefact());
    assertThat(report.verdict().reasons())
        .anyMatch(reason -> reason.startsWith("the direct map: neither page_offset_base nor"));
  }

  @Test
  void aBaseThatCannotBeIsNamedAndThePageTablesTell() throws Exception {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(6).pageOffsetBase(SINCE_4_20).build();
    image.corruptWord(image.symbol("page_offset_base"), 0x4141_4141_4141_4141L);
    assertThat(image.kernel().memory().map().directMap().start()).isEqualTo(SINCE_4_20);
    DumpReport report = check(image);
    assertThat(report.findings()).isEmpty();
    assertThat(any(report, "debuginfo.match").notesIfRan())
        .containsExactly(
            new Note(
                "not used",
                "the variable page_offset_base holds 0x4141414141414141, where no region of the"
                    + " kernel begins: it is not used"));
  }

  /// Physical address of the table below the top one that maps the direct map.
  private static long directMapTable(FakeImage image) {
    long root = image.physical(image.symbol("init_top_pgt"));
    long slot = image.directMap(0) >>> 39 & 511;
    return image.memory().readU64(root + 8 * slot) & 0x000f_ffff_ffff_f000L;
  }

  /// 64 of 67 addresses cannot be compared: no agreement is claimed.
  @Test
  void whatCouldNotBeComparedDoesNotAgree() throws Exception {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(6).pageOffsetBase(SINCE_4_20).build();
    assertThat(outcome(check(image), "memory.translation").answer())
        .isEqualTo("page tables and arithmetic agree");

    long table = directMapTable(image);
    image.exclude(table >>> 12);
    CheckOutcome.Ran outcome = outcome(check(image), "memory.translation");
    assertThat(outcome.answer()).matches("not known: only 2 of \\d+ addresses could be compared");
    assertThat(outcome.coverage().gaps())
        .singleElement()
        .asString()
        .matches(
            "2 of \\d+ addresses could be compared; 0 are not mapped, of \\d+ a page table is not"
                + " in the dump");
    assertThat(outcome.notes())
        .extracting(Note::text)
        .containsExactly("the page table at physical 0x%x is excluded".formatted(table));
  }

  @Test
  void pageTablesThatMapNothingAreNotSaidToAgree() throws Exception {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(6).build();
    image.fill(image.symbol("init_top_pgt"), 0, 4096);
    DumpReport report = check(image);
    assertThat(any(report, "memory.translation"))
        .isInstanceOfSatisfying(
            CheckOutcome.NothingToLookAt.class,
            nothing ->
                assertThat(nothing.why()).isEqualTo("none of 2 addresses could be compared"));
    assertThat(report.verdict()).isNotInstanceOf(Verdict.Intact.class);
  }

  static Stream<String> valuesThatCannotBe() {
    return Stream.of(
        "NUMBER(PG_slab)=9223372036854775807",
        "NUMBER(PG_lru)=64",
        "NUMBER(PG_hwpoison)=-3",
        "NUMBER(PG_head_mask)=0",
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=0",
        "NUMBER(sme_mask)=3",
        "NUMBER(SECTION_SIZE_BITS)=63",
        "NUMBER(KERNEL_IMAGE_SIZE)=-1",
        "OFFSET(page.flags)=64",
        "OFFSET(page._mapcount)=1000",
        "OFFSET(page.compound_head)=-8",
        "OFFSET(mem_section.section_mem_map)=4096",
        "SIZE(page)=0",
        "SIZE(mem_section)=99999999999",
        "LENGTH(mem_section)=-1");
  }

  @ParameterizedTest
  @MethodSource("valuesThatCannotBe")
  void aValueOfVmcoreinfoThatCannotBeIsNamedAndFindsNothing(String line) throws Exception {
    Path healthy = FakeKernel.of(Layout.V5_3).seed(9).build().writeKdump(directory);
    DumpCopy copy = DumpCopy.of(healthy);
    String key = line.substring(0, line.indexOf('='));
    String text =
        copy.vmcoreinfo().lines().filter(other -> !other.startsWith(key + "=")).toList().stream()
            .reduce(line + "\n", (all, other) -> all + other + "\n");
    DumpReport report = check(copy.setVmcoreinfo(text).write(directory, Packer.ZLIB));
    assertThat(report.findings()).isEmpty();
    assertThat(any(report, "debuginfo.match").notesIfRan())
        .extracting(Note::text)
        .singleElement()
        .asString()
        .startsWith("VMCOREINFO says " + line + ": n")
        .endsWith("; it is not used");
    // The kernel carries types: they tell what VMCOREINFO does not.
    assertThat(List.of("intact", "undetermined")).contains(report.verdict().kind());
  }

  @Test
  void healthyTextsHaveNoSuchNote() throws Exception {
    for (Layout layout : Layout.ALL) {
      assertThat(FakeKernel.of(layout).seed(9).build().kernel().remarks()).isEmpty();
    }
  }
}
