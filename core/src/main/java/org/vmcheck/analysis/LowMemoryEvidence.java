package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.check.CheckContext;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.lowmem.MemoryEncryption;
import org.vmcheck.memory.PageMask;
import org.vmcheck.slab.Words;

/// Says of each finding about the kernel that rests on a page of the low 640 KiB how that page was
/// read, and why it is no artefact of memory encryption.
final class LowMemoryEvidence {
  private LowMemoryEvidence() {}

  static List<CheckOutcome> attach(List<CheckOutcome> outcomes, CheckContext context) {
    List<CheckOutcome> out = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      out.add(
          outcome instanceof CheckOutcome.Ran ran
              ? ran.withFindings(
                  ran.findings().stream().map(finding -> attach(finding, context)).toList())
              : outcome);
    }
    return out;
  }

  private static Finding attach(Finding finding, CheckContext context) {
    long physical = finding.subject().physical();
    if (finding.layer() != Layer.KERNEL
        || physical < 0
        || LowMemory.pfn(physical) >= LowMemory.BACKUP_END_PFN) {
      return finding;
    }
    List<Evidence> reasons = evidence(context, physical);
    if (reasons.isEmpty()) {
      return finding;
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    evidence.addAll(reasons);
    return finding.withEvidence(evidence);
  }

  /// How a page of the low 640 KiB was read that a fault of the kernel's own lies on, and what says
  /// that the fault is none of memory encryption; empty if nothing does.
  private static List<Evidence> evidence(CheckContext context, long physical) {
    long pfn = LowMemory.pfn(physical);
    LowMemoryReading reading = context.lowMemory();
    List<Evidence> evidence = new ArrayList<>();
    PageMask mask = reading.masks().get(pfn);
    if (mask != null) {
      evidence.add(
          new Evidence.WhatIf(
              Evidence.MASK_REMOVED,
              "page frame 0x%x is read through its mask %s (lowmem.sme): what is broken under it is the kernel's own"
                  .formatted(pfn, mask.hex())));
      return evidence;
    }
    LowMemoryReading.Frame frame = reading.frames().get((int) pfn);
    if (frame.bytes() == null || !frame.bytes().looksRandom()) {
      return evidence;
    }
    int clear = reading.lists().clear();
    if (clear > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "freelists of the low 640 KiB in the clear",
              0,
              clear,
              "the page holds random bytes, and %s of the low 640 KiB as they stand: the copy that memory encryption spoils takes the whole range"
                  .formatted(Words.plural(clear, "freelist closes", "freelists close"))));
    }
    if (reading.encryption() == MemoryEncryption.State.OFF) {
      evidence.add(
          new Evidence.CountMismatch(
              "sme_mask",
              0,
              0,
              "the page holds random bytes, and the kernel says that it does not encrypt its memory"
                  + context.kernel().map(kernel -> MemoryEncryption.of(kernel).why()).orElse("")));
    }
    return evidence;
  }
}
