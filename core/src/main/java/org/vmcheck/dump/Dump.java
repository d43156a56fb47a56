package org.vmcheck.dump;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;

/// An open crash dump: a file that holds pages.
public interface Dump extends AutoCloseable {
  /// The file, or the first file of a split dump.
  Path path();

  /// The files of a split dump that were given, in the order of their frames; else one.
  default List<Path> files() {
    return List.of(path());
  }

  /// What messages may call the files, those of an archive's members and of spool files among them.
  default List<String> names() {
    return files().stream().map(Path::toString).toList();
  }

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

  /// Text of ERASEINFO: what makedumpfile's `--config` filter overwrote; empty if nothing.
  String eraseinfo();

  /// What the operating system could not deliver since the dump was opened, a sentence each, and
  /// which file has changed its length meanwhile; empty if all was well.
  default List<String> readFailures() {
    return List.of();
  }

  /// Page frames that the operating system could not deliver since the dump was opened.
  default Set<Long> unreadablePages() {
    return Set.of();
  }

  /// Stored pages that some reading met since the dump was opened, and that do not decode.
  default DamagedPages damagedPages() {
    return DamagedPages.NONE;
  }

  /// Whether the file shows at a glance that it does not hold all that its tables promise; whether
  /// it really holds all takes [#audit].
  default boolean isCut() {
    return container().incomplete() || container().pages().missing() > 0;
  }

  /// Checks the container's tables against each other, each descriptor included, without decoding a
  /// page. Takes about a second for 100 million pages.
  ContainerAudit audit();

  @Override
  void close();
}
