package org.vmcheck.finding;

/// One of the kernels in a dump's memory; strings unescaped.
///
/// @param number from 1 on; the first is judged where the user names no other
/// @param judged whether the answers are about this one
/// @param capture whether it was started to dump another (`elfcorehdr=` on its command line)
/// @param release empty if not known
/// @param physBase physical address that `__START_KERNEL_map` maps to
/// @param commandLine empty if it cannot be read
/// @param found how it was found
/// @param basis why the VMCOREINFO that describes it is believed; empty for the dump's own note
public record KernelEntry(
    int number,
    boolean judged,
    boolean capture,
    String release,
    long physBase,
    String commandLine,
    String found,
    String basis) {

  /// What it is, in one line.
  public String words() {
    return "%s%s, phys_base 0x%x, by %s"
        .formatted(
            release,
            capture ? ", a capture kernel (elfcorehdr= on its command line)" : "",
            physBase,
            found);
  }
}
