package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Clock;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.Lines;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.Printable;
import org.vmcheck.io.Sha256;
import org.vmcheck.io.TreeFile;
import org.vmcheck.io.UnsupportedFormatException;

/// Turns one incident into one entry of the catalogue. Nothing that a file holds makes it throw.
final class Judge {
  private static final int HASHED_BYTES = 64 << 10;

  /// A dump that is not whole and changed as lately as this is still being written.
  private static final long WRITING_SECONDS = 300;

  private static final KernelFacts NO_KERNEL =
      new KernelFacts(
          "",
          "",
          "",
          "",
          "",
          "",
          "",
          0,
          0,
          0,
          0,
          0,
          0,
          "",
          0,
          "",
          "",
          "",
          "",
          new KernelFacts.PanicFacts("", -1, 0, List.of()));

  /// An entry with the report behind it, if there is one.
  record Judged(CatalogueEntry entry, Optional<DumpReport> report) {}

  private final AnalysisOptions options;
  private final String origin;
  private final String tool;
  private final Clock clock;

  /// @param origin of the incidents
  /// @param tool what it calls itself
  Judge(AnalysisOptions options, String origin, String tool, Clock clock) {
    this.options = options;
    this.origin = origin;
    this.tool = tool;
    this.clock = clock;
  }

  /// Judges under one guard: whatever is thrown on the way, the entry says so, and nothing but a
  /// fault of the virtual machine comes out.
  Judged judge(Incident incident) {
    long start = System.nanoTime();
    try {
      return incident.parts().isEmpty()
          ? withoutDump(incident, start)
          : dumpOrFailure(incident, start);
    } catch (CancelledException over) {
      return stopped(incident, over.getMessage(), start);
    } catch (Throwable thrown) {
      return broken(incident, thrown, start);
    }
  }

  private Judged dumpOrFailure(Incident incident, long start) {
    try {
      return analysed(incident, start);
    } catch (MalformedFileException | UnsupportedFormatException failure) {
      return failed(incident, start, CatalogueEntry.Problem.FORMAT, message(failure));
    } catch (IOException failure) {
      return failed(incident, start, CatalogueEntry.Problem.IO, message(failure));
    }
  }

  /// What ended before the dump was judged, and is said of it without reading anything more.
  ///
  /// @param why as in `the deadline of 5 s`
  Judged stopped(Incident incident, String why, long start) {
    return unread(
        incident,
        start,
        "undetermined",
        "stopped by %s before there was an answer: nothing is said of this dump".formatted(why),
        CatalogueEntry.Problem.NONE,
        "");
  }

  /// What threw an exception that nobody expected.
  Judged broken(Incident incident, Throwable thrown, long start) {
    String problem = "a bug of vmcheck: " + thrown;
    CatalogueEntry.Problem kind = CatalogueEntry.Problem.BUG;
    if (thrown instanceof OutOfMemoryError) {
      problem = "not enough memory: try again with fewer jobs";
      kind = CatalogueEntry.Problem.IO;
    } else if (thrown instanceof InternalError lost && MappedFile.isLostMap(lost)) {
      problem = "the file changed while it was read";
      kind = CatalogueEntry.Problem.IO;
    }
    return unread(incident, start, CatalogueEntry.UNREADABLE, problem, kind, problem);
  }

  /// What ended several processes that were at it.
  Judged deadly(Incident incident, int attempts, long start) {
    String problem =
        "%d scans were killed while they were at it: out of memory?".formatted(attempts);
    return unread(
        incident, start, CatalogueEntry.UNREADABLE, problem, CatalogueEntry.Problem.IO, problem);
  }

  private Judged unread(
      Incident incident,
      long start,
      String verdict,
      String summary,
      CatalogueEntry.Problem kind,
      String problem) {
    return new Judged(
        entry(
            incident,
            incident.selfTest()
                ? CatalogueEntry.State.SELF_TEST
                : incident.namedIncomplete()
                    ? CatalogueEntry.State.INCOMPLETE
                    : CatalogueEntry.State.COMPLETE,
            List.of("", ""),
            start,
            verdict,
            summary,
            kind,
            problem,
            "",
            NO_KERNEL,
            CrashSignature.NONE,
            CrashSignature.NONE,
            List.of(),
            List.of()),
        Optional.empty());
  }

