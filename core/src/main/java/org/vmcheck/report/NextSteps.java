package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;

/// What to ask next of a finding, as lines to be pasted into a shell, each with the same question
/// to crash and to drgn.
///
/// @param command of vmcheck
/// @param crash the same at crash's prompt
/// @param drgn the same in drgn
record NextSteps(String command, String crash, String drgn) {
  static List<NextSteps> of(Finding finding, String descriptor) {
    return of(finding, descriptor, List.of());
  }

  /// @param options that the user gave, without which the dump cannot be read as it was
  static List<NextSteps> of(Finding finding, String descriptor, List<String> options) {
    Subject subject = finding.subject();
    String unmask = isRecovered(finding) ? " --unmask" : "";
    StringBuilder dump = new StringBuilder("DUMP");
    options.forEach(option -> dump.append(' ').append(quoted(option)));
    List<NextSteps> steps = new ArrayList<>();
    if (subject.address() != Evidence.UNKNOWN) {
      steps.add(
          new NextSteps(
              "vmcheck read %s 0x%x 64%s".formatted(dump, subject.address(), unmask),
              "rd %x 8".formatted(subject.address()),
              "prog.read(0x%x, 64)".formatted(subject.address())));
    }
    if (subject.object() != Evidence.UNKNOWN) {
      steps.add(
          new NextSteps(
              "vmcheck object %s 0x%x%s".formatted(dump, subject.object(), unmask),
              "kmem %x".formatted(subject.object()),
              "slab_object_info(prog, 0x%x)".formatted(subject.object())));
      steps.add(
          new NextSteps(
              "vmcheck refs %s 0x%x".formatted(dump, subject.object()),
              "search -k %x".formatted(subject.object()),
              "list(search_memory_word(0x%x))".formatted(subject.object())));
    }
    if (subject.slab() != Evidence.UNKNOWN && !subject.cache().isEmpty()) {
      steps.add(
          new NextSteps(
              "vmcheck slabs %s%s %s".formatted(dump, unmask, argument(subject.cache())),
              "%s %x".formatted(descriptor, subject.slab()),
              "Object(prog, \"%s *\", 0x%x)[0]".formatted(descriptor, subject.slab())));
    }
    return steps;
  }

  /// The structure that describes a slab in a report's kernel.
  static String descriptor(DumpReport report) {
    Optional<KernelFacts> kernel = report.kernel();
    return kernel.map(KernelFacts::slabVariant).orElse("").startsWith("struct page")
        ? "struct page"
        : "struct slab";
  }

  /// A word from a dump as one argument of a shell's command line that can be no option: memcg
  /// caches have parentheses in their names, and a damaged name anything.
  static String argument(String untrusted) {
    return (untrusted.startsWith("-") ? "-- " : "") + quoted(untrusted);
  }

  private static String quoted(String untrusted) {
    String word = Printable.of(untrusted);
    return word.matches("[A-Za-z0-9_.:@%+=,/-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
  }

  /// Whether the lost bytes can be read through their mask.
  private static boolean isRecovered(Finding finding) {
    return finding.evidence().stream()
        .anyMatch(
            evidence ->
                evidence instanceof Evidence.WhatIf(String change, String _)
                    && change.equals(Evidence.MASK_REMOVED));
  }
}
