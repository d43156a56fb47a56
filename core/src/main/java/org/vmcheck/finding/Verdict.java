package org.vmcheck.finding;

import java.util.List;

/// The answer: one of four, with the reasons.
public sealed interface Verdict {
  /// One sentence.
  String summary();

  /// What led here, most important first.
  List<String> reasons();

  Coverage coverage();

  /// The word used in reports.
  String kind();

  /// Everything that should be in the dump was looked at and is sound.
  record Intact(String summary, List<String> reasons, Coverage coverage) implements Verdict {
    public Intact {
      reasons = List.copyOf(reasons);
      if (coverage.isEmpty()) {
        throw new IllegalArgumentException("nothing was looked at");
      }
    }

    @Override
    public String kind() {
      return "intact";
    }
  }

  /// Real corruption on sound pages.
  record KernelDamaged(String summary, List<String> reasons, Coverage coverage) implements Verdict {
    public KernelDamaged {
      reasons = List.copyOf(reasons);
    }

    @Override
    public String kind() {
      return "kernel-damaged";
    }
  }

  /// Only artefacts of the dump.
  record DumpDamaged(String summary, List<String> reasons, Coverage coverage) implements Verdict {
    public DumpDamaged {
      reasons = List.copyOf(reasons);
    }

    @Override
    public String kind() {
      return "dump-damaged";
    }
  }

  /// Not enough to say; the reasons name what is missing.
  record Undetermined(String summary, List<String> reasons, Coverage coverage) implements Verdict {
    public Undetermined {
      reasons = List.copyOf(reasons);
    }

    @Override
    public String kind() {
      return "undetermined";
    }
  }
}
