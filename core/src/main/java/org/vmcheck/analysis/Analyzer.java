package org.vmcheck.analysis;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Consumer;
import org.vmcheck.check.CheckContext;
import org.vmcheck.check.Checks;
import org.vmcheck.desk.AddressExpression;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageSweep;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.PageMap;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.finding.SlabUsage;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.memory.PageMask;
import org.vmcheck.memory.UnmaskedMemory;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;

/// One open dump and the questions that can be asked of it: the public entry of the library.
public final class Analyzer implements AutoCloseable {
  /// Lines of the log that a report ends with.
  private static final int LAST_LINES = 20;

  private final Dump dump;
  private final KernelSearch search;
  private final AnalysisOptions options;
  private final Cancellation cancellation;
  private final long startNanos;
  private final Optional<PageSweep> sweep;
  private PhysicalMemory memory;
  private CheckContext context;
  private Set<Long> unmasked = Set.of();
  private boolean isChecked;

  /// Checks that a lost map ended.
  private final List<String> lostMaps = new ArrayList<>();

  private Analyzer(
      Dump dump,
      KernelSearch search,
      AnalysisOptions options,
      Cancellation cancellation,
      long startNanos,
      Optional<PageSweep> sweep) {
    this.dump = dump;
    this.sweep = sweep;
    this.memory = dump.memory();
    this.search = search;
    this.options = options;
    this.cancellation = cancellation;
    this.startNanos = startNanos;
    this.context =
        new CheckContext(
            dump, search, options.threads(), options.full(), cancellation.asSupplier());
    sweep.ifPresent(context::decodingBegan);
  }

  /// Opens a dump and looks for the kernel in it.
  ///
  /// @throws IOException if the file cannot be read or is no dump that is read here
  public static Analyzer open(Path path, AnalysisOptions options) throws IOException {
    return open(List.of(path), options);
  }

  /// Sorts files into dumps: the parts of a split dump together, every other file alone.
  public static List<List<Path>> group(List<Path> paths) {
    return Dumps.group(paths);
  }

  /// Opens a dump of one file, or a split one from its parts, in any order.
  ///
  /// @throws IOException if a file cannot be read or is no dump that is read here
  public static Analyzer open(List<Path> paths, AnalysisOptions options) throws IOException {
    return open(paths, options, false);
  }

  /// The same, for [#check]: its pages are decoded from now on, on the cores that looking for the
  /// kernel leaves idle.
  ///
  /// @throws IOException if a file cannot be read or is no dump that is read here
  public static Analyzer openForCheck(List<Path> paths, AnalysisOptions options)
      throws IOException {
    boolean decodes = options.only().isEmpty() || options.only().contains(CheckRun.PAGES);
    return open(paths, options, decodes && !options.full() && options.threads() > 1);
  }

  private static Analyzer open(List<Path> paths, AnalysisOptions options, boolean decodes)
      throws IOException {
    long start = System.nanoTime();
    Cancellation current = Cancellation.current();
    Cancellation cancellation =
        current == Cancellation.NEVER ? Cancellation.after(options.deadline()) : current;
    return cancellation.run(() -> open(paths, options, decodes, cancellation, start));
  }

  private static Analyzer open(
      List<Path> paths,
      AnalysisOptions options,
      boolean decodes,
      Cancellation cancellation,
      long start)
      throws IOException {
    Dump dump = Dumps.open(paths, options.openOptions());
    Optional<PageSweep> sweep = Optional.empty();
    try {
      if (decodes && dump.memory().isPacked()) {
        sweep =
            Optional.of(
                Checks.beginDecoding(dump, options.threads() - 1, cancellation.asSupplier()));
      }
      return new Analyzer(dump, search(dump, options), options, cancellation, start, sweep);
    } catch (IOException | RuntimeException | Error failure) {
      sweep.ifPresent(PageSweep::cancel);
      dump.close();
      throw failure;
    }
  }

