package org.vmcheck.finding;

import java.util.List;

/// What the container says about itself.
///
/// @param format for example `kdump-compressed` or `elf64`
/// @param version header version of the format; 0 where it has none
/// @param flattened whether it is a flattened stream
/// @param codecs page codecs met, by name
/// @param dumpLevel makedumpfile's -d, -1 if not said
/// @param complete false when the file says, or shows, that it was cut short
public record DumpFacts(
    String path,
    long fileBytes,
    String format,
    int version,
    boolean flattened,
    List<String> codecs,
    int dumpLevel,
    PageTotals pages,
    boolean complete) {
  public DumpFacts {
    codecs = List.copyOf(codecs);
  }

  /// The same file under another name.
  public DumpFacts withPath(String newPath) {
    return new DumpFacts(
        newPath, fileBytes, format, version, flattened, codecs, dumpLevel, pages, complete);
  }

  /// Page frames by state; a frame counts once.
  ///
  /// @param total frames that the dumped machine had, as far as the file says
  /// @param stored frames whose bytes are in the file
  /// @param excluded frames left out on purpose
  /// @param missing frames that should be in the file and are not (truncated, never written)
  /// @param damaged frames whose descriptor cannot be right
  public record PageTotals(long total, long stored, long excluded, long missing, long damaged) {}
}
