package org.vmcheck.dump;

import java.io.IOException;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;

/// ELF cores: /proc/vmcore, makedumpfile -E, QEMU and virsh.
final class ElfDumpFormat implements DumpFormat {
  @Override
  public String name() {
    return "elf";
  }

  @Override
  public String whyNot(ByteSource source) throws IOException {
    ByteView start = source.view("magic", 0, Math.min(4, source.size()), true);
    return start.size() == 4 && start.u32(0) == 0x7f454c46L
        ? null
        : "magic is " + Dumps.firstBytes(start, 4) + ", not 7f 45 4c 46";
  }

  @Override
  public Dump open(OpenFile file) throws IOException {
    return ElfDump.open(file);
  }
}