  private static KernelSearch search(Dump dump, AnalysisOptions options) throws IOException {
    try {
      return KernelFinder.find(dump, options.debug().sources(), options.reading().kernel());
    } catch (CancelledException over) {
      return new KernelSearch.NotFound(
          List.of("the search for the kernel was ended by " + over.getMessage()), false);
    }
  }

  /// Runs the checks and judges.
  ///
  /// @param tool name and version to write into the report
  public DumpReport check(String tool) {
    return cancellation.run(() -> checked(tool));
  }

  private DumpReport checked(String tool) {
    List<CheckOutcome> outcomes = new CheckRun(dump, context, options, lostMaps).outcomes();
    isChecked = true;
    List<String> problems = problems();
    if (outcomes.stream()
        .flatMap(outcome -> outcome.findingsIfRan().stream())
        .anyMatch(finding -> finding.cause() == Cause.ENCRYPTED_MEMORY)) {
      // Where all is ciphertext, what was read in place of a kernel is not worth a word.
      List<String> read = problems;
      List<String> instead = List.of("the dump is encrypted as a whole (memory.encryption)");
      problems = instead;
      outcomes.replaceAll(
          outcome ->
              isForWantOfKernel(outcome, read)
                  ? new CheckOutcome.Skipped(outcome.id(), instead)
                  : outcome);
    }
    List<String> doubts = new ArrayList<>();
    Optional<KernelFacts> kernel =
        JoinedFindings.inTime(
            "the description of the kernel",
            doubts,
            () -> kernelFacts().map(facts -> facts.withContents(modules(), caches())),
            Optional.empty());
    outcomes = MissingPages.gather(outcomes);
    if (kernel.isPresent() && context.kernel().isPresent()) {
      outcomes =
          JoinedFindings.of(
              outcomes,
              new JoinedFindings.Of(dump, context, kernel.get(), this::object, options.threads()),
              doubts);
    }
    Optional<MachineState> state =
        JoinedFindings.inTime(
            "what the machine was doing", doubts, this::machineState, Optional.empty());
    List<CheckOutcome> judged = outcomes;
    Optional<Origin> origin =
        JoinedFindings.inTime(
            "whether hardware or software is to blame",
            doubts,
            () -> context.kernel().flatMap(found -> HardwareEvidence.origin(judged, found)),
            Optional.empty());
    doubts.addAll(0, problems);
    doubts.addAll(0, readFailures());
    return new DumpReport(
        tool,
        FileDescription.of(
            dump,
            outcomes.stream()
                .flatMap(outcome -> outcome.findingsIfRan().stream())
                .anyMatch(finding -> finding.cause() == Cause.DUMP_TRUNCATED)),
        kernel,
        kernels(),
        outcomes,
        VerdictRule.judge(outcomes, doubts, !options.only().isEmpty()),
        (System.nanoTime() - startNanos) / 1e9,
        state,
        origin);
  }

  /// The machine at a glance; empty if no tasks can be found.
  public Optional<MachineState> machineState() {
    Optional<Kernel> kernel = context.kernel();
    if (kernel.isEmpty()) {
      return Optional.empty();
    }
    TaskQuestions questions = new TaskQuestions(kernel.get());
    if (questions.list().tasks().isEmpty()) {
      return Optional.empty();
    }
    List<LogBuffer.Line> records = kernel.get().log().records();
    return Optional.of(
        questions.state(
            logLines(records.subList(Math.max(0, records.size() - LAST_LINES), records.size()))));
  }

  private static boolean isForWantOfKernel(CheckOutcome outcome, List<String> problems) {
    return outcome instanceof CheckOutcome.Skipped skipped && problems.containsAll(skipped.unmet());
  }

  private Optional<List<String>> modules() {
    return context.kernel().flatMap(KernelDescription::modules);
  }

  private Optional<List<CacheUse>> caches() {
    return context
        .surveyIfMade()
        .map(survey -> KernelDescription.caches(context.kernel().orElseThrow(), survey));
  }

