package org.vmcheck.analysis;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.kernel.Kernel;

/// Tells data that makedumpfile's `--config` filter overwrote from corruption.
///
/// The filter notes in ERASEINFO what it did, by symbol and size and not by address; it writes `X`
/// for `erase` and zeros for `nullify`. In a dump with that note, a finding whose own bytes are
/// nothing but that is the filter's work.
final class ErasedData {
  private static final byte ERASED = 'X';
  private static final int WORD = 8;

  private ErasedData() {}

  /// The outcomes with the findings on erased words put down to the filter; unchanged for a dump
  /// without the note.
  static List<CheckOutcome> attribute(List<CheckOutcome> outcomes, Kernel kernel) {
    String note = kernel.dump().eraseinfo();
    if (note.isBlank()) {
      return outcomes;
    }
    boolean nullified = note.lines().anyMatch(line -> line.startsWith("nullify"));
    List<CheckOutcome> attributed = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      if (!(outcome instanceof CheckOutcome.Ran ran)) {
        attributed.add(outcome);
        continue;
      }
      List<Finding> findings = new ArrayList<>();
      for (Finding finding : ran.findings()) {
        boolean own =
            !finding.cause().isArtefact()
                && isErased(kernel.memory().physical(), finding.subject().physical(), nullified);
        findings.add(own ? erased(finding, kernel) : finding);
      }
      attributed.add(ran.withFindings(findings));
    }
    return attributed;
  }

  private static boolean isErased(PhysicalMemory memory, long paddr, boolean nullified) {
    long at = paddr & memory.pageSize() - 1;
    if (paddr == Evidence.UNKNOWN
        || paddr < 0
        || at + WORD > memory.pageSize()
        || !(memory.read(paddr / memory.pageSize())
            instanceof PageRead.Present(MemorySegment page))) {
      return false;
    }
    byte first = page.get(ValueLayout.JAVA_BYTE, at);
    if (first != ERASED && !(nullified && first == 0)) {
      return false;
    }
    for (int i = 1; i < WORD; i++) {
      if (page.get(ValueLayout.JAVA_BYTE, at + i) != first) {
        return false;
      }
    }
    return true;
  }

  private static Finding erased(Finding finding, Kernel kernel) {
    Finding made =
        finding.withCause(
            Cause.ERASED_BY_FILTER,
            new Evidence.PageLooksLike(
                kernel.memory().pfn(finding.subject().physical()),
                "erased",
                "the word is what makedumpfile's filter writes, and the dump's ERASEINFO says that"
                    + " it ran"));
    return new Finding(
        made.check(),
        Layer.CONTAINER,
        made.severity(),
        made.cause(),
        made.claim(),
        made.subject(),
        made.evidence(),
        made.against(),
        made.fingerprint());
  }
}
