package org.vmcheck.elf;

/// One section header (`Elf64_Shdr`, `Elf32_Shdr` widened).
public record ElfSection(
    String name,
    int type,
    long flags,
    long address,
    long offset,
    long size,
    int link,
    int info,
    long entrySize) {
  public static final int SHT_SYMTAB = 2;
  public static final int SHT_STRTAB = 3;
  public static final int SHT_NOTE = 7;
  public static final int SHT_NOBITS = 8;
  public static final long SHF_ALLOC = 2;
  public static final long SHF_COMPRESSED = 0x800;
}
