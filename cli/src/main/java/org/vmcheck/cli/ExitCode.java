package org.vmcheck.cli;

import java.util.List;
import org.vmcheck.finding.Verdict;

/// The exit codes, documented in README and `--help`.
final class ExitCode {
  static final int INTACT = 0;
  static final int KERNEL_DAMAGED = 1;
  static final int USAGE = 2;
  static final int UNREADABLE = 3;
  static final int UNDETERMINED = 4;
  static final int DUMP_DAMAGED = 5;
  static final int IO = 6;
  static final int BUG = 70;

  /// Worst first: with several dumps the worst wins.
  private static final List<Integer> WORST_FIRST =
      List.of(BUG, USAGE, KERNEL_DAMAGED, IO, UNREADABLE, UNDETERMINED, DUMP_DAMAGED, INTACT);

  private ExitCode() {}

  static int of(Verdict verdict) {
    return switch (verdict) {
      case Verdict.Intact _ -> INTACT;
      case Verdict.KernelDamaged _ -> KERNEL_DAMAGED;
      case Verdict.DumpDamaged _ -> DUMP_DAMAGED;
      case Verdict.Undetermined _ -> UNDETERMINED;
    };
  }

  static int worse(int a, int b) {
    return WORST_FIRST.indexOf(a) <= WORST_FIRST.indexOf(b) ? a : b;
  }
}
