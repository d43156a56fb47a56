package org.vmcheck.arch;

import java.util.List;
import java.util.Optional;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.Printable;

/// The architectures whose kernels are read, and which of them a dump is of.
public final class Architectures {
  private static final List<Architecture> ALL = List.of(new X86_64(), new Aarch64());

  /// What QEMU's kdump writer calls the machines that it has no name for.
  private static final String UNNAMED = "Unknown";

  private Architectures() {}

  public static List<Architecture> all() {
    return ALL;
  }

  /// The architecture that VMCOREINFO is of, among those that a container's words allow; empty if
  /// none is.
  public static Optional<Architecture> of(Container container, Vmcoreinfo info) {
    if (refusal(container).isPresent()) {
      return Optional.empty();
    }
    return isNamed(container)
        ? named(container)
        : ALL.stream().filter(one -> one.isDescribedBy(info)).findFirst();
  }

  /// Those that a container's words allow: the one that it names, or all.
  public static List<Architecture> candidates(Container container) {
    return isNamed(container) ? named(container).stream().toList() : ALL;
  }

  /// Why no kernel in a container can be read, if its headers tell; empty if one may be.
  public static Optional<String> refusal(Container container) {
    boolean isRead = !isNamed(container) || named(container).isPresent();
    if (isRead && container.is64() && !container.bigEndian()) {
      return Optional.empty();
    }
    return Optional.of(
        "architecture not supported: %s%s%s (kernel checks read %s only)"
            .formatted(
                isNamed(container) ? Printable.of(container.machine()) : "of unknown name",
                container.is64() || !isRead ? "" : ", 32-bit",
                container.bigEndian() ? ", big-endian" : "",
                String.join(" and ", ALL.stream().map(Architecture::name).toList())));
  }

  private static boolean isNamed(Container container) {
    return !container.machine().isEmpty() && !container.machine().equals(UNNAMED);
  }

  private static Optional<Architecture> named(Container container) {
    return ALL.stream().filter(one -> one.name().equals(container.machine())).findFirst();
  }
}