  /// The same judgement for another name of the same file.
  Judged sameFile(Judged first, Incident link) {
    CatalogueEntry entry = first.entry();
    Optional<DumpReport> report =
        first
            .report()
            .map(
                r ->
                    new DumpReport(
                        r.tool(),
                        r.dump().withPath(link.parts().getFirst().toString()),
                        r.kernel(),
                        r.kernels(),
                        r.checks(),
                        r.verdict(),
                        r.seconds(),
                        r.state(),
                        r.origin()));
    List<Note> remarks = new ArrayList<>(entry.remarks());
    remarks.add(new Note("file", "a hard link to " + entry.path()));
    return new Judged(
        new CatalogueEntry(
            entry.origin(),
            link.location(),
            link.location().words(),
            link.selfTest() ? CatalogueEntry.State.SELF_TEST : entry.state(),
            Printable.of(link.host(), 255),
            Printable.of(link.namedTime(), 40),
            entry.bytes(),
            link.identity(),
            entry.headHash(),
            entry.tailHash(),
            link.files(),
            entry.tool(),
            entry.judgedAt(),
            0,
            entry.verdict(),
            entry.summary(),
            entry.problemKind(),
            entry.problem(),
            entry.format(),
            entry.release(),
            entry.machine(),
            entry.nodename(),
            entry.crashTime(),
            entry.panic(),
            entry.panicSignature(),
            entry.damageSignature(),
            entry.causes(),
            remarks,
            false,
            ""),
        report);
  }

  private static String message(IOException failure) {
    return failure instanceof java.nio.file.FileSystemException
        ? Incidents.words(failure)
        : String.valueOf(failure.getMessage());
  }

  private Judged analysed(Incident incident, long start) throws IOException {
    List<String> hashes = hashes(incident.parts());
    String before = writeTimes(incident.parts());
    DumpReport report;
    List<String> log;
    List<String> kernelsLog;
    try (Analyzer analyzer = Analyzer.openForCheck(incident.parts(), options)) {
      report = analyzer.check(tool);
      log = log(analyzer::log);
      // What a program wrote is no panic.
      kernelsLog = log(analyzer::kernelsLog);
      List<String> failures = analyzer.readFailures();
      if (!failures.isEmpty()) {
        // Not kept as judged: the next scan tries again.
        throw new IOException(failures.getFirst());
      }
    }
    KernelFacts kernel = report.kernel().orElse(NO_KERNEL);
    boolean changed = !before.equals(writeTimes(incident.parts()));
    List<Note> remarks =
        new ArrayList<>(
            SideCarCheck.compare(incident, log, kernel.release(), kernel.panic().crashTime()));
    if (changed) {
      remarks.add(new Note("file", "the dump changed while it was read"));
    }
    // A dump cut short often lost its log; what was saved before it has not.
    CrashSignature panic = CrashSignature.ofPanic(kernelsLog);
    if (panic.equals(CrashSignature.NONE)) {
      panic = savedPanic(incident);
    }
    if (panic.equals(CrashSignature.NONE)) {
      panic = CrashSignature.ofPanic(List.of(kernel.panic().message()));
    }
    boolean complete =
        report.dump().complete()
            && report.findings().stream().noneMatch(f -> f.cause() == Cause.DUMP_TRUNCATED);
    String unread = SideCarCheck.unread(incident);
    CatalogueEntry entry =
        entry(
            incident,
            state(incident, changed, complete),
            hashes,
            start,
            report.verdict().kind(),
            report.verdict().summary(),
            unread.isEmpty() ? CatalogueEntry.Problem.NONE : CatalogueEntry.Problem.IO,
            unread,
            report.dump().format() + (report.dump().flattened() ? " flattened" : ""),
            kernel,
            panic,
            CrashSignature.ofDamage(report),
            report.findings().stream().map(Finding::cause).map(c -> c.id()).distinct().toList(),
            remarks);
    return new Judged(entry, Optional.of(inTime(report)));
  }

  /// The row is written by who waits for this, when the time may be over.
  private static DumpReport inTime(DumpReport report) {
    Cancellation token = Cancellation.current();
    return token.isOver() ? report.shortened(token.words()) : report;
  }

  /// A question for records of the log.
  private interface Log {
    List<LogLine> records() throws UnansweredException;
  }

  private static List<String> log(Log log) {
    try {
      return log.records().stream()
          .map(LogLine::text)
          .flatMap(text -> Lines.of(text).stream())
          .toList();
    } catch (UnansweredException _) {
      return List.of();
    }
  }

  /// The signature of the first saved log that has one.
  private static CrashSignature savedPanic(Incident incident) {
    for (SideCar sideCar : incident.sideCars()) {
      if (sideCar.kind() == SideCar.Kind.DMESG) {
        try {
          CrashSignature panic = CrashSignature.ofPanic(SideCarCheck.lines(sideCar.path()));
          if (!panic.equals(CrashSignature.NONE)) {
            return panic;
          }
        } catch (IOException _) {
          // Said among the remarks.
        }
      }
    }
    return CrashSignature.NONE;
  }

  private CatalogueEntry.State state(Incident incident, boolean changed, boolean complete) {
    if (incident.selfTest()) {
      return CatalogueEntry.State.SELF_TEST;
    }
    boolean whole = complete && !incident.namedIncomplete();
    if (changed || (!whole && isFresh(incident))) {
      return CatalogueEntry.State.BEING_WRITTEN;
    }
    return whole ? CatalogueEntry.State.COMPLETE : CatalogueEntry.State.INCOMPLETE;
  }