  /// What the operating system could not deliver so far, a sentence each, with the pages concerned:
  /// the same question may be answered better later. Empty if all was well.
  public List<String> readFailures() {
    List<String> failures = new ArrayList<>(dump.readFailures());
    failures.addAll(lostMaps);
    return failures;
  }

  /// Stored pages that were met so far and do not decode, a sentence; empty if there are none, or
  /// if [#check] has reported them.
  public List<String> damagedPages() {
    long count = dump.damagedPages().count();
    if (isChecked || count == 0) {
      return List.of();
    }
    List<ContainerAudit.Defect> runs = dump.damagedPages().runs(dump.memory(), 1);
    return List.of(
        "%d stored page%s that %s met %s not decode%s"
            .formatted(
                count,
                count == 1 ? "" : "s",
                count == 1 ? "was" : "were",
                count == 1 ? "does" : "do",
                runs.isEmpty()
                    ? ""
                    : ", the first: page frame 0x%x (file offset 0x%x): %s"
                        .formatted(
                            runs.getFirst().firstPfn(),
                            runs.getFirst().fileOffset(),
                            runs.getFirst().reason())));
  }

  private List<String> problems() {
    return switch (search) {
      case KernelSearch.Found(Kernel kernel) -> kernel.missing();
      case KernelSearch.NotFound(List<String> reasons, boolean _) -> reasons;
    };
  }

  /// Why the kernel, or part of it, cannot be read; empty if it can.
  public List<String> kernelProblems() {
    return problems();
  }

  /// The names of all files that were opened or asked for, as messages may call them: the dump's
  /// first, then files and directories of debug information.
  public List<String> fileNames() {
    Set<String> names = new LinkedHashSet<>(dump.names());
    options.debug().vmlinux().ifPresent(file -> names.add(file.toString()));
    options.debug().directories().forEach(directory -> names.add(directory.toString()));
    if (search instanceof KernelSearch.Found found) {
      found.kernel().debugFiles().forEach(file -> names.add(file.path().toString()));
    }
    return List.copyOf(names);
  }

  /// What the container says of itself; not whether all that it promises is there, which takes a
  /// check.
  public DumpFacts dumpFacts() {
    return FileDescription.of(dump, false);
  }

  /// How many frames are stored in part, where memory begins or ends inside a page: they are in the
  /// total of [#dumpFacts], and neither stored, excluded nor missing.
  public long pagesInPart() {
    return dump.container().pages().inPart();
  }

  /// The kernels in the memory that were found, in the order of their numbers.
  public List<KernelEntry> kernels() {
    return context.kernel().map(Kernel::kernels).orElse(List.of());
  }

  /// Who the kernel is; where it was not found, what the file alone says of it
  /// ([KernelFacts#isFound]). Empty if that is nothing.
  public Optional<KernelFacts> kernelFacts() {
    return context
        .kernel()
        .map(kernel -> KernelDescription.of(kernel, context.surveyIfMade()))
        .or(() -> KernelDescription.ofFile(dump));
  }

  /// The text of VMCOREINFO, unescaped; empty if there is none.
  public String vmcoreinfo() {
    return context
        .kernel()
        .map(kernel -> kernel.vmcoreinfo().text())
        .or(() -> dump.vmcoreinfo().map(info -> info.text()))
        .orElse("");
  }

  /// Where the text of [#vmcoreinfo] comes from and why it is believed, where the dump's file does
  /// not carry it: found in memory, or made up from a symbol table; empty for the dump's own note.
  public Optional<String> vmcoreinfoBasis() {
    return kernels().stream()
        .filter(entry -> entry.judged() && !entry.basis().isEmpty())
        .map(entry -> entry.found() + "; " + entry.basis())
        .findFirst();
  }

