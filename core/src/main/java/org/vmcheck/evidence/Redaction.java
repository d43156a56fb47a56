package org.vmcheck.evidence;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;

/// Replaces what tells of the machine and its data: addresses and words, the host, the path, the
/// command line, log lines, quoted text and bytes of memory.
///
/// The same value becomes the same other one everywhere in a bundle, so that a reader still sees
/// which words are equal; another bundle has other ones, and the key is kept nowhere. A kernel
/// address keeps its upper 16 bits and its place in 32 KiB. Names of files that were opened are
/// hidden wherever they stand. Names of caches, functions and kernels stay: without them a finding
/// says nothing.
final class Redaction {
  private static final Pattern WORD = Pattern.compile("0x([0-9a-f]{5,16})\\b|\\b([0-9a-f]{16})\\b");
  private static final long KERNEL = 0xffff_8000_0000_0000L;

  /// A slab of the highest common order: 8 pages.
  private static final int BLOCK_SHIFT = 15;

  private static final long BLOCK_MASK = (1L << BLOCK_SHIFT) - 1;

  private final Mac mac;
  private final HiddenNames names = new HiddenNames();

  /// @param fileNames of all files that were opened, the dump first, as messages may call them
  Redaction(List<String> fileNames) {
    int count = 0;
    for (String name : fileNames) {
      count++;
      names.file(name, count == 1 ? "dump-1" : "file-" + count);
    }
    byte[] key = new byte[32];
    new SecureRandom().nextBytes(key);
    try {
      mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException("every JDK has HmacSHA256", impossible);
    }
  }

  /// Another word for this one; the unknown and 0 stay.
  long word(long value) {
    if (value == Evidence.UNKNOWN || value == 0) {
      return value;
    }
    boolean isKernel = Long.compareUnsigned(value, KERNEL) >= 0;
    boolean isPhysical = value > 0 && value < 1L << 52;
    long block = isKernel || isPhysical ? value >>> BLOCK_SHIFT : value;
    mac.update(ByteBuffer.allocate(8).putLong(block).array());
    long other = ByteBuffer.wrap(mac.doFinal()).getLong();
    if (isKernel) {
      return (value & (0xffff_0000_0000_0000L | BLOCK_MASK))
          | 0x8000_0000_0000L
          | (other & 0x7fff_ffff_ffffL & ~BLOCK_MASK);
    }
    return isPhysical ? (other & 0xf_ffff_ffffL & ~BLOCK_MASK) | (value & BLOCK_MASK) : other;
  }

  /// Any text: its words, its quoted parts and the names that are known to be private.
  String text(String text) {
    String safe = quotes(directories(names.in(VmcoreinfoLines.withoutQuotes(text))));
    Matcher words = WORD.matcher(safe);
    return words.replaceAll(
        match ->
            match.group(1) == null
                ? "%016x".formatted(word(Long.parseUnsignedLong(match.group(2), 16)))
                : "0x%x".formatted(word(Long.parseUnsignedLong(match.group(1), 16))));
  }

  /// Leaves of an absolute path the name at its end. By hand, as [#quotes]: a regular expression
  /// calls itself for each directory of a hostile path.
  private static String directories(String text) {
    Cancellation token = Cancellation.current();
    StringBuilder out = new StringBuilder(text.length());
    int at = 0;
    while (at < text.length()) {
      token.step();
      if (text.charAt(at) != '/' || !beginsPath(text, at)) {
        out.append(text.charAt(at++));
        continue;
      }
      int end = at;
      while (end < text.length() && !endsPath(text.charAt(end))) {
        token.step();
        end++;
      }
      int name = end;
      while (name > at && text.charAt(name - 1) == '/') {
        name--;
      }
      while (name > at && text.charAt(name - 1) != '/') {
        name--;
      }
      out.append(name > at + 1 ? "(path)/" : text.substring(at, name)).append(text, name, end);
      at = end;
    }
    return out.toString();
  }

  private static boolean beginsPath(String text, int at) {
    if (at == 0) {
      return true;
    }
    char before = text.charAt(at - 1);
    // As in https://host, which names no file.
    boolean isAddress = before == ':' && text.startsWith("//", at);
    return !isAddress && (Character.isWhitespace(before) || "\"'([=,:!".indexOf(before) >= 0);
  }

  private static boolean endsPath(char c) {
    return Character.isWhitespace(c) || c == '"' || c == '\'';
  }

