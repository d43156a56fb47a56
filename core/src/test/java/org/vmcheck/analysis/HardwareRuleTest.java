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

  // ---- what is counted, and the words of it

  @Test
  void aFlipIsToldWithItsPlace() {
    Origin origin = judge(flip("dentry", 0xffff888001000000L, 96, 10));
    // Bit 10 of RIGHT is set: it went from 1 to 0.
    assertThat(origin.flips())
        .containsExactly(
            new Origin.Flip(
                0, "slab.freelist", "dentry", 96, 0x1000061L, 2, (RIGHT >>> 10 & 1) == 0));
    assertThat(origin.flips().getFirst().isSet()).isFalse();
    assertThat(judge(flip("dentry", 0xffff888001000000L, 96, 4)).flips().getFirst().isSet())
        .isTrue();
  }

  /// Text of the kernel is compared with its file: one bit of it is a bit as any.
  @Test
  void aBitOfTextCountsAndOtherCausesDoNot() {
    long raw = RIGHT ^ 4;
    assertThat(judge(word(Cause.TEXT_MODIFIED, "", 0xffff888001000000L, 0, raw, RIGHT)).flips())
        .hasSize(1);
    assertThat(judge(word(Cause.COUNTER_MISMATCH, "", 0xffff888001000000L, 0, raw, RIGHT)).flips())
        .isEmpty();
    assertThat(judge(word(Cause.BIT_FLIP, "", 0xffff888001000000L, 0, raw ^ 1, RIGHT)).flips())
        .isEmpty();
  }

  private static Finding logged(long physical, String hex, int from, int to, int expected) {
    return new Finding(
        "log.witness",
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.BIT_FLIP,
        "bytes are wrong",
        Subject.cache("victim"),
        List.of(new Evidence.LoggedBytes(-1, physical, hex, from, to, expected, "bytes")),
        List.of(),
        "log.witness/bit-flip/victim");
  }

  /// The kernel put the byte right after it printed it.
  @Test
  void aByteOfTheLogCountsWhereOneBitOfItIsWrong() {
    assertThat(judge(logged(0x2000, "6b6b7b6b", 2, 3, 0x6b)).flips())
        .containsExactly(new Origin.Flip(0, "log.witness", "victim", -1, 0x2002, 4, true));
    assertThat(judge(logged(0x2000, "6b6b6a", 2, 3, 0x6b)).flips())
        .containsExactly(new Origin.Flip(0, "log.witness", "victim", -1, 0x2002, 0, false));
    for (Finding none :
        List.of(
            logged(0x2000, "6b6b796b", 2, 3, 0x6b),
            logged(0x2000, "6b6b7b7b", 2, 4, 0x6b),
            logged(0x2000, "6b6b", 2, 3, 0x6b),
            logged(Evidence.UNKNOWN, "6b6b7b6b", 2, 3, 0x6b))) {
      assertThat(judge(none).flips()).isEmpty();
    }
  }

  /// Two words of a line of a cache came or went together.
  @Test
  void flipsOfOneCacheLineAreOne() {
    Origin origin =
        judge(
            flip("dentry", 0xffff888001000000L, 64, 10),
            flip("dentry", 0xffff888001000000L, 120, 11),
            flip("dentry", 0xffff888001000000L, 128, 10));
    assertThat(origin.flips())
        .extracting(Origin.Flip::physical)
        .containsExactly(0x1000041L, 0x1000081L);
    assertThat(origin.damages()).isEqualTo(3);
  }

  /// The more there are, the more often three of them share a lane: 5 * C(n, 3) / 64^2.
  @Test
  void chanceGrowsWithTheNumberOfFlips() {
    Finding[] four = {
      flip("dentry", 0xffff888001000000L, 96, 10),
      flip("kmalloc-64", 0xffff888002003000L, 32, 10),
      flip("inode_cache", 0xffff888003007000L, 304, 10),
      flip("kmalloc-96", 0xffff888004007000L, 8, 20)
    };
    Origin ofFour = judge(four);
    assertThat(earned(ofFour)).containsExactly("bit lane of 64");
    assertThat(ofFour.paragraph())
        .contains("3 of 4 flipped bits are bit 10 of their 64-bit word (by chance 1 in 205)");

    Origin ofFive =
        judge(four[0], four[1], four[2], four[3], flip("kmalloc-8", 0xffff888005007000L, 0, 51));
    assertThat(earned(ofFive)).isEmpty();
    assertThat(ofFive.side()).isEqualTo(Side.OPEN);
    assertThat(ofFive.paragraph())
        .contains(
            "3 of 5 flipped bits are bit 10 of their 64-bit word (by chance 1 in 82), in 3 caches"
                + " or structures;")
        .doesNotContain("one code path");
    Origin.Claim lane =
        ofFive.claims().stream()
            .filter(c -> c.about().equals("bit lane of 64"))
            .findFirst()
            .orElseThrow();
    assertThat(lane.chance()).isEqualTo(50.0 / 4096);
    assertThat(lane.count()).isEqualTo(3);
    assertThat(lane.of()).isEqualTo(5);
  }

  @Test
  void whatIsCountedComesFirstAndThenWhatIsEarned() {
    Origin origin =
        HardwareRule.judge(
                List.of(
                    part(flip("dentry", 0xffff888001000000L, 96, 10)),
                    part(flip("kmalloc-64", 0xffff9c0001000000L, 96, 10))))
            .orElseThrow();
    assertThat(origin.claims())
        .extracting(Origin.Claim::about)
        .startsWith("counted", "stuck", "bit lane of 64");
    assertThat(origin.paragraph()).contains("2 findings in 2 dumps, 2 flipped bits among them;");
  }

  @Test
  void storesAreCountedAndNotOfOneFinding() {
    Finding one = store(Cause.DOUBLE_FREE, "kmalloc-64", 0xffff888001000000L);
    assertThat(judge(one).paragraph())
        .contains("the one finding is no single flipped bit, and one");
    assertThat(judge(one).claims()).extracting(Origin.Claim::about).doesNotContain("whole stores");
    assertThat(judge(flip("dentry", 0xffff888001000000L, 96, 10)).paragraph())
        .contains("the one finding is a flipped bit, and one");

    Origin two = judge(one, store(Cause.DOUBLE_FREE, "kmalloc-64", 0xffff888002000000L));
    assertThat(two.paragraph())
        .contains(
            "2 findings, none of them a single flipped bit;",
            "2 of 2 findings cannot be a single flipped bit (2 double-free): stores do that");
    assertThat(two.claims().getFirst())
        .extracting(Origin.Claim::count, Origin.Claim::of)
        .containsExactly(0, 2);

    // Beside a flipped bit they decide nothing.
    Origin mixed =
        judge(
            one,
            store(Cause.DOUBLE_FREE, "kmalloc-64", 0xffff888002000000L),
            flip("dentry", 0xffff888003000000L, 96, 10));
    assertThat(earned(mixed)).isEmpty();
    assertThat(mixed.paragraph())
        .contains("2 of 3 findings cannot be a single flipped bit (2 double-free);");
  }

  /// Neighbouring bytes of a page in two crashes: not the same bit.
  @Test
  void flipsInOnePageOfTwoDumpsAreNotStuck() {
    Finding first = flip("dentry", 0xffff888001000000L, 96, 10);
    Finding next = flip("kmalloc-64", 0xffff9c0001000000L, 97, 10);
    Origin origin = HardwareRule.judge(List.of(part(first), part(next))).orElseThrow();
    assertThat(earned(origin)).isEmpty();
    assertThat(origin.paragraph())
        .contains("bits are flipped in the same page frame in more than one dump (0x1000): see");

    Finding far = flip("kmalloc-64", 0xffff888001000000L, 200, 11);
    for (Origin other :
        List.of(
            judge(first, far),
            HardwareRule.judge(List.of(part(first), part(flip("x", 0xffff888001002000L, 97, 10))))
                .orElseThrow())) {
      assertThat(other.paragraph()).doesNotContain("same page frame in more than one dump");
    }
  }

  private static Origin withFrames(int named, int all) {
    Set<Long> frames = new java.util.TreeSet<>();
    Finding[] findings = new Finding[all];
    for (int i = 0; i < all; i++) {
      findings[i] = store(Cause.COUNTER_MISMATCH, "c", 0xffff888001000000L + 0x1000L * i);
      if (i < named) {
        frames.add(0x1000L + i);
      }
    }
    return judge(new Origin.Signs(1, 0, 0, 0, 0, frames, 12, true, false), findings);
  }

  @Test
  void pagesThatTheHardwareNamedAreCountedAndListed() {
    assertThat(withFrames(1, 2).paragraph())
        .contains("1 page frame of damage is named in hardware error reports")
        .contains("(0x1000);");
    Origin six = withFrames(6, 8);
    assertThat(six.paragraph())
        .contains("6 page frames of damage are named in hardware error reports")
        .contains("(0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x1005);");
    assertThat(withFrames(7, 7).paragraph()).contains("0x1004, 0x1005, ...);");
    Origin.Claim claim =
        six.claims().stream().filter(c -> c.about().equals("same page")).findFirst().orElseThrow();
    assertThat(claim.count()).isEqualTo(6);
    assertThat(claim.of()).isEqualTo(8);
    assertThat(withFrames(0, 2).claims())
        .extracting(Origin.Claim::about)
        .doesNotContain("same page");
  }

  @Test
  void signsOfAllDumpsAreAddedUp() {
    Origin.Signs one = new Origin.Signs(1, 2, 3, 4, 5, Set.of(7L), 12, true, false);
    Origin.Signs other = new Origin.Signs(10, 20, 30, 40, 50, Set.of(8L), 14, false, true);
    Origin origin =
        HardwareRule.judge(
                List.of(
                    new HardwareRule.Part(List.of(), one), new HardwareRule.Part(List.of(), other)))
            .orElseThrow();
    assertThat(origin.signs())
        .isEqualTo(new Origin.Signs(11, 22, 33, 44, 55, Set.of(7L, 8L), 14, true, true));
    assertThat(origin.paragraph()).startsWith("not decided: no damage was found in 2 dumps");
    assertThat(origin.refutations()).isEmpty();
  }
}
