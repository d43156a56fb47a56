package org.vmcheck.dump;

import java.io.IOException;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;

/// ELF cores: /proc/vmcore, makedumpfile -E, QEMU and virsh.
final class ElfDumpFormat implements DumpFormat {
  private static final int EI_DATA = 5;
  private static final int ELFDATA2MSB = 2;
  private static final int E_TYPE = 16;
  private static final int ET_CORE = 4;

  @Override
  public String name() {
    return "elf";
  }

  @Override
  public Optional<String> whyNot(ByteView start) {
    return FileMagic.ELF.startsWith(start)
        ? Optional.empty()
        : Optional.of("magic is " + Dumps.firstBytes(start, 4) + ", not 7f 45 4c 46");
  }

  /// Programs and debug files are ELF too.
  @Override
  public boolean isDump(ByteView start) {
    if (!FileMagic.ELF.startsWith(start) || start.size() < E_TYPE + 4) {
      return false;
    }
    int low = start.u8(EI_DATA) == ELFDATA2MSB ? E_TYPE + 1 : E_TYPE;
    int high = low == E_TYPE ? E_TYPE + 1 : E_TYPE;
    return (start.u8(high) << 8 | start.u8(low)) == ET_CORE;
  }

  @Override
  public Dump open(OpenFile file) throws IOException {
    return ElfDump.open(file);
  }
}