  /// The kernel log.
  ///
  /// @throws UnansweredException if it cannot be found
  public List<LogLine> log() throws UnansweredException {
    LogBuffer log = kernel().log();
    if (log.records().isEmpty()) {
      throw new UnansweredException("no kernel log: " + log.problem());
    }
    return logLines(log.records());
  }

  /// The records of it that the kernel itself wrote, none that came through /dev/kmsg.
  public List<LogLine> kernelsLog() throws UnansweredException {
    return logLines(kernel().log().kernelRecords());
  }

  private static List<LogLine> logLines(List<LogBuffer.Line> records) {
    List<LogLine> lines = new ArrayList<>();
    for (LogBuffer.Line line : records) {
      lines.add(new LogLine(line.timestampNanos(), line.level(), line.text()));
    }
    return lines;
  }

  /// The tasks, and what each was doing.
  ///
  /// @throws UnansweredException if there is no kernel, or none whose tasks can be found
  public TaskQuestions tasks() throws UnansweredException {
    TaskQuestions questions = new TaskQuestions(kernel());
    if (questions.list().tasks().isEmpty()) {
      throw new UnansweredException("no tasks: " + String.join("; ", questions.list().problems()));
    }
    return questions;
  }

  /// What words are and what lies at addresses.
  ///
  /// @throws UnansweredException if there is no kernel
  public DeskQuestions desk() throws UnansweredException {
    return new DeskQuestions(kernel(), options);
  }

  /// Objects in use that nothing in memory leads to.
  ///
  /// @param examples how many addresses of each kind are named
  /// @throws UnansweredException if there is no kernel, or the allocator's layout is not known
  public LeaksAnswer leaks(int examples) throws UnansweredException {
    requireSlabs();
    return desk().leaks(examples);
  }

  /// Whether a text is an address as [#address] takes it: hexadecimal, `symbol`, `symbol+0x10`, or
  /// `symbol:2` for CPU 2's copy of a per-CPU variable.
  public static boolean isAddress(String text) {
    return AddressExpression.parse(text).isPresent();
  }

  /// The address that a text names.
  ///
  /// @throws UnansweredException if it names a symbol that is not known
  public long address(String text) throws UnansweredException {
    AddressExpression expression =
        AddressExpression.parse(text)
            .orElseThrow(() -> new UnansweredException("no address: " + text));
    if (expression.isNumber()) {
      return expression.number();
    }
    return expression
        .in(kernel())
        .orElseThrow(
            () ->
                new UnansweredException(
                    "the kernel has no symbol %s%s"
                        .formatted(
                            expression.name(),
                            expression.cpu().isPresent()
                                ? " for cpu " + expression.cpu().getAsInt()
                                : "")));
  }

  /// One row a cache, in the order of `slab_caches`.
  ///
  /// @throws UnansweredException if the allocator's layout is not known
  public List<SlabUsage> slabUsage() throws UnansweredException {
    requireSlabs();
    List<SlabUsage> rows = new ArrayList<>();
    for (SlabSurvey.Tally tally : context.survey().tallies()) {
      SlabCache cache = tally.cache();
      rows.add(
          new SlabUsage(
              cache.address(),
              cache.name(),
              cache.objectSize(),
              tally.allocated(),
              tally.objects(),
              tally.slabs(),
              cache.slabBytes(cache.order())));
    }
    return rows;
  }

  /// Page frames whose descriptors are not in the dump: slabs there, if any, are not counted.
  ///
  /// @throws UnansweredException if the allocator's layout is not known
  public long missingDescriptors() throws UnansweredException {
    requireSlabs();
    return context.survey().unreadableDescriptors();
  }

  /// Shows every slab of one cache, one after the other: a cache may have millions.
  ///
  /// @param objects whether object by object
  /// @throws UnansweredException if the allocator's layout is not known
  public void slabs(String cache, boolean objects, Consumer<SlabListing> shown)
      throws UnansweredException {
    requireSlabs();
    Questions.slabs(kernel(), this::caution, cache, objects, shown);
  }

