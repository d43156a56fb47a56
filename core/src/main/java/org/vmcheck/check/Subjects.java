package org.vmcheck.check;

import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.Dump;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.KernelSearch;
import org.vmcheck.kernel.MemMap;
import org.vmcheck.kernel.SlabSurvey;

/// What the checks look at: one open dump, the kernel in it, and the one pass over its slabs that
/// several checks share.
public final class Subjects {
  private final Dump dump;
  private final KernelSearch search;
  private final int threads;
  private final boolean full;
  private final BooleanSupplier isOver;
  private SlabSurvey survey;

  /// @param threads how many threads a check may use
  /// @param full whether every stored page is to be decoded
  /// @param isOver true once the deadline has passed
  public Subjects(
      Dump dump, KernelSearch search, int threads, boolean full, BooleanSupplier isOver) {
    this.dump = dump;
    this.search = search;
    this.threads = threads;
    this.full = full;
    this.isOver = isOver;
  }

  public Dump dump() {
    return dump;
  }

  public KernelSearch search() {
    return search;
  }

  public Optional<Kernel> kernel() {
    return search instanceof KernelSearch.Found(Kernel kernel)
        ? Optional.of(kernel)
        : Optional.empty();
  }

  public int threads() {
    return threads;
  }

  public boolean isFull() {
    return full;
  }

  public boolean isOver() {
    return isOver.getAsBoolean();
  }

  /// Why the slabs cannot be walked; empty if they can.
  public List<String> unmetForSlabs() {
    return Needs.SLAB.unmet(this);
  }

  /// The pass over all slabs, made when first asked for. Only for checks that need [Needs#SLAB].
  public synchronized SlabSurvey survey() {
    if (survey == null) {
      Kernel kernel = kernel().orElseThrow();
      MemMap memMap = kernel.memMap().orElseThrow();
      survey = SlabSurvey.run(kernel, memMap, threads, isOver);
    }
    return survey;
  }

  /// The pass, if some check asked for it.
  public synchronized Optional<SlabSurvey> surveyIfMade() {
    return Optional.ofNullable(survey);
  }
}
