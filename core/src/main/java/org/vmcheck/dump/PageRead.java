package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;

/// What one attempt to read a physical page said. The answers are never mixed: a page that was left
/// out is not a page of zeros, and a page that does not decode is not a damaged kernel.
public sealed interface PageRead {
  /// The page's bytes, exactly one page, read only.
  record Present(MemorySegment bytes) implements PageRead {}

  /// The frame existed and its writer left it out on purpose (dump level, memory-size tail).
  record Excluded(long pfn) implements PageRead {}

  /// The dump does not speak of this frame: a hole, reserved memory, the crash kernel's own region.
  record NotInDump(long pfn) implements PageRead {}

  /// The file should hold the page and does not hold it whole.
  ///
  /// @param fileOffset where in the (logical) file the trouble was met
  record Damaged(long pfn, long fileOffset, Damage damage, String reason) implements PageRead {}

  /// The operating system could not deliver the bytes: the file shrank, or its device failed.
  record Unreadable(long pfn, long fileOffset, String reason) implements PageRead {}

  /// What kind of damage.
  enum Damage {
    /// The place lies beyond the end of the file.
    TRUNCATED("truncated"),
    /// The writer gave up before it wrote this page (incomplete dump).
    NEVER_WRITTEN("never written"),
    /// The file of a split dump that holds the page was not given.
    MISSING_PART("missing part"),
    /// The descriptor or the compressed bytes are wrong.
    UNDECODABLE("undecodable");

    private final String words;

    Damage(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// One or two words for counts and maps.
  default String words() {
    return switch (this) {
      case Present _ -> "stored";
      case Excluded _ -> "excluded";
      case NotInDump _ -> "not in dump";
      case Damaged damaged -> damaged.damage().words();
      case Unreadable _ -> "unreadable";
    };
  }
}
