package org.vmcheck.elf;

/// One program header, its fields as in the file (`Elf64_Phdr`, `Elf32_Phdr` widened).
///
/// @param paddr all ones where the writer had no physical address
/// @param fileSize bytes in the file; may be fewer than `memorySize`
public record ElfSegment(
    int type, int flags, long offset, long vaddr, long paddr, long fileSize, long memorySize) {
  public static final int PT_NULL = 0;
  public static final int PT_LOAD = 1;
  public static final int PT_NOTE = 4;
}
