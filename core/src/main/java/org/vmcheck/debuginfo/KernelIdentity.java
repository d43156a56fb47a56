package org.vmcheck.debuginfo;

import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteView;

/// What tells one kernel build from another; empty strings where it is not known.
///
/// @param buildId lower-case hexadecimal digits of the note that the linker made
/// @param banner `linux_banner`: release, compiler, build number and date, without its line end;
///   unescaped
public record KernelIdentity(String buildId, String banner) {
  public static final KernelIdentity UNKNOWN = new KernelIdentity("", "");

  /// What comparing two identities gave.
  public enum Match {
    /// The build ids are equal: one link of one build.
    SAME_BUILD_ID,
    /// A build id is not known, the banners are equal.
    SAME_BANNER,
    /// Another build.
    DIFFERENT,
    /// There is nothing that both have.
    NOT_COMPARABLE
  }

  /// Compares by build id, and by banner where either has none.
  public Match compareTo(KernelIdentity other) {
    if (!buildId.isEmpty() && !other.buildId.isEmpty()) {
      return buildId.equals(other.buildId) ? Match.SAME_BUILD_ID : Match.DIFFERENT;
    }
    if (!banner.isEmpty() && !other.banner.isEmpty()) {
      return banner.equals(other.banner) ? Match.SAME_BANNER : Match.DIFFERENT;
    }
    return Match.NOT_COMPARABLE;
  }

  /// The build id in an area of notes, as hexadecimal digits.
  public static Optional<String> buildId(ByteView notes) {
    List<ElfNote> records = new ArrayList<>();
    ElfFile.parseNotes(notes, records);
    for (ElfNote note : records) {
      if (note.name().equals("GNU")
          && note.type() == ElfNote.NT_GNU_BUILD_ID
          && note.desc().size() > 0
          && note.desc().size() <= 64) {
        return Optional.of(
            HexFormat.of().formatHex(note.desc().bytes(0, (int) note.desc().size())));
      }
    }
    return Optional.empty();
  }

  /// A text of `linux_banner` up to its line end.
  public static String bannerText(String text) {
    int end = text.indexOf('\n');
    return end < 0 ? text : text.substring(0, end);
  }
}
