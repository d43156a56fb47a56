package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.debuginfo.DebugFile;
import org.vmcheck.debuginfo.KernelIdentity;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;

/// Do the symbols and types in use belong to the kernel that was dumped?
final class DebuginfoMatchCheck implements Check {
  @Override
  public String id() {
    return "debuginfo.match";
  }

  @Override
  public String question() {
    return "Do the symbols and types in use belong to the kernel that was dumped?";
  }

  @Override
  public String explanation() {
    return """
    Symbols and types are taken from the dump itself where it carries them (kallsyms, BTF); these
    need no proof. A vmlinux is compared by build-id, and by banner where one of the two has no
    build-id. One of another kernel is refused, with both identities shown; --force uses it, and
    the verdict then says so.

    A value of VMCOREINFO, or a base that a variable of the kernel holds, which cannot be (a bit of
    the page flags beyond 63, an address outside the kernel) is named and not used.

    It can mislead: some stable releases write a wrong BUILD-ID into VMCOREINFO; the one in the
    kernel's own notes counts.
    Next: give the vmlinux of exactly this build, or a directory with --debug-dir.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    List<Note> notes = new ArrayList<>();
    List<String> gaps = new ArrayList<>();
    Map<String, String> facts = new LinkedHashMap<>();
    kernel.symbols().ifPresent(symbols -> facts.put("symbols", symbols.source()));
    kernel.types().ifPresent(types -> facts.put("types", types.source()));
    if (!kernel.identity().buildId().isEmpty()) {
      facts.put("build-id of the dump", kernel.identity().buildId());
    }
    kernel.remarks().forEach(remark -> notes.add(new Note("not used", remark)));
    int used = 0;
    int refused = 0;
    for (DebugFile file : kernel.debugFiles()) {
      String identities = identities(file);
      if (file.isForced()) {
        gaps.add(
            "%s is used although it is not known to be this kernel's (--force): %s"
                .formatted(file.path(), identities));
      } else if (file.isUsed()) {
        used++;
        notes.add(new Note("vmlinux", "%s gives %s".formatted(file.path(), file.gives())));
      } else if (file.match() == KernelIdentity.Match.DIFFERENT) {
        refused++;
        notes.add(new Note("vmlinux refused", "%s: %s".formatted(file.path(), identities)));
      } else if (file.isNamed()) {
        notes.add(new Note("vmlinux", file.path() + " was not needed"));
      }
    }
    if (kernel.debugFiles().isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          facts.containsKey("symbols") || facts.containsKey("types")
              ? "no debug file was used: symbols and types are the dump's own"
              : "no debug file was found",
          facts,
          notes,
          Coverage.NONE);
    }
    return new CheckOutcome.Ran(
        id(),
        !gaps.isEmpty()
            ? "forced"
            : used > 0
                ? "they match"
                : refused > 0
                    ? "a vmlinux of another kernel was refused"
                    : "they are the dump's own",
        facts,
        List.of(),
        notes,
        new Coverage(Map.of("debug files", (long) kernel.debugFiles().size()), Map.of(), gaps));
  }

  private static String identities(DebugFile file) {
    return "the file is %s, the dump is %s".formatted(words(file.ofFile()), words(file.ofDump()));
  }

  private static String words(KernelIdentity identity) {
    if (!identity.buildId().isEmpty()) {
      return "build-id " + identity.buildId();
    }
    return identity.banner().isEmpty() ? "not known" : "\"" + identity.banner() + "\"";
  }
}
