package org.vmcheck.dump;

import java.util.List;

/// What a dump's container says about itself; strings are as in the file, unescaped.
///
/// @param format for example `kdump-compressed`, `elf64`
/// @param version header version; 0 where the format has none
/// @param codecs names of the page codecs that the header announces
/// @param dumpLevel makedumpfile's -d; -1 if not said
/// @param is64 class of the dumped machine's headers
/// @param machine `x86_64` and the like; empty if not said
/// @param release kernel release from the header; empty if not said
/// @param incomplete whether the writer marked the dump as incomplete
/// @param pages page frames by state, from the tables alone
/// @param remarks what is unusual about the headers and does no harm
public record Container(
    String format,
    int version,
    boolean flattened,
    List<String> codecs,
    int dumpLevel,
    boolean is64,
    boolean bigEndian,
    String machine,
    String release,
    boolean incomplete,
    Pages pages,
    List<String> remarks) {
  public Container {
    codecs = List.copyOf(codecs);
    remarks = List.copyOf(remarks);
  }

  /// @param total frames the machine had
  /// @param stored frames that the file says it holds
  /// @param excluded frames left out on purpose
  /// @param missing frames that it should hold and that lie beyond its end or were never written
  /// @param inPart frames of which it holds some bytes and is to hold no more: memory that begins
  ///   or ends inside a page; they are among none of the others but the total
  public record Pages(long total, long stored, long excluded, long missing, long inPart) {
    /// Without a frame stored in part.
    public Pages(long total, long stored, long excluded, long missing) {
      this(total, stored, excluded, missing, 0);
    }
  }
}
