package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;

/// Pages of the kernel that no dump level leaves out and that are not in the dump, as findings: one
/// for each cause, with every role and its first address.
final class LeftOutKernelPages {
  private static final int MAX_NAMED = 6;

  /// Bits of the dump level for which makedumpfile reads the kinds of pages that it takes slabs'
  /// tails for: user pages and free pages.
  private static final int READS_KINDS = 8 | 16;

  private LeftOutKernelPages() {}

  static List<Finding> findings(String check, KernelPages pages, CheckContext context) {
    Map<Cause, List<KernelPages.Role>> byCause = new TreeMap<>();
    for (KernelPages.Role role : pages.roles()) {
      if (role.excluded() > 0) {
        byCause
            .computeIfAbsent(
                isDumpersFault(role, context) ? Cause.DUMPER_EXCLUDED_KERNEL : Cause.PAGE_EXCLUDED,
                _ -> new ArrayList<>())
            .add(role);
      }
    }
    List<Finding> findings = new ArrayList<>();
    byCause.forEach((cause, roles) -> findings.add(finding(check, cause, roles, context)));
    return findings;
  }

  /// What of these pages lies beyond the end of the file or was never written; empty if nothing.
  static Optional<Evidence> lost(KernelPages pages) {
    List<String> lost = new ArrayList<>();
    long inAll = 0;
    for (KernelPages.Role role : pages.roles()) {
      if (role.lost() > 0) {
        inAll += role.lost();
        lost.add(role.name() + " (" + role.counted(role.lost()) + ")");
      }
    }
    return lost.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Evidence.CountMismatch(
                "lost pages of the kernel",
                0,
                inAll,
                "lost with them are pages that every reader needs: " + String.join(", ", lost)));
  }

  private static Finding finding(
      String check, Cause cause, List<KernelPages.Role> roles, CheckContext context) {
    List<String> names = new ArrayList<>();
    List<Evidence> evidence = new ArrayList<>();
    for (KernelPages.Role role : roles) {
      names.add(role.name() + " (" + role.counted(role.excluded()) + ")");
      KernelPages.Missing first = role.missing().getFirst();
      evidence.add(
          new Evidence.PageLooksLike(
              first.pfn(),
              first.why().words(),
              "%s: %s not in the dump, the first %s, page frame 0x%x: %s"
                  .formatted(
                      role.name(),
                      role.counted(role.excluded())
                          + (role.looked() == 1 ? " page is" : " pages are"),
                      first.place(),
                      first.pfn(),
                      first.why().words())));
    }
    return new Finding(
        check,
        Layer.CONTAINER,
        Severity.CORRUPT,
        cause,
        "pages that no dump level leaves out are not in the dump: "
            + String.join(", ", names.subList(0, Math.min(MAX_NAMED, names.size())))
            + (names.size() > MAX_NAMED ? " and more" : ""),
        Subject.NONE,
        cause == Cause.DUMPER_EXCLUDED_KERNEL
            ? withDumper(context, evidence.toArray(Evidence[]::new))
            : evidence,
        List.of(),
        check + "/excluded-kernel/" + cause.id());
  }

  /// Whether a program that does not know this kernel's compound pages would have left these out:
  /// all are tails of such.
  private static boolean isDumpersFault(KernelPages.Role role, CheckContext context) {
    Optional<MemMap> map = context.kernel().flatMap(MemMap::of);
    return isUnknownCompound(context)
        && map.isPresent()
        && role.missing().stream()
            .allMatch(
                page -> {
                  long head = map.get().head(page.pfn());
                  return head >= 0 && head != page.pfn();
                });
  }

  /// Whether this kernel names the word that marks the tails of compound pages in a way that no
  /// makedumpfile up to 1.7.9 knows, and the level has it ask for the kinds of pages.
  private static boolean isUnknownCompound(CheckContext context) {
    Optional<Vmcoreinfo> info =
        context.kernel().map(Kernel::vmcoreinfo).or(() -> context.dump().vmcoreinfo());
    int level = context.dump().container().dumpLevel();
    return level >= 0
        && (level & READS_KINDS) != 0
        && info.isPresent()
        && info.get().offset("page.compound_info").isPresent()
        && info.get().offset("page.compound_head").isEmpty();
  }

  /// Evidence, and which known dumper left such pages out, where one is recognised.
  static List<Evidence> withDumper(CheckContext context, Evidence... evidence) {
    List<Evidence> all = new ArrayList<>(List.of(evidence));
    if (isUnknownCompound(context)) {
      all.add(
          new Evidence.WhatIf(
              "a dumper that knows the kernel",
              "VMCOREINFO has OFFSET(page.compound_info) and no compound_head, as from Linux 7.1"
                  + " on: makedumpfile up to 1.7.9 then takes the tail pages of slabs for others"
                  + " and leaves them out at levels with bit 8 or 16 (vmcheck explain"
                  + " known-bad-dumpers)"));
    }
    return all;
  }
}