  /// The slab object that holds an address.
  ///
  /// @throws UnansweredException if none does, saying what is there instead
  public ObjectAnswer object(long address) throws UnansweredException {
    requireSlabs();
    return Questions.object(kernel(), context.survey().vote().decoder(), this::caution, address);
  }

  private void requireSlabs() throws UnansweredException {
    List<String> unmet = context.unmetForSlabs();
    if (!unmet.isEmpty()) {
      throw new UnansweredException("no slab caches: " + String.join("; ", unmet));
    }
  }

  /// The picture of the low 1 MiB, or of all memory.
  public PageMap map(boolean all) {
    return MemoryPicture.of(context, all);
  }

  /// Whether the machine has a low 1 MiB that is used unlike the rest, as PCs have.
  public boolean hasLowMemory() {
    return context.lacksLowMemory().isEmpty();
  }

  /// The picture of the low 1 MiB; empty if the machine has no such range, or the deadline of the
  /// analysis comes before it is drawn.
  public Optional<PageMap> lowMapInTime() {
    if (!hasLowMemory()) {
      return Optional.empty();
    }
    try {
      return Optional.of(cancellation.run(() -> map(false)));
    } catch (CancelledException _) {
      return Optional.empty();
    }
  }

  /// What is to be said of the bytes of a page frame: that they are ciphertext, and whether they
  /// can be recovered; empty for all others.
  private String caution(long pfn) {
    if (pfn >= LowMemory.BACKUP_END_PFN || unmasked.contains(pfn) || !context.isSpoiled(pfn)) {
      return "";
    }
    return context.masks().containsKey(pfn)
        ? "the page lies under an encryption mask (lowmem.sme); --unmask takes it off"
        : "the page is not as the kernel left it (lowmem.sme, lowmem.backup)";
  }

  /// Caches that have slabs on pages which the dump does not hold as the kernel left them, so that
  /// their numbers are wrong.
  ///
  /// @throws UnansweredException if the allocator's layout is not known
  public List<String> spoiledCaches() throws UnansweredException {
    requireSlabs();
    return context.spoiledCaches(unmasked);
  }

  /// From now on reads the pages of the low 640 KiB that lie under a recovered encryption mask
  /// through it.
  ///
  /// @return how many pages these are
  public int unmask() {
    Map<Long, PageMask> masks = context.masks();
    if (!masks.isEmpty()) {
      memory = new UnmaskedMemory(dump.memory(), masks);
      unmasked = Set.copyOf(masks.keySet());
      context = context.unmasked();
    }
    return masks.size();
  }

  /// Bytes of a page frame as findings count them: of the kernel's, or of the container's where no
  /// kernel was found.
  public int pageSize() {
    return context.kernel().map(k -> k.memory().pageSize()).orElse(dump.memory().pageSize());
  }

  /// The physical address of a kernel address; empty if it is not mapped.
  public OptionalLong physical(long address) {
    long paddr = context.kernel().map(k -> k.memory().physicalAddress(address)).orElse(-1L);
    return paddr == -1 ? OptionalLong.empty() : OptionalLong.of(paddr);
  }

  /// Whether the byte at a physical address is a guess where it is read through a mask: no free
  /// pointer lies over that half of the mask.
  public boolean isGuessed(long paddr) {
    return unmasked.contains(LowMemory.pfn(paddr)) && context.isGuessed(paddr);
  }

  /// Bytes at an address.
  ///
  /// @param physical whether the address is physical
  /// @throws UnansweredException if they cannot be read, saying why
  public MemoryAnswer read(long address, int byteCount, boolean physical)
      throws UnansweredException {
    return Questions.read(memory, context.kernel(), this::caution, address, byteCount, physical);
  }

  private Kernel kernel() throws UnansweredException {
    return context
        .kernel()
        .orElseThrow(() -> new UnansweredException(String.join("; ", problems())));
  }

  @Override
  public void close() {
    sweep.ifPresent(PageSweep::cancel);
    dump.close();
  }
}
