package org.vmcheck.search;

import java.util.List;
import org.vmcheck.kernel.Kernel;

/// What looking for a kernel in a dump gave.
public sealed interface KernelSearch {
  /// A kernel whose memory can be read.
  record Found(Kernel kernel) implements KernelSearch {}

  /// None, with the reasons; `unsupported` if it is there but of an architecture not read here.
  record NotFound(List<String> reasons, boolean unsupported) implements KernelSearch {
    public NotFound {
      reasons = List.copyOf(reasons);
    }
  }
}
