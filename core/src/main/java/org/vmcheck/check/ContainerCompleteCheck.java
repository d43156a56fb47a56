package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageCensus;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.Words;

/// How much of the machine's memory is in the file, and is what is missing missing on purpose?
final class ContainerCompleteCheck implements Check {
  private static final List<PageRead.Damage> MISSING =
      List.of(
          PageRead.Damage.TRUNCATED, PageRead.Damage.NEVER_WRITTEN, PageRead.Damage.MISSING_PART);

  @Override
  public String id() {
    return "container.complete";
  }

  @Override
  public String question() {
    return "Is all of the dump here, but for what was left out on purpose?";
  }

  @Override
  public String explanation() {
    return """
    Compares what the headers promise with what the file holds: pages beyond the end of the file,
    pages that the writer never came to, parts of a split dump that were not given, a flattened
    stream without its end. Then looks for the pages that no dump level leaves out, each where a
    symbol, a structure or a page table of this kernel names it: text and rodata, IDT, GDT, system
    call table, page tables of every level, page descriptors, per-CPU areas of CPUs that run,
    init_task, modules, the stacks that CPUs were on. One that is missing is named with its address.
    Then compares the kinds of page that are really missing (by the kernel's page descriptors) with
    the dump level, both ways: no level leaves out slab pages, so a slab page that was left out
    means a dumper that misread the kernel's page types; so does a level at which nothing is
    missing, which is a note.

    Pages that the hardware gave up (PG_hwpoison) are left out of every dump; the note on them names
    whose they were, and is in the headline, for a memory error is where to look first.

    It can mislead: an ELF dump leaves out pages of zeros, slab pages of zeros among them; they are
    not held against it.
    Next: compare the size with the source; look for vmcore-incomplete and for a full disk; compare
    the versions of makedumpfile and kernel with the known bad dumpers.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  @Override
  public CheckOutcome.Ran run(CheckContext context) {
    Container container = context.dump().container();
    ContainerAudit audit = context.dump().audit();
    Map<String, String> facts = new LinkedHashMap<>();
    List<Note> notes = new ArrayList<>();
    List<Finding> findings = new ArrayList<>();
    long missing = 0;
    List<String> reasons = new ArrayList<>();
    for (PageRead.Damage kind : MISSING) {
      long count = audit.pages().damaged().getOrDefault(kind, 0L);
      if (count > 0) {
        missing += count;
        reasons.add(count + " " + kind.words());
        facts.put(kind.words(), Long.toString(count));
      }
    }
    boolean byBitmap = container.dumpLevel() >= 0;
    boolean isCut = audit.pages().damagedInAll() > 0;
    boolean storesZeros =
        byBitmap
            && ((container.dumpLevel() & 1) == 0
                || audit.storedAs().containsKey("shared page of zeros"));
    KernelPages kernelPages = KernelPages.of(context.dump(), context.kernel(), storesZeros, isCut);
    truncation(context, container, audit, kernelPages, missing, reasons).ifPresent(findings::add);
    container.remarks().forEach(remark -> notes.add(new Note("header", remark)));
    String erased = context.dump().eraseinfo();
    if (!erased.isBlank()) {
      notes.add(
          new Note(
              "erased",
              "makedumpfile's --config filter overwrote data in this dump: "
                  + Printable.of(erased.strip().replace('\n', ';'), 500)));
      facts.put("erased by filter", "yes");
    }
    Optional<PageCensus> census =
        context
            .kernel()
            .flatMap(kernel -> MemMap.of(kernel).map(map -> census(kernel, map, context::isOver)));
    findings.addAll(LeftOutKernelPages.findings(id(), kernelPages, context));
    census.ifPresent(
        taken -> {
          facts.put("observed dump level", DumpLevel.observed(taken, audit));
          notes.addAll(DumpLevel.notes(container.dumpLevel(), taken));
          excludedSlabs(context, taken, byBitmap).ifPresent(findings::add);
          HardwarePages.note(context.kernel().orElseThrow(), taken).ifPresent(notes::add);
          long givenUp = HardwarePages.sure(context.kernel().orElseThrow(), taken);
          if (givenUp > 0) {
            facts.put(HardwarePages.FACT, Long.toString(givenUp));
          }
          if (!byBitmap && taken.excludedSlabsInAll() > 0) {
            facts.put("slab pages left out", Long.toString(taken.excludedSlabsInAll()));
          }
        });
    facts.put("total", Long.toString(audit.pages().total()));
    facts.put("stored", Long.toString(audit.pages().stored()));
    facts.put("page size", Integer.toString(context.dump().memory().pageSize()));
    if (container.pages().inPart() > 0) {
      facts.put("stored in part", Long.toString(container.pages().inPart()));
    }
    facts.put("excluded", Long.toString(audit.pages().excluded()));
    facts.put("missing", Long.toString(missing));
    if (byBitmap) {
      facts.put("dump level", Integer.toString(container.dumpLevel()));
    }
    Map<String, Long> looked = new LinkedHashMap<>();
    looked.put("page frames", audit.pages().total());
    long ofKernel = kernelPages.roles().stream().mapToLong(KernelPages.Role::looked).sum();
    if (ofKernel > 0) {
      looked.put("pages that no level leaves out", ofKernel);
    }
    if (!kernelPages.isWhole()) {
      facts.put("pages that no level leaves out", "not all were looked for");
    }
    census.ifPresent(taken -> looked.put("frames by struct page", taken.frames()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? (context.kernel().isPresent() && kernelPages.isWhole()
                ? "complete"
                : "complete by the file's own account; not all was looked for that a kernel must"
                    + " have")
            : missing > 0
                ? "incomplete: " + String.join(", ", reasons)
                : findings.getFirst().claim(),
        facts,
        findings,
        notes,
        new Coverage(looked, missing > 0 ? Map.of("missing", missing) : Map.of(), List.of()));
  }

  private static PageCensus census(
      Kernel kernel, MemMap memMap, java.util.function.BooleanSupplier isOver) {
    SlabCaches caches = SlabCaches.of(kernel);
    return PageCensus.take(
        kernel.memory().physical(),
        memMap,
        address -> {
          SlabCache cache = caches.byAddress().get(address);
          return cache == null ? "" : cache.name();
        },
        isOver);
  }

  private Optional<Finding> truncation(
      CheckContext context,
      Container container,
      ContainerAudit audit,
      KernelPages kernelPages,
      long missing,
      List<String> reasons) {
    List<Evidence> evidence = new ArrayList<>();
    if (container.incomplete()) {
      evidence.add(
          new Evidence.CountMismatch(
              "status", 0, 1, "the header says that the dump is incomplete: its writer gave up"));
    }
    for (String remark : container.remarks()) {
      if (remark.contains("cut short") || remark.contains("was not given")) {
        evidence.add(new Evidence.CountMismatch("complete", 1, 0, remark));
      }
    }
    if (missing > 0) {
      long promised = audit.pages().stored() + audit.pages().damagedInAll();
      evidence.add(
          new Evidence.CountMismatch(
              "stored pages",
              promised,
              promised - missing,
              "%d of %d promised pages are not in the file: %s"
                  .formatted(missing, promised, String.join(", ", reasons))));
      evidence.addAll(
          PageRanges.evidence(
              context.kernel(),
              audit.defects().stream().filter(defect -> MISSING.contains(defect.kind())).toList()));
    }
    LeftOutKernelPages.lost(kernelPages).ifPresent(evidence::add);
    return evidence.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Finding(
                id(),
                Layer.CONTAINER,
                Severity.CORRUPT,
                Cause.DUMP_TRUNCATED,
                missing > 0
                    ? "the dump is not complete: "
                        + Counted.of(missing, "pages")
                        + (missing == 1 ? " is missing" : " are missing")
                    : "the dump is not complete",
                Subject.NONE,
                evidence,
                List.of(),
                id() + "/truncated"));
  }

  /// Slab pages that were left out by a writer that says page by page what it left out.
  private Optional<Finding> excludedSlabs(
      CheckContext context, PageCensus census, boolean byBitmap) {
    long pages = census.excludedSlabsInAll();
    if (!byBitmap || pages == 0) {
      return Optional.empty();
    }
    String caches =
        census.excludedSlabPages().entrySet().stream()
            .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
            .limit(8)
            .map(
                entry ->
                    "%s %d"
                        .formatted(
                            entry.getKey().isEmpty()
                                ? "(no cache)"
                                : Printable.of(entry.getKey(), 40),
                            entry.getValue()))
            .collect(Collectors.joining(", "));
    return Optional.of(
        new Finding(
            id(),
            Layer.CONTAINER,
            Severity.CORRUPT,
            Cause.DUMPER_EXCLUDED_SLAB,
            "%s%s of %s left out of the dump, which no dump level asks for"
                .formatted(
                    census.sampled() ? "at least " : "",
                    Words.plural(pages, "slab page", "slab pages"),
                    Words.plural(census.excludedSlabPages().size(), "cache was", "caches were")),
            Subject.NONE,
            LeftOutKernelPages.withDumper(
                context,
                new Evidence.CountMismatch(
                    "slab pages left out",
                    0,
                    pages,
                    "%d of %d slab pages looked at are marked as left out, by cache: %s"
                        .formatted(
                            pages, pages + census.count(PageState.Kind.SLAB).stored(), caches)),
                new Evidence.PageLooksLike(
                    census.firstExcludedSlab(),
                    "excluded",
                    "page frame 0x%x is a slab page and is left out"
                        .formatted(census.firstExcludedSlab()))),
            List.of(),
            id() + "/excluded-slab"));
  }
}
