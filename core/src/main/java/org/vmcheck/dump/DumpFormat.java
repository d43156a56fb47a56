package org.vmcheck.dump;

import java.io.IOException;
import org.vmcheck.io.ByteSource;

/// A container format.
interface DumpFormat {
  String name();

  /// Looks at the first bytes.
  ///
  /// @return null if the file is of this format, else why not
  String whyNot(ByteSource source) throws IOException;

  /// @throws org.vmcheck.io.MalformedFileException if the file is of this format and breaks its
  ///   rules
  Dump open(OpenFile file) throws IOException;
}
