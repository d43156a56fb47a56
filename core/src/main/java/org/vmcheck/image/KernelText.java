package org.vmcheck.image;

import java.util.List;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.kernel.Kernel;

/// What of a kernel's file is held against memory.
sealed interface KernelText {
  /// @param text named `.text`
  /// @param readOnly what nothing writes after the kernel has started
  /// @param offset of addresses in memory from those of the parts
  /// @param sites addresses as those of the parts, which the kernel patches
  record Known(
      Vmlinux.Part text, List<Vmlinux.Part> readOnly, long offset, PatchSites sites, Kprobes probes)
      implements KernelText {}

  /// @param why a sentence
  record Unknown(String why) implements KernelText {}

  /// @param parts of the file of this very kernel
  static KernelText of(Kernel kernel, List<Vmlinux.Part> parts) {
    return kernel.architecture().name().equals("aarch64")
        ? RelocatedText.of(kernel, parts)
        : LinkedText.of(kernel, parts);
  }
}
