package org.vmcheck.kernel;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.KernelIdentity;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;

/// Who the kernel is; strings are as in memory, unescaped, empty if they cannot be read.
///
/// @param buildId lower-case hexadecimal digits, from the kernel's own notes, else from VMCOREINFO
/// @param taint `tainted_mask` as letters; empty when the kernel is not tainted or it is not known
/// @param panicCpu -1 if no CPU panicked
public record Identity(
    String nodename,
    String release,
    String version,
    String machine,
    String buildId,
    String commandLine,
    String taint,
    int panicCpu) {
  private static final String TAINT_LETTERS = "PFSRMBUDAWCIOELKXTNJ";

  static Identity of(Kernel kernel) {
    ByteView names = utsname(kernel).orElse(null);
    return new Identity(
        uts(names, 1),
        names == null ? kernel.vmcoreinfo().release() : uts(names, 2),
        uts(names, 3),
        uts(names, 4),
        buildId(kernel),
        commandLine(kernel),
        taint(kernel),
        panicCpu(kernel));
  }

  /// `panic_cpu` from 4.5 on; `crashing_cpu` of the CPU that stops the others for kdump. Both are
  /// -1 while all is well.
  private static int panicCpu(Kernel kernel) {
    for (String variable : List.of("panic_cpu", "crashing_cpu")) {
      int cpu = (int) kernel.variable32(variable).orElse(-1);
      if (cpu >= 0) {
        return cpu;
      }
    }
    return -1;
  }

  /// `init_uts_ns.name`: six strings of 65 bytes.
  private static Optional<ByteView> utsname(Kernel kernel) {
    OptionalLong uts = kernel.vmcoreinfo().symbol("init_uts_ns");
    if (uts.isEmpty()) {
      uts = kernel.symbol("init_uts_ns");
    }
    if (uts.isEmpty()) {
      return Optional.empty();
    }
    return Optional.ofNullable(
        UtsName.read(kernel.memory()::bytes, kernel.vmcoreinfo(), uts.getAsLong()));
  }

  private static String uts(ByteView names, int index) {
    return names == null ? "" : names.string(65L * index, 65);
  }

  private static String buildId(Kernel kernel) {
    OptionalLong start = kernel.symbol("__start_notes");
    OptionalLong stop = kernel.symbol("__stop_notes");
    if (start.isPresent() && stop.isPresent()) {
      long size = stop.getAsLong() - start.getAsLong();
      if (size > 0
          && size < 65536
          && kernel.memory().read(start.getAsLong(), (int) size)
              instanceof MemoryRead.Bytes(ByteView view)) {
        Optional<String> id = KernelIdentity.buildId(view);
        if (id.isPresent()) {
          return id.get();
        }
      }
    }
    return kernel.vmcoreinfo().value("BUILD-ID").orElse("");
  }

  private static String commandLine(Kernel kernel) {
    OptionalLong pointer = kernel.variable64("saved_command_line");
    return pointer.isEmpty() ? "" : kernel.string(pointer.getAsLong(), 4096).orElse("");
  }

  private static String taint(Kernel kernel) {
    long mask = kernel.variable64("tainted_mask").orElse(0);
    StringBuilder letters = new StringBuilder();
    for (int bit = 0; bit < TAINT_LETTERS.length(); bit++) {
      if ((mask >>> bit & 1) != 0) {
        letters.append(TAINT_LETTERS.charAt(bit));
      }
    }
    return letters.toString();
  }
}
