package org.vmcheck.check;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.vmcheck.arch.Instructions;
import org.vmcheck.debuginfo.DebugFile;
import org.vmcheck.debuginfo.KernelIdentity;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.image.FunctionPointers;
import org.vmcheck.image.TextFault;
import org.vmcheck.image.TextSurvey;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.Words;

/// Are the kernel's text and read-only data what its file holds?
final class ImageTextCheck implements Check {
  @Override
  public String id() {
    return "image.text";
  }

  @Override
  public String question() {
    return "Are the kernel's text and read-only data what its file holds?";
  }

  @Override
  public String explanation() {
    return """
    With the kernel's own file (`--vmlinux`, a vmlinux or a vmlinuz; its build-id or banner must be
    the dump's) text and read-only data are compared byte by byte, addresses moved as KASLR moved
    them. Left out is what the kernel patches itself, taken from the tables of that file:
    alternatives, paravirt calls, retpolines and return thunks, static calls, jump labels, ftrace,
    runtime constants, the heads of functions that seal ENDBR, the addresses of arm64's hypervisor,
    and what is read-only only after the start. That is about a twentieth of text. So are the places of kprobes, which the dump names, the
    hypercall page of Xen, and a lone breakpoint, as a debugger sets it; those are counted.

    One bit that differs is the strongest evidence of bad hardware there is: no kernel writes there.
    A jump or call that the file does not have is named with where it leads: a hook.

    Without that file, the tables of system calls and interrupts and the pointers to functions in
    read-only data are looked at: they lead to where functions of the kernel begin, not into modules.

    It can mislead: Ksplice, KernelCare and some security agents write jumps of their own into text, or
    entries of their own into the table of system calls; these are named as any hook is, with where
    they lead: ask whose module that is. Where more places differ than damage leaves,
    something patches this kernel that is not known here; that is said and is no finding.
    Next: give the vmlinuz of this kernel with --vmlinux where none was compared with.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SYMBOLS;
  }

  @Override
  public OptionalDouble seconds(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    return context.secondsFor(
        kernel.memory().map().imageEnd() - kernel.memory().map().imageStart());
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    Optional<DebugFile> file = file(kernel);
    if (file.isEmpty()) {
      return withoutFile(context, kernel);
    }
    try {
      return outcome(context, TextSurvey.of(kernel, Vmlinux.open(file.get().path())));
    } catch (IOException e) {
      return new CheckOutcome.NothingToLookAt(
          id(), "%s cannot be compared with: %s".formatted(file.get().path(), e.getMessage()));
    }
  }

  /// What read-only tables of functions say by themselves.
  private CheckOutcome withoutFile(CheckContext context, Kernel kernel) {
    FunctionPointers all = FunctionPointers.of(kernel);
    Coverage coverage = new Coverage(all.lookedAt(), all.notRead(), List.of());
    String noFile = "no file of this kernel was given to compare with (--vmlinux)";
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(id(), noFile);
    }
    List<Note> notes = new ArrayList<>();
    List<WrongWord> words = all.faults().stream().map(fault -> word(kernel, fault)).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    long pointers = all.lookedAt().values().stream().mapToLong(Long::longValue).sum();
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? "%s and entries of its tables lead to functions; %s"
                .formatted(
                    Words.plural(pointers, "read-only pointer", "read-only pointers"), noFile)
            : Words.plural(
                all.faults().size(),
                "pointer or entry leads to no function of the kernel",
                "pointers or entries lead to no function of the kernel"),
        WrongWord.facts(all.lookedAt(), pointers * Long.BYTES),
        findings,
        notes,
        coverage);
  }

  private static WrongWord word(Kernel kernel, FunctionPointers.Fault fault) {
    String leads =
        fault.target().isEmpty()
            ? "is no entry that the kernel writes"
            : "leads to %s, where no function of the kernel begins"
                .formatted(kernel.describe(fault.target().getAsLong()));
    return new WrongWord(
        fault.address(),
        fault.value(),
        fault.right(),
        "%s %s".formatted(fault.variable(), leads),
        fault.right().isPresent()
            ? "one bit away %s begins; nothing writes there after the start"
                .formatted(kernel.describe(fault.right().getAsLong()))
            : "nothing writes there after the start",
        Cause.TEXT_MODIFIED,
        Words.place("function/" + fault.variable()));
  }

  /// A file of this very kernel.
  private static Optional<DebugFile> file(Kernel kernel) {
    return kernel.debugFiles().stream()
        .filter(
            one ->
                one.match() == KernelIdentity.Match.SAME_BUILD_ID
                    || one.match() == KernelIdentity.Match.SAME_BANNER)
        .findFirst();
  }

  private CheckOutcome outcome(CheckContext context, TextSurvey survey) {
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    List<Note> notes = new ArrayList<>();
    survey.remarks().forEach(remark -> notes.add(new Note("kernel image", remark)));
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.remarks().isEmpty()
              ? "no page of the image is in the dump"
              : survey.remarks().getFirst(),
          Map.of(),
          notes,
          coverage);
    }
    Kernel kernel = context.kernel().orElseThrow();
    List<WrongWord> words = survey.faults().stream().map(fault -> word(kernel, fault)).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = new LinkedHashMap<>();
    survey.lookedAt().forEach((what, count) -> facts.put(what, count.toString()));
    facts.put("bytes that the kernel patches", Long.toString(survey.open()));
    facts.put("places that the kernel patches", Long.toString(survey.sites()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? "%,d bytes of text and %,d of read-only data %s"
                .formatted(
                    survey.lookedAt().getOrDefault("bytes of text", 0L),
                    survey.lookedAt().getOrDefault("bytes of read-only data", 0L),
                    survey.remarks().isEmpty() ? "are as in the file" : "were compared")
            : Words.plural(survey.faults().size(), "place differs", "places differ")
                + " from the file",
        facts,
        findings,
        notes,
        coverage);
  }

  private static WrongWord word(Kernel kernel, TextFault fault) {
    String place = kernel.describe(fault.address());
    Optional<String> hook = hook(kernel, fault);
    String claim =
        hook.isPresent()
            ? "the code at %s is not the kernel's own: it leads to %s".formatted(place, hook.get())
            : fault.bits() == 1
                ? "one bit of %s at %s is not as in the kernel's file".formatted(kind(fault), place)
                : "%s of %s at %s %s not as in the kernel's file"
                    .formatted(
                        Words.plural(fault.byteCount(), "byte", "bytes"),
                        kind(fault),
                        place,
                        fault.byteCount() == 1 ? "is" : "are");
    String why =
        fault.bits() == 1
            ? "nothing writes there, so one bit that differs is hardware's most likely; the file's"
                + " tables do not name it as a place that the kernel patches"
            : "the file's tables do not name it as a place that the kernel patches";
    return new WrongWord(
        fault.word(),
        fault.value(),
        OptionalLong.of(fault.expected()),
        claim,
        why,
        Cause.TEXT_MODIFIED,
        Words.place(kind(fault) + "/" + place));
  }

  private static String kind(TextFault fault) {
    return fault.section().equals(".text") ? "text" : "read-only data";
  }

  /// Where a call or jump leads that was written over the code.
  private static Optional<String> hook(Kernel kernel, TextFault fault) {
    Instructions instructions = kernel.architecture().instructions();
    int jumpBytes = instructions.jumpBytes();
    long from = fault.address() & -instructions.breakpointBytes();
    if (fault.bits() == 1
        || !fault.section().equals(".text")
        || fault.byteCount() > 2L * jumpBytes
        || !(kernel.memory().read(from, jumpBytes) instanceof MemoryRead.Bytes(ByteView code))) {
      return Optional.empty();
    }
    long jump = 0;
    for (int i = 0; i < jumpBytes; i++) {
      jump |= (long) code.u8(i) << (8 * i);
    }
    OptionalLong target = instructions.target(from, jump);
    return target.isPresent() ? Optional.of(kernel.describe(target.getAsLong())) : Optional.empty();
  }
}