  private boolean isFresh(Incident incident) {
    try {
      long modified =
          Files.getLastModifiedTime(incident.parts().getFirst(), LinkOption.NOFOLLOW_LINKS)
                  .toMillis()
              / 1000;
      // Also of a time a little ahead: clocks of file servers differ.
      return Math.abs(clock.instant().getEpochSecond() - modified) <= WRITING_SECONDS;
    } catch (IOException _) {
      return false;
    }
  }

  /// Side-cars without their dump: no verdict, but a log still has the signature of a crash.
  private Judged withoutDump(Incident incident, long start) {
    boolean hasLog = incident.sideCars().stream().anyMatch(c -> c.kind() == SideCar.Kind.DMESG);
    String unread = SideCarCheck.unread(incident);
    List<Note> remarks = new ArrayList<>(SideCarCheck.compare(incident, List.of(), "", 0));
    remarks.add(
        new Note(
            "dump",
            hasLog
                ? "there is only a kernel log, and no dump"
                : "there is neither a dump nor a kernel log"));
    return new Judged(
        entry(
            incident,
            incident.selfTest()
                ? CatalogueEntry.State.SELF_TEST
                : hasLog ? CatalogueEntry.State.DMESG_ONLY : CatalogueEntry.State.NO_DUMP,
            List.of("", ""),
            start,
            "undetermined",
            hasLog ? "only a kernel log was saved" : "no dump was saved",
            unread.isEmpty() ? CatalogueEntry.Problem.NONE : CatalogueEntry.Problem.IO,
            unread,
            "",
            NO_KERNEL,
            savedPanic(incident),
            CrashSignature.NONE,
            List.of(),
            remarks),
        Optional.empty());
  }

  private Judged failed(
      Incident incident, long start, CatalogueEntry.Problem kind, String problem) {
    List<String> hashes;
    try {
      hashes = hashes(incident.parts());
    } catch (IOException _) {
      hashes = List.of("", "");
    }
    return new Judged(
        entry(
            incident,
            state(incident, false, !incident.namedIncomplete()),
            hashes,
            start,
            CatalogueEntry.UNREADABLE,
            problem,
            kind,
            problem,
            "",
            NO_KERNEL,
            savedPanic(incident),
            CrashSignature.NONE,
            List.of(),
            SideCarCheck.compare(incident, List.of(), "", 0)),
        Optional.empty());
  }

  private CatalogueEntry entry(
      Incident incident,
      CatalogueEntry.State state,
      List<String> hashes,
      long start,
      String verdict,
      String summary,
      CatalogueEntry.Problem kind,
      String problem,
      String format,
      KernelFacts kernel,
      CrashSignature panic,
      CrashSignature damage,
      List<String> causes,
      List<Note> remarks) {
    return new CatalogueEntry(
        origin,
        incident.location(),
        incident.location().words(),
        state,
        Printable.of(incident.host(), 255),
        Printable.of(incident.namedTime(), 40),
        incident.bytes(),
        incident.identity(),
        hashes.getFirst(),
        hashes.getLast(),
        incident.files(),
        Printable.of(tool),
        clock.instant().getEpochSecond(),
        (System.nanoTime() - start) / 1e9,
        verdict,
        Printable.of(summary, 1000),
        kind,
        Printable.of(problem, 1000),
        format,
        Printable.of(kernel.release(), 200),
        Printable.of(kernel.machine(), 80),
        Printable.of(kernel.nodename(), 80),
        kernel.panic().crashTime(),
        Printable.of(kernel.panic().message(), 400),
        panic,
        damage,
        causes,
        remarks,
        false,
        "");
  }

  private static String writeTimes(List<Path> parts) throws IOException {
    StringBuilder times = new StringBuilder();
    for (Path part : parts) {
      times
          .append(Files.size(part))
          .append(' ')
          .append(Files.getLastModifiedTime(part))
          .append('\n');
    }
    return times.toString();
  }

  /// SHA-256 of the first and of the last 64 KiB of all parts.
  private static List<String> hashes(List<Path> parts) throws IOException {
    MessageDigest head = Sha256.digest();
    MessageDigest tail = Sha256.digest();
    for (Path part : parts) {
      try (FileChannel channel = TreeFile.open(part);
          InputStream in = java.nio.channels.Channels.newInputStream(channel)) {
        head.update(in.readNBytes(HASHED_BYTES));
        channel.position(Math.max(0, channel.size() - HASHED_BYTES));
        tail.update(in.readNBytes(HASHED_BYTES));
      }
    }
    return List.of(
        HexFormat.of().formatHex(head.digest()), HexFormat.of().formatHex(tail.digest()));
  }
}
