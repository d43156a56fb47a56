package org.vmcheck.report;

import java.nio.charset.StandardCharsets;
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
  /// @param words the dump's files, and the options without which it cannot be read as it was
  static List<NextSteps> of(Finding finding, String descriptor, List<String> words) {
    Subject subject = finding.subject();
    String unmask = isRecovered(finding) ? " --unmask" : "";
    String dump = String.join(" ", words.stream().map(NextSteps::word).toList());
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
              "[(hex(at), hex(word)) for at, word in prog.search_memory_word(0x%x)]"
                  .formatted(subject.object())));
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

  /// What commands about the dump of a report begin with.
  ///
  /// @param words what the user gave; empty if that is not known, and the report's own path stands
  ///   for it
  static List<String> dump(DumpReport report, List<String> words) {
    return words.isEmpty() ? List.of(Printable.path(report.dump().path())) : words;
  }

  /// A file or an option that the user gave as one argument of a shell's command line, exactly.
  /// Letters of any script stand as they are; where a terminal would not show one, all that is no
  /// plain ASCII stands as `$'\\303\\251'` does, which bash, ksh and zsh know.
  static String word(String given) {
    if (Printable.isShown(given)) {
      return inQuotes(given);
    }
    StringBuilder word = new StringBuilder("$'");
    for (byte b : given.getBytes(StandardCharsets.UTF_8)) {
      int value = b & 0xff;
      if (value < 0x20 || value >= 0x7f || value == '\'' || value == '\\') {
        word.append("\\%03o".formatted(value));
      } else {
        word.append((char) value);
      }
    }
    return word.append("'").toString();
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
    return inQuotes(Printable.of(untrusted));
  }

  private static String inQuotes(String word) {
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
