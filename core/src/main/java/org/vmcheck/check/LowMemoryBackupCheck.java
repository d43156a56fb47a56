package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.lowmem.BackupRegion;
import org.vmcheck.lowmem.CaptureKernel;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.lowmem.PageStatistics;
import org.vmcheck.slab.Words;

/// Whose low memory is it: the crashed kernel's, saved in time, or the capture kernel's?
final class LowMemoryBackupCheck implements Check {
  private static final int MAX_EXAMPLES = 4;

  @Override
  public String id() {
    return "lowmem.backup";
  }

  @Override
  public String question() {
    return "Does the low 640 KiB hold the crashed kernel's memory, and are there two copies of it?";
  }

  @Override
  public String explanation() {
    return """
    The capture kernel needs low memory, so up to 5.4 (and with kexec-tools' own loader on any
    kernel) purgatory copies the low range away before it starts. A dump made by kdump holds one
    copy: its low range is the backup. A dump of all memory, made by a hypervisor, can hold both:
    the place of the copy is read from kexec_crash_image, both are compared page by page, and the
    freelists are walked in each. Where no copy was made, or in a dump of all memory taken while the
    capture kernel ran, the low range holds the capture kernel's real-mode trampoline, boot
    parameters or command line: these are looked for in pages that the crashed kernel used.

    It can mislead: with kexec_load the place of the copy stands in memory that kdump leaves out.
    Next: read the other copy with read --phys.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Optional<String> lacks = context.lacksLowMemory();
    if (lacks.isPresent()) {
      return new CheckOutcome.NothingToLookAt(id(), lacks.get());
    }
    CaptureKernel traces = context.captureKernel();
    BackupRegion.Search search = traces.search();
    Map<String, String> facts = new LinkedHashMap<>();
    List<Note> notes = new ArrayList<>();
    long looked = 0;
    String answer;
    switch (search) {
      case BackupRegion.Search.None(String why) -> answer = why;
      case BackupRegion.Search.Unknown(String why) -> answer = "cannot tell: " + why;
      case BackupRegion.Search.Found(BackupRegion region) -> {
        facts.put("range", "0x%x + 0x%x".formatted(region.start(), region.byteCount()));
        facts.put("copy", "0x%x".formatted(region.copy()));
        facts.put("known from", region.source());
        Compared compared = compare(context.dump().memory(), region);
        looked = compared.pages;
        facts.put("pages with both copies", Long.toString(compared.pages));
        facts.put("pages that differ", Long.toString(compared.different));
        facts.put("pages of the copy that are zero", Long.toString(compared.zero));
        if (compared.pages == 0) {
          answer =
              compared.low == 0
                  ? "a backup was set up; neither the range nor its copy is in the dump"
                  : "the low range of this dump is the backup copy; no second one is in it";
        } else if (compared.zero == compared.pages) {
          answer =
              traces.traces().isEmpty()
                  ? "a backup is set up and was not used: its copy holds nothing but zeros"
                  : "a backup was set up and its copy holds nothing but zeros";
        } else {
          traces
              .lists()
              .ifPresent(
                  lists -> {
                    facts.put("freelists that break in place", lists.brokenInPlace() + "");
                    facts.put("freelists that break in the copy", lists.brokenInCopy() + "");
                  });
          answer =
              compared.different == 0
                  ? "both copies are alike"
                  : traces.isRunning()
                      ? "a capture kernel runs in this snapshot; the copy fits the page descriptors"
                      : "the copies differ on %d of %d pages"
                          .formatted(compared.different, compared.pages);
        }
      }
    }
    facts.put("pages with traces of a capture kernel", Integer.toString(traces.traces().size()));
    for (CaptureKernel.Trace trace : traces.traces().stream().limit(MAX_EXAMPLES).toList()) {
      notes.add(
          new Note("capture kernel", "page frame 0x%x: %s".formatted(trace.pfn(), trace.words())));
    }
    List<Finding> findings =
        traces.overwritten().isEmpty() ? List.of() : List.of(finding(context, traces));
    if (!(search instanceof BackupRegion.Search.Found) && traces.searched() == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          "the dump holds no page of the low 640 KiB that the crashed kernel used; " + answer,
          facts,
          notes,
          Coverage.NONE);
    }
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty() ? answer : "overwritten by the capture kernel; " + answer,
        facts,
        findings,
        notes,
        new Coverage(
            Map.of("low pages compared", looked, "low pages searched", traces.searched()),
            Map.of(),
            List.of()));
  }

  /// @param low pages of the range that are stored
  /// @param pages of which both copies are stored
  private record Compared(long low, long pages, long different, long zero) {}

  private static Compared compare(PhysicalMemory memory, BackupRegion region) {
    PhysicalMemory copies =
        new org.vmcheck.memory.CopiedMemory(
            memory, region.start(), region.byteCount(), region.copy());
    long low = 0;
    long pages = 0;
    long different = 0;
    long zero = 0;
    long end = (region.start() + region.byteCount()) >>> 12;
    for (long pfn = (region.start() + 4095) >>> 12; pfn < end; pfn++) {
      if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment own))) {
        continue;
      }
      low++;
      if (copies.read(pfn) instanceof PageRead.Present(MemorySegment copy)) {
        pages++;
        different += own.mismatch(copy) >= 0 ? 1 : 0;
        zero += PageStatistics.of(copy).isZero() ? 1 : 0;
      }
    }
    return new Compared(low, pages, different, zero);
  }

  private Finding finding(CheckContext context, CaptureKernel traces) {
    List<Evidence> evidence = new ArrayList<>();
    traces
        .lists()
        .filter(lists -> lists.brokenInCopy() < lists.brokenInPlace())
        .ifPresent(
            lists ->
                evidence.add(
                    new Evidence.WhatIf(
                        "the backup copy read instead",
                        "read from the backup copy, %d of %d broken freelists of the range close"
                            .formatted(
                                lists.brokenInPlace() - lists.brokenInCopy(),
                                lists.brokenInPlace()))));
    for (CaptureKernel.Trace trace : traces.traces().stream().limit(MAX_EXAMPLES).toList()) {
      evidence.add(
          new Evidence.PageLooksLike(
              trace.pfn(),
              "capture kernel",
              "page frame 0x%x (%s) holds %s"
                  .formatted(
                      trace.pfn(), LowMemory.role(context.kernel(), trace.pfn()), trace.words())));
    }
    long faults = context.overwrittenFaults().size();
    if (faults > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "alarms",
              0,
              faults,
              "%s about slabs rest on these pages"
                  .formatted(Words.plural(faults, "alarm", "alarms"))));
    }
    Set<Long> frames = traces.overwritten();
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.LOW_MEMORY_OVERWRITTEN,
        "%s of the low 640 KiB that the crashed kernel used hold the capture kernel's data"
            .formatted(Words.plural(frames.size(), "page", "pages")),
        Subject.NONE,
        evidence,
        List.of(),
        id() + "/low-memory-overwritten");
  }
}
