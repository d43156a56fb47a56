package org.vmcheck.dump;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;

/// The compressed format of makedumpfile and QEMU; also diskdump, its ancestor, by name.
final class KdumpFormat implements DumpFormat {
  @Override
  public String name() {
    return "kdump";
  }

  @Override
  public Optional<String> whyNot(ByteView start) {
    return FileMagic.KDUMP.startsWith(start) || FileMagic.DISKDUMP.startsWith(start)
        ? Optional.empty()
        : Optional.of(
            "signature is " + Dumps.firstBytes(start, 8) + ", not \"KDUMP   \" nor \"DISKDUMP\"");
  }

  /// Whether a file is of this format, the only one that knows parts of a dump.
  static boolean isKdump(ByteSource source) throws IOException {
    return new KdumpFormat().whyNot(Dumps.start(source)).isEmpty();
  }

  @Override
  public Dump open(OpenFile file) throws IOException {
    return KdumpDump.open(List.of(file));
  }
}