  /// Replaces what stands in quotes; one that does not end goes on to the end of the text.
  private static String quotes(String text) {
    Cancellation token = Cancellation.current();
    StringBuilder out = new StringBuilder(text.length());
    int at = 0;
    for (int open = text.indexOf('"'); open >= 0; open = text.indexOf('"', at)) {
      int end = open + 1;
      while (end < text.length() && text.charAt(end) != '"') {
        token.step();
        end += text.charAt(end) == '\\' ? 2 : 1;
      }
      out.append(text, at, open).append("\"(text)\"");
      at = Math.min(end + 1, text.length());
    }
    return out.append(text, at, text.length()).toString();
  }

  /// The text of VMCOREINFO: where the kernel lay and when it crashed is left out, what types look
  /// like stays.
  String vmcoreinfo(String text) {
    StringBuilder out = new StringBuilder();
    for (String line : text.split("\n", -1)) {
      int sign = line.indexOf('=');
      boolean isPlace = VmcoreinfoLines.isPlace(line);
      out.append(isPlace && sign > 0 ? line.substring(0, sign + 1) + "(redacted)" : text(line));
      out.append('\n');
    }
    return out.toString();
  }

  DumpReport report(DumpReport report) {
    names.file(report.dump().path(), "dump-1");
    report.kernel().ifPresent(kernel -> names.add(kernel.nodename(), "host-1"));
    report.kernel().ifPresent(kernel -> names.add(kernel.panic().message(), "(panic message)"));
    List<CheckOutcome> checks = new ArrayList<>();
    for (CheckOutcome outcome : report.checks()) {
      checks.add(
          switch (outcome) {
            case CheckOutcome.Ran ran -> ran(ran);
            case CheckOutcome.NothingToLookAt nothing ->
                new CheckOutcome.NothingToLookAt(
                    nothing.id(),
                    text(nothing.why()),
                    facts(nothing.facts()),
                    notes(nothing.id(), nothing.notes()),
                    nothing.coverage());
            case CheckOutcome.Skipped(String id, List<String> unmet) ->
                new CheckOutcome.Skipped(id, texts(unmet));
            case CheckOutcome.Declined declined -> declined;
            case CheckOutcome.Failed(String id, String reason) ->
                new CheckOutcome.Failed(id, text(reason));
          });
    }
    return new DumpReport(
        report.tool(),
        report.dump().withPath("dump-1"),
        report.kernel().map(this::kernel),
        report.kernels().stream().map(this::entry).toList(),
        checks,
        verdict(report.verdict()),
        report.seconds(),
        Optional.empty(),
        report.origin().map(this::origin));
  }

  private Origin origin(Origin origin) {
    Origin.Signs signs = origin.signs();
    return new Origin(
        origin.side(),
        origin.damages(),
        origin.flips().stream()
            .map(
                flip ->
                    new Origin.Flip(
                        flip.dump(),
                        flip.check(),
                        flip.owner(),
                        flip.offset(),
                        word(flip.physical()),
                        flip.bit(),
                        flip.isSet()))
            .toList(),
        new Origin.Signs(
            signs.edac(),
            signs.machineChecks(),
            signs.firmware(),
            signs.injected(),
            signs.pagesGivenUp(),
            signs.frames().stream()
                .map(pfn -> word(pfn << signs.pageShift()) >>> signs.pageShift())
                .collect(Collectors.toSet()),
            signs.pageShift(),
            signs.isWatched(),
            signs.isGuest()),
        origin.claims().stream()
            .map(
                claim ->
                    new Origin.Claim(
                        claim.about(),
                        text(claim.sentence()),
                        claim.count(),
                        claim.of(),
                        claim.chance(),
                        claim.earned()))
            .toList(),
        texts(origin.refutations()));
  }

  /// Without its place and its command line, as [#kernel].
  private KernelEntry entry(KernelEntry kernel) {
    return new KernelEntry(
        kernel.number(),
        kernel.judged(),
        kernel.capture(),
        kernel.release(),
        Evidence.UNKNOWN,
        "(redacted)",
        text(kernel.found()),
        text(kernel.basis()));
  }

  private List<String> texts(List<String> texts) {
    return texts.stream().map(this::text).toList();
  }

  private KernelFacts kernel(KernelFacts kernel) {
    return new KernelFacts(
        kernel.release(),
        kernel.version(),
        kernel.machine(),
        "host-1",
        kernel.buildId(),
        "(redacted)",
        kernel.taint(),
        kernel.cpus(),
        kernel.memoryBytes(),
        Evidence.UNKNOWN,
        Evidence.UNKNOWN,
        kernel.pagingLevels(),
        kernel.smeMask(),
        text(kernel.symbolSource()),
        kernel.symbolCount(),
        text(kernel.typeSource()),
        kernel.allocator(),
        kernel.slabVariant(),
        kernel.decoder(),
        new KernelFacts.PanicFacts("(redacted)", kernel.panic().cpu(), 0, List.of()),
        Optional.empty(),
        kernel.caches());
  }

