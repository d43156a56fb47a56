package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSections;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.testing.Work;

/// What debug information claims takes work in proportion to its bytes.
class DebugWorkTest {
  private static final int STRUCT = 4;

  /// Records without members, each with a name.
  private static ByteView btf(int[] names, String strings) {
    byte[] text = ("\0" + strings + "\0").getBytes(StandardCharsets.ISO_8859_1);
    ByteBuffer out =
        ByteBuffer.allocate(24 + 12 * names.length + text.length).order(ByteOrder.LITTLE_ENDIAN);
    out.putShort((short) 0xeb9f).put((byte) 1).put((byte) 0).putInt(24);
    out.putInt(0).putInt(12 * names.length).putInt(12 * names.length).putInt(text.length);
    for (int name : names) {
      out.putInt(name).putInt(STRUCT << 24).putInt(8);
    }
    return ByteView.of("btf", out.put(text).array());
  }

  private static void ask(ByteView blob) throws Exception {
    BtfTypes types = BtfTypes.parse(blob);
    types.structs("a");
    types.structs("absent");
  }

  @Test
  void btfNamesThatAreEqual() throws Exception {
    Work.growsLinearly(2000, size -> btf(filled(size, 1), "a"), DebugWorkTest::ask);
  }

  @Test
  void btfNamesThatAreEndsOfOneLongName() throws Exception {
    Work.growsLinearly(
        2000,
        size -> btf(IntStream.range(1, size).toArray(), "a".repeat(size)),
        DebugWorkTest::ask);
  }

  /// The sum of two letters, 31 to 1: `Aa` and `BB` are equal, and so is what they are strung to.
  @Test
  void namesThatFallIntoOneSlot() throws Exception {
    Work.growsLinearly(
        1024,
        size -> {
          StringBuilder bytes = new StringBuilder();
          int[] starts = new int[size + 1];
          for (int i = 0; i < size; i++) {
            for (int bit = 0; bit < 14; bit++) {
              bytes.append((i >> bit & 1) == 0 ? "Aa" : "BB");
            }
            starts[i + 1] = bytes.length();
          }
          return new PlainNames(
              bytes.toString().getBytes(StandardCharsets.ISO_8859_1), starts, new byte[size]);
        },
        names ->
            new NameIndex(names)
                .forEach("Aa".repeat(14).getBytes(StandardCharsets.UTF_8), i -> {}));
  }

  @Test
  void ofEqualNamesTheFirstOfTheTableComesFirst() {
    byte[] bytes = "xyxyx".getBytes(StandardCharsets.ISO_8859_1);
    NameIndex index =
        new NameIndex(new PlainNames(bytes, new int[] {0, 1, 2, 3, 4, 5}, new byte[5]));
    List<Integer> found = new ArrayList<>();

    index.forEach(new byte[] {'x'}, found::add);

    assertThat(found).containsExactly(0, 2, 4);
  }

  private static int[] filled(int size, int value) {
    int[] array = new int[size];
    java.util.Arrays.fill(array, value);
    return array;
  }

  /// Each unit's table begins one declaration behind that of the unit before, and goes on to the
  /// end.
  @Test
  void dwarfTablesThatOverlap() throws Exception {
    Work.growsLinearly(
        4000,
        size -> {
          Bytes abbreviations = new Bytes();
          Bytes info = new Bytes();
          for (int i = 0; i < size; i++) {
            info.u32(8).u16(4).u32(5 * i).u8(8).u8(0x7f);
            abbreviations.u8(1).u8(0x11).u8(0).u8(0).u8(0);
          }
          return elf(info, abbreviations.u8(0));
        },
        file -> DwarfTypes.open(file).structs("nothing"));
  }

  /// The top level steps into each enumeration, whose children are all that follow.
  @Test
  void dwarfEnumerationsInsideEachOther() throws Exception {
    Work.growsLinearly(
        1000,
        size -> {
          Bytes abbreviations = new Bytes();
          abbreviations.u8(1).u8(0x11).u8(1).u8(0x03).u8(0x08).u8(0).u8(0);
          abbreviations.u8(2).u8(0x04).u8(1).u8(0x01).u8(0x13).u8(0).u8(0).u8(0);
          Bytes entries = new Bytes();
          entries.u8(1).text("mm/slub.c").u8(0);
          int start = 11 + entries.out.size();
          for (int i = 1; i <= size; i++) {
            entries.u8(2).u32(start + 5 * i);
          }
          for (int i = 0; i <= size; i++) {
            entries.u8(0);
          }
          Bytes info = new Bytes();
          info.u32(7 + entries.out.size()).u16(4).u32(0).u8(8).put(entries.out.toByteArray());
          return elf(info, abbreviations);
        },
        file -> DwarfTypes.open(file).enumerator("", "nothing"));
  }

  /// Magics of every packing, over and over: each would take a dictionary to try.
  @Test
  void placesThatLookPacked() throws Exception {
    Work.growsLinearly(
        64 << 10,
        size -> {
          byte[] lz4 = {0x02, 0x21, 0x4c, 0x18, 0x04, 0, 0, 0};
          byte[] bytes = new byte[size];
          for (int i = 0; i < size; i++) {
            bytes[i] = lz4[i % lz4.length];
          }
          return new FileBytes("image", MemorySegment.ofArray(bytes));
        },
        BootImage::unpack,
        4096);
  }

  private static final class Bytes {
    final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Bytes u8(int value) {
      out.write(value);
      return this;
    }

    Bytes u16(int value) {
      return u8(value).u8(value >> 8);
    }

    Bytes u32(int value) {
      return u16(value).u16(value >> 16);
    }

    Bytes text(String text) {
      return put(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    Bytes put(byte[] bytes) {
      out.writeBytes(bytes);
      return this;
    }
  }

  private static ElfSections elf(Bytes info, Bytes abbreviations) throws Exception {
    Map<String, byte[]> sections = new LinkedHashMap<>();
    sections.put(".debug_info", info.out.toByteArray());
    sections.put(".debug_abbrev", abbreviations.out.toByteArray());
    StringBuilder names = new StringBuilder("\0");
    Bytes data = new Bytes();
    Bytes table = new Bytes().put(new byte[64]);
    for (Map.Entry<String, byte[]> section : sections.entrySet()) {
      table.put(header(names.length(), 1, 64 + data.out.size(), section.getValue().length));
      names.append(section.getKey()).append('\0');
      data.put(section.getValue());
    }
    int nameAt = names.length();
    names.append(".shstrtab\0");
    table.put(header(nameAt, 3, 64 + data.out.size(), names.length()));
    data.text(names.toString());
    ByteBuffer file =
        ByteBuffer.allocate(64 + data.out.size() + table.out.size()).order(ByteOrder.LITTLE_ENDIAN);
    file.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}).putShort(16, (short) 2);
    file.putShort(18, (short) 62).putLong(40, 64 + data.out.size());
    file.putShort(58, (short) 64).putShort(60, (short) 4).putShort(62, (short) 3);
    file.position(64).put(data.out.toByteArray()).put(table.out.toByteArray());
    ByteSource source = new FileBytes("vmlinux", MemorySegment.ofArray(file.array()));
    return new ElfSections(ElfFile.open(source));
  }

  private static byte[] header(int name, int type, int offset, int size) {
    ByteBuffer header = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
    header.putInt(0, name).putInt(4, type).putLong(24, offset).putLong(32, size);
    return header.array();
  }
}
