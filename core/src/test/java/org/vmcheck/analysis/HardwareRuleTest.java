package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.Origin.Side;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.HardwareLog;
import org.vmcheck.kernel.LogBuffer;

/// Hardware or software is claimed of what many findings share, and never of one.
class HardwareRuleTest {
  private static final long RIGHT = 0x0123_4567_89ab_cdefL;

  /// A flipped bit of a word.
  private static Finding flip(String cache, long object, int offset, int bit) {
    return word(Cause.BIT_FLIP, cache, object, offset, RIGHT ^ (1L << bit), RIGHT);
  }

  private static Finding word(
      Cause cause, String cache, long object, int offset, long raw, long right) {
    long physical = (object & 0xfff_ffffL) + offset;
    return new Finding(
        "slab.freelist",
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        "a word is wrong",
        Subject.cache(cache).withObject(object).withAddress(object + offset, physical),
        List.of(new Evidence.WordAt(object + offset, physical, raw, right, "a word")),
        List.of(),
        "slab.freelist/" + cause.id() + "/" + cache);
  }

  private static Finding store(Cause cause, String cache, long object) {
    return word(cause, cache, object, 0x40, 0x4141_4141_4141_4141L, Evidence.UNKNOWN);
  }

  private static Origin judge(Finding... findings) {
    return judge(Origin.Signs.NONE, findings);
  }

  private static Origin judge(Origin.Signs signs, Finding... findings) {
    return HardwareRule.judge(new HardwareRule.Part(List.of(findings), signs)).orElseThrow();
  }

  private static List<String> earned(Origin origin) {
    return origin.claims().stream().filter(Origin.Claim::earned).map(Origin.Claim::about).toList();
  }

  @Test
  void aSoundKernelIsNotSpokenOf() {
    assertThat(HardwareRule.judge(new HardwareRule.Part(List.of(), Origin.Signs.NONE))).isEmpty();
  }

  @Test
  void nothingIsClaimedOfOneFinding() {
    for (Finding one :
        List.of(
            flip("dentry", 0xffff888001000000L, 96, 10),
            store(Cause.DOUBLE_FREE, "kmalloc-64", 0xffff888001000000L))) {
      Origin origin = judge(one);

      assertThat(origin.side()).isEqualTo(Side.OPEN);
      assertThat(earned(origin)).isEmpty();
      assertThat(origin.paragraph())
          .startsWith("not decided: the one finding is ")
          .contains("one alone decides nothing");
    }
  }

  @Test
  void threeCachesWithTheSameDataLineAreHardwares() {
    Origin origin =
        judge(
            flip("dentry", 0xffff888001000000L, 96, 10),
            flip("kmalloc-64", 0xffff888002003000L, 32, 10),
            flip("inode_cache", 0xffff888003007000L, 304, 10));

    assertThat(origin.side()).isEqualTo(Side.HARDWARE);
    assertThat(earned(origin)).containsExactly("bit lane of 64");
    assertThat(origin.paragraph())
        .contains(
            "3 of 3 flipped bits are bit 10 of their 64-bit word (by chance 1 in 819), in 3 caches"
                + " or structures: a data line or a pin does that",
            "it would be refuted by");
  }

  @Test
  void twoAreTooFewForALane() {
    Origin origin =
        judge(
            flip("dentry", 0xffff888001000000L, 96, 10),
            flip("kmalloc-64", 0xffff888002003000L, 32, 10));

    assertThat(origin.side()).isEqualTo(Side.OPEN);
    assertThat(origin.paragraph()).contains("(by chance 1 in 13)", "too few for a claim");
  }

  /// The healthy twin: one line of code that sets a flag in objects that it no longer owns.
  @Test
  void oneCodePathIsNeverCalledHardware() {
    Origin oneCache =
        judge(
            flip("kmalloc-64", 0xffff888001000000L, 32, 10),
            flip("kmalloc-64", 0xffff888002003040L, 32, 10),
            flip("kmalloc-64", 0xffff888003007080L, 32, 10));
    Origin oneOffset =
        judge(
            flip("kmalloc-64", 0xffff888001000000L, 32, 10),
            flip("kmalloc-96", 0xffff888002003060L, 32, 10),
            flip("kmalloc-128", 0xffff888003007080L, 32, 10));

    for (Origin origin : List.of(oneCache, oneOffset)) {
      assertThat(origin.side()).isEqualTo(Side.OPEN);
      assertThat(origin.paragraph()).contains("one code path does that, too");
    }
  }

