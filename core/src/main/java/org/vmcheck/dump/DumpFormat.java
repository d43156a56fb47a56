package org.vmcheck.dump;

import java.io.IOException;
import java.util.Optional;
import org.vmcheck.io.ByteView;

/// A container format. Whether a file is one of its own the format says itself, of the file's start
/// only: opening, archives that hold dumps and the scan of a tree all ask it.
interface DumpFormat {
  String name();

  /// Why a file is not of this format; empty if it is.
  ///
  /// @param start the file's first [org.vmcheck.io.FileMagic#HEAD_BYTES] bytes, or all of a shorter
  ///   file
  Optional<String> whyNot(ByteView start);

  /// Whether a file whose name says nothing is a dump of this format and nothing else: a format may
  /// be the home of other files too.
  default boolean isDump(ByteView start) {
    return whyNot(start).isEmpty();
  }

  /// @throws org.vmcheck.io.MalformedFileException if the file is of this format and breaks its
  ///   rules
  Dump open(OpenFile file) throws IOException;
}
