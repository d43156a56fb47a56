package org.vmcheck.dump;

import java.io.IOException;
import java.util.List;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;

/// The compressed format of makedumpfile and QEMU; also diskdump, its ancestor, by name.
final class KdumpFormat implements DumpFormat {
  @Override
  public String name() {
    return "kdump";
  }

  @Override
  public String whyNot(ByteSource source) throws IOException {
    ByteView start = source.view("signature", 0, Math.min(8, source.size()), false);
    if (start.size() == 8
        && (start.string(0, 8).equals("KDUMP   ")
            || start.string(0, 8).equals(KdumpHeader.DISKDUMP))) {
      return null;
    }
    return "signature is " + Dumps.firstBytes(start, 8) + ", not \"KDUMP   \" nor \"DISKDUMP\"";
  }

  @Override
  public Dump open(OpenFile file) throws IOException {
    return KdumpDump.open(List.of(file));
  }
}