  /// The same bit of both 32-bit halves is no data line of a bus of 64 bits.
  @Test
  void bothHalvesOfAWordAreStoresOfFourBytes() {
    Origin origin =
        judge(
            flip("kmalloc-64", 0xffff888001000000L, 32, 4),
            flip("kmalloc-64", 0xffff888002003040L, 32, 36),
            flip("kmalloc-64", 0xffff888003007080L, 40, 4));

    assertThat(origin.side()).isEqualTo(Side.SOFTWARE);
    assertThat(earned(origin)).containsExactly("bit lane of 32");
    assertThat(origin.paragraph()).contains("stores of 4 bytes do that");
  }

  @Test
  void wholeStoresAreSoftwares() {
    Origin origin =
        judge(
            store(Cause.DOUBLE_FREE, "kmalloc-64", 0xffff888001000000L),
            store(Cause.USE_AFTER_FREE_WRITE, "dentry", 0xffff888002000000L));

    assertThat(origin.side()).isEqualTo(Side.SOFTWARE);
    assertThat(origin.paragraph())
        .contains("2 of 2 findings cannot be a single flipped bit (1 double-free, 1 use-");
  }

  @Test
  void aReportOfTheHardwareInTheSamePageIsASecondWitness() {
    Finding flip = flip("dentry", 0xffff888001000000L, 96, 10);
    List<LogBuffer.Line> log =
        List.of(
            new LogBuffer.Line(1, 3, "EDAC MC0: Giving out device to module skx_edac"),
            new LogBuffer.Line(
                2,
                3,
                "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1"
                    + " slot:0 page:0x1000 offset:0x60 grain:32 syndrome:0x0)"),
            new LogBuffer.Line(3, 3, "mce: [Hardware Error]: Machine check events logged"),
            new LogBuffer.Line(
                4, 3, "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error"));
    Origin.Signs signs = HardwareLog.signs(log, 0, 12);

    assertThat(signs.edac()).isEqualTo(1);
    assertThat(signs.machineChecks()).isEqualTo(1);
    assertThat(signs.firmware()).isEqualTo(1);
    assertThat(signs.frames()).containsExactly(0x1000L);
    assertThat(signs.isWatched()).isTrue();
    assertThat(judge(signs, flip).side()).isEqualTo(Side.HARDWARE);
    assertThat(judge(signs, flip("dentry", 0xffff888005000000L, 96, 10)).side())
        .isEqualTo(Side.OPEN);
  }

  @Test
  void anErrorThatSomebodyInjectedIsNoWitness() {
    List<LogBuffer.Line> log =
        List.of(
            new LogBuffer.Line(
                1, 6, "Injecting memory failure for pfn 0x1000 at process virtual address 0x7f00"),
            new LogBuffer.Line(
                2, 3, "Memory failure: 0x1000: recovery action for dirty LRU page: Recovered"));
    Origin origin =
        judge(HardwareLog.signs(log, 1, 12), flip("dentry", 0xffff888001000000L, 96, 10));

    assertThat(origin.side()).isEqualTo(Side.OPEN);
    assertThat(origin.paragraph()).contains("errors that somebody injected as a test");
  }

  @Test
  void theSameBitInTwoCrashesIsStuck() {
    HardwareRule.Part first = part(flip("dentry", 0xffff888001000000L, 96, 10));
    HardwareRule.Part again = part(flip("kmalloc-64", 0xffff9c0001000000L, 96, 10));
    HardwareRule.Part elsewhere = part(flip("kmalloc-64", 0xffff9c0001000000L, 96, 11));

    Optional<Origin> stuck = HardwareRule.judge(List.of(first, again));
    assertThat(stuck.orElseThrow().side()).isEqualTo(Side.HARDWARE);
    assertThat(stuck.orElseThrow().paragraph()).contains("physical 0x1000061", "a stuck bit");
    assertThat(HardwareRule.judge(List.of(first, elsewhere)).orElseThrow().side())
        .isEqualTo(Side.OPEN);
  }

  private static HardwareRule.Part part(Finding finding) {
    return new HardwareRule.Part(List.of(finding), Origin.Signs.NONE);
  }

  @Test
  void evidenceForBothDecidesNothing() {
    List<Finding> findings =
        new ArrayList<>(
            List.of(
                flip("kmalloc-64", 0xffff888001000000L, 32, 4),
                flip("kmalloc-64", 0xffff888002003040L, 32, 36),
                flip("kmalloc-64", 0xffff888003007080L, 40, 4)));
    Origin.Signs signs = new Origin.Signs(1, 0, 0, 0, 0, Set.of(0x1000L), 12, true, false);
    Origin origin = judge(signs, findings.toArray(Finding[]::new));

    assertThat(origin.side()).isEqualTo(Side.OPEN);
    assertThat(origin.paragraph()).contains("there is evidence for both");
  }
}