  private CheckOutcome.Ran ran(CheckOutcome.Ran ran) {
    return new CheckOutcome.Ran(
        ran.id(),
        text(ran.answer()),
        facts(ran.facts()),
        ran.findings().stream().map(this::finding).toList(),
        notes(ran.id(), ran.notes()),
        ran.coverage());
  }

  private Map<String, String> facts(Map<String, String> facts) {
    Map<String, String> redacted = new TreeMap<>();
    facts.forEach(
        (name, value) -> redacted.put(name, name.startsWith("log") ? "(log line)" : text(value)));
    return redacted;
  }

  private List<Note> notes(String check, List<Note> notes) {
    return notes.stream()
        .map(note -> new Note(text(note.topic()), note(check, note), note.lead()))
        .toList();
  }

  /// The witness's notes are lines of the log behind their topic, but for the one about the log.
  private String note(String check, Note note) {
    return check.equals("log.witness") && !note.topic().equals("log")
        ? text(note.topic()) + ": (log line)"
        : text(note.text());
  }

  private Finding finding(Finding finding) {
    Subject subject = finding.subject();
    return new Finding(
        finding.check(),
        finding.layer(),
        finding.severity(),
        finding.cause(),
        text(finding.claim()),
        new Subject(
            subject.cache(),
            word(subject.slab()),
            word(subject.object()),
            word(subject.address()),
            word(subject.physical()),
            word(subject.raw()),
            word(subject.decoded())),
        finding.evidence().stream().map(this::evidence).toList(),
        finding.against().stream().map(this::evidence).toList(),
        finding.fate(),
        finding.fingerprint());
  }

  private Evidence evidence(Evidence evidence) {
    String sentence = text(evidence.sentence());
    return switch (evidence) {
      case Evidence.WordAt word ->
          new Evidence.WordAt(
              word(word.address()),
              word(word.physical()),
              word(word.raw()),
              word(word.decoded()),
              sentence);
      case Evidence.ChainBroken chain ->
          new Evidence.ChainBroken(
              chain.list(), word(chain.from()), word(chain.to()), chain.step(), sentence);
      case Evidence.BytesAt bytes ->
          new Evidence.BytesAt(
              word(bytes.address()), word(bytes.physical()), "", 0, 0, sentence + " (left out)");
      case Evidence.LoggedBytes bytes ->
          new Evidence.LoggedBytes(
              word(bytes.address()),
              word(bytes.physical()),
              "",
              0,
              0,
              bytes.expected(),
              sentence + " (left out)");
      case Evidence.Run run ->
          new Evidence.Run(
              word(run.address()),
              word(run.physical()),
              run.length(),
              "",
              sentence + " (left out)");
      case Evidence.SlabPicture picture ->
          new Evidence.SlabPicture(
              word(picture.first()),
              picture.stride(),
              picture.cells(),
              picture.path(),
              picture.holder(),
              picture.target(),
              sentence);
      case Evidence.CountMismatch count ->
          new Evidence.CountMismatch(count.what(), count.expected(), count.actual(), sentence);
      case Evidence.PageLooksLike page ->
          new Evidence.PageLooksLike(word(page.pfn() << 12) >>> 12, page.looks(), sentence);
      case Evidence.WhatIf whatIf -> new Evidence.WhatIf(text(whatIf.change()), sentence);
      case Evidence.LogLineSays log ->
          new Evidence.LogLineSays(
              0,
              "(log line)",
              log.line().isEmpty()
                  ? sentence
                  : text(log.sentence().replace(log.line(), "(log line)")));
    };
  }

  private Verdict verdict(Verdict verdict) {
    String summary = text(verdict.summary());
    List<String> reasons = texts(verdict.reasons());
    return switch (verdict) {
      case Verdict.Intact v -> new Verdict.Intact(summary, reasons, v.coverage());
      case Verdict.KernelDamaged v -> new Verdict.KernelDamaged(summary, reasons, v.coverage());
      case Verdict.DumpDamaged v -> new Verdict.DumpDamaged(summary, reasons, v.coverage());
      case Verdict.Undetermined v -> new Verdict.Undetermined(summary, reasons, v.coverage());
    };
  }
}
