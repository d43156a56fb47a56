package org.vmcheck.dump;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;

/// An open crash dump: a file that holds pages.
public interface Dump extends AutoCloseable {
  /// The file, or the first file of a split dump.
  Path path();

  /// Bytes of all its files.
  long fileBytes();

  Container container();

  PhysicalMemory memory();

  /// ELF notes: register states, QEMU's CPU states, VMCOREINFO.
  List<ElfNote> notes();

  /// Empty if the file carries none; it may still lie in the dumped memory.
  Optional<Vmcoreinfo> vmcoreinfo();

  /// PT_LOAD segments with the virtual addresses that the writer gave; empty for other formats.
  default List<ElfSegment> loadSegments() {
    return List.of();
  }

  @Override
  void close();
}
