package org.vmcheck.debuginfo;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSection;
import org.vmcheck.elf.ElfSections;
import org.vmcheck.io.ByteView;

/// The symbol table of an ELF file.
final class SymbolTable {
  private static final int ENTRY_BYTES = 24;
  private static final int MAX_STRINGS = 512 << 20;
  private static final long SHF_WRITE = 1;
  private static final long SHF_EXECINSTR = 4;
  private static final int STT_SECTION = 3;
  private static final int STT_FILE = 4;
  private static final int SHN_UNDEF = 0;
  private static final int SHN_ABS = 0xfff1;

  private SymbolTable() {}

  /// The symbols with the addresses that they are linked at; empty if the file has no table.
  static Optional<Symbols> read(ElfSections sections) throws IOException {
    ElfFile file = sections.file();
    Optional<ByteView> table = sections.bytes(".symtab");
    Optional<ByteView> strings = sections.bytes(".strtab");
    if (table.isEmpty() || strings.isEmpty() || !file.is64() || file.isBigEndian()) {
      return Optional.empty();
    }
    ByteView entries = table.get();
    long entryCount = entries.size() / ENTRY_BYTES;
    if (entryCount > Kallsyms.MAX_SYMBOLS || strings.get().size() > MAX_STRINGS) {
      throw entries.malformed(
          "size", 0, "at most " + Kallsyms.MAX_SYMBOLS + " symbols", entryCount + " symbols");
    }
    // One NUL more, so that every name ends whatever the file says.
    byte[] names =
        Arrays.copyOf(
            strings.get().bytes(0, (int) strings.get().size()), (int) strings.get().size() + 1);
    byte[] letters = letters(file);
    byte[] raw = entries.bytes(0, Math.toIntExact(entryCount * ENTRY_BYTES));
    int[] starts = new int[(int) entryCount];
    byte[] types = new byte[(int) entryCount];
    long[] addresses = new long[(int) entryCount];
    int count = 0;
    DwarfBytes bytes = new DwarfBytes(raw);
    while (bytes.at < raw.length) {
      long name = bytes.u32();
      int info = bytes.u8();
      bytes.skip(1);
      int section = bytes.u16();
      long value = bytes.u64();
      bytes.skip(8);
      int type = info & 0xf;
      if (name == 0
          || name >= names.length
          || names[(int) name] == 0
          || names[(int) name] == '$' // Mapping symbols of arm64 are places, not names.
          || section == SHN_UNDEF
          || type == STT_SECTION
          || type == STT_FILE) {
        continue;
      }
      starts[count] = (int) name;
      types[count] = letter(letters, section, info >> 4);
      addresses[count++] = value;
    }
    return Optional.of(
        new Symbols(
            "symtab",
            new StringTableNames(names, Arrays.copyOf(starts, count), Arrays.copyOf(types, count)),
            Arrays.copyOf(addresses, count)));
  }

  /// The letter of nm for each section.
  private static byte[] letters(ElfFile file) throws IOException {
    List<ElfSection> all = new ArrayList<>(file.sections());
    byte[] letters = new byte[all.size()];
    for (int i = 0; i < letters.length; i++) {
      ElfSection section = all.get(i);
      if ((section.flags() & SHF_EXECINSTR) != 0) {
        letters[i] = 'T';
      } else if (section.type() == ElfSection.SHT_NOBITS) {
        letters[i] = 'B';
      } else {
        letters[i] = (byte) ((section.flags() & SHF_WRITE) != 0 ? 'D' : 'R');
      }
    }
    return letters;
  }

  private static byte letter(byte[] letters, int section, int binding) {
    int letter = section < letters.length ? letters[section] : section == SHN_ABS ? 'A' : '?';
    return (byte)
        switch (binding) {
          case 0 -> Character.toLowerCase(letter);
          case 2 -> 'W';
          default -> letter;
        };
  }
}
