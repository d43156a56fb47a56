package org.vmcheck.elf;

import org.vmcheck.io.ByteView;

/// One note record of a PT_NOTE segment or a note section.
///
/// @param name owner without its NUL
/// @param type meaning depends on the owner
/// @param desc the descriptor, `descsz` bytes
public record ElfNote(String name, int type, ByteView desc) {
  public static final int NT_PRSTATUS = 1;
  public static final int NT_GNU_BUILD_ID = 3;
}
