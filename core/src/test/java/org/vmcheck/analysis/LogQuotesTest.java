package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// Which log lines stand with which finding.
class LogQuotesTest {
  private static final Kernel KERNEL =
      FakeKernel.of(Layout.V6_1).seed(4).cache("victim", 240).build().kernel();
  private static final long OBJECT = 0xffff888003a51000L;
  private static final long PHYSICAL = 0x3a51040;

  private static Finding quoted(Cause cause, String... log) {
    Finding finding =
        new Finding(
            "slab.freelist",
            Layer.KERNEL,
            Severity.CORRUPT,
            cause,
            "broken",
            Subject.cache("victim").withObject(OBJECT).withAddress(OBJECT + 0x40, PHYSICAL),
            List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
            List.of(),
            "f");
    CheckOutcome ran =
        new CheckOutcome.Ran(
            "slab.freelist", "", Map.of(), List.of(finding), List.of(), Coverage.NONE);
    return LogQuotes.attach(List.of(ran), KERNEL, KernelDescriptionTest.log(log))
        .getFirst()
        .findingsIfRan()
        .getFirst();
  }

  private static List<String> support(Finding finding) {
    return finding.evidence().stream()
        .filter(Evidence.LogLineSays.class::isInstance)
        .map(Evidence::sentence)
        .toList();
  }

  private static List<String> against(Finding finding) {
    return finding.against().stream().map(Evidence::sentence).toList();
  }

  @Test
  void aReportOfTheObjectIsQuotedWithWhoHadIt() {
    Finding finding =
        quoted(
            Cause.POISON_OVERWRITTEN,
            "BUG other (Not tainted): Poison overwritten",
            "BUG victim (Not tainted): Poison overwritten",
            "Allocated in load_it+0x12/0x40 [lab] age=12 cpu=0 pid=91",
            "Object 0xffff888003a51000 @offset=0 fp=0x0000000000000000");

    assertThat(support(finding))
        .hasSize(3)
        .allMatch(text -> text.startsWith("the kernel itself reports this object: "))
        .anyMatch(text -> text.contains("load_it"))
        .noneMatch(text -> text.contains("BUG other"));
    assertThat(against(finding)).isEmpty();
  }

  @Test
  void aReportThatWasRepairedSpeaksAgainst() {
    Finding finding =
        quoted(
            Cause.REDZONE_OVERWRITTEN,
            "BUG victim (Not tainted): Right Redzone overwritten",
            "0xffff888003a51040-0xffff888003a51043 @offset=64. First byte 0x0 instead of 0xcc",
            "FIX victim: Restoring Right Redzone 0xffff888003a51040-0xffff888003a51043=0xcc");

    assertThat(against(finding)).hasSize(1).first().asString().contains("FIX victim");
  }

  @Test
  void aReportOfAnotherObjectOfTheCacheIsOneLine() {
    assertThat(
            support(
                quoted(
                    Cause.DOUBLE_FREE,
                    "BUG victim (Not tainted): Object already free",
                    "Object 0xffff888003a99000 @offset=0 fp=0x0000000000000000")))
        .containsExactly(
            "the kernel itself reports this cache: BUG victim (Not tainted): Object already free");
  }

  @Test
  void aReportOfAnotherCacheIsNotQuoted() {
    assertThat(support(quoted(Cause.DOUBLE_FREE, "BUG victim2 (Not tainted): Object already free")))
        .isEmpty();
  }

  private static final String MEMORY_ERROR =
      "EDAC MC0: 1 CE memory read error on DIMM_A1 (channel:0 page:0x%x offset:0x0 grain:32"
          + " syndrome:0x0)";

  @Test
  void aMemoryErrorInThePageSupportsAFlippedBitAndContradictsAWriter() {
    String here = MEMORY_ERROR.formatted(PHYSICAL >>> 12);

    assertThat(support(quoted(Cause.BIT_FLIP, here)))
        .containsExactly("the log tells of a memory error in this page: " + here);
    Finding write = quoted(Cause.USE_AFTER_FREE_WRITE, here);
    assertThat(support(write)).isEmpty();
    assertThat(against(write))
        .containsExactly("the log tells of a memory error in this page: " + here);
  }

  @Test
  void aMemoryErrorElsewhereIsALeadForAFlippedBitOnly() {
    String elsewhere = MEMORY_ERROR.formatted(0x99);

    assertThat(support(quoted(Cause.BIT_FLIP, elsewhere)))
        .hasSize(1)
        .first()
        .asString()
        .contains("none is told of this page");
    Finding write = quoted(Cause.USE_AFTER_FREE_WRITE, elsewhere);
    assertThat(support(write)).isEmpty();
    assertThat(against(write)).isEmpty();
  }

  @Test
  void modulesThatTaintAreLeadsOfWhatSomeoneWrote() {
    String taint = "lab: loading out-of-tree module taints kernel.";

    assertThat(support(quoted(Cause.USE_AFTER_FREE_WRITE, taint)))
        .containsExactly("a lead, not proof: the log says: " + taint);
    assertThat(support(quoted(Cause.BIT_FLIP, taint))).isEmpty();
  }

  @Test
  void aFaultOnPoisonFitsAUseAfterFree() {
    String fault =
        "general protection fault, probably for non-canonical address 0x6b6b6b6b6b6b6b6b: 0000"
            + " [#1] SMP";

    assertThat(support(quoted(Cause.USE_AFTER_FREE_WRITE, fault))).hasSize(1);
    assertThat(support(quoted(Cause.OVERFLOW_FROM_NEIGHBOUR, fault))).isEmpty();
  }

  @Test
  void aReservedLowRangeContradictsCiphertextThere() {
    Finding finding =
        quoted(
            Cause.SME_CIPHERTEXT,
            "Reserving the low 1M of memory for crashkernel",
            "AMD Memory Encryption Features active: SEV",
            "lab: loading out-of-tree module taints kernel.");

    assertThat(against(finding)).hasSize(2);
    assertThat(support(finding)).isEmpty();
    assertThat(against(quoted(Cause.SME_CIPHERTEXT, "Memory Encryption Features active: AMD SME")))
        .isEmpty();
  }

  /// A redacted report takes the line out of the sentence.
  @Test
  void aLongLineIsCutInTheSentenceAndBesideItAlike() {
    Finding finding = quoted(Cause.DOUBLE_FREE, "module x taints kernel. " + "x".repeat(600));

    assertThat(finding.evidence().getLast())
        .isInstanceOfSatisfying(
            Evidence.LogLineSays.class,
            says -> {
              assertThat(says.line()).hasSize(200);
              assertThat(says.sentence()).endsWith(says.line());
            });
  }

  @Test
  void aFloodIsBounded() {
    String[] log = new String[3000];
    for (int i = 0; i < log.length; i += 2) {
      log[i] = "BUG victim (Not tainted): Poison overwritten";
      log[i + 1] = "Object 0xffff888003a51000 @offset=0 fp=0x0000000000000000";
    }

    assertThat(support(quoted(Cause.POISON_OVERWRITTEN, log))).hasSizeLessThanOrEqualTo(8);
  }
}
