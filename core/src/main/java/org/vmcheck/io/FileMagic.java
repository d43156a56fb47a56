package org.vmcheck.io;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/// The bytes by which files of a kind are known: the one table of those that are read here, or
/// looked for in more than one place.
public enum FileMagic {
  KDUMP("4b44554d50202020"),
  DISKDUMP("4449534b44554d50"),
  /// `makedumpfile -F`: the name in 16 bytes (`MAKEDUMPFILE_SIGNATURE`, `SIZE_OF_SIGNATURE`).
  FLATTENED("6d616b6564756d7066696c6500000000"),
  ELF("7f454c46"),
  GZIP("1f8b"),
  XZ("fd377a585a00"),
  ZSTD("28b52ffd"),
  LZ4("04224d18"),
  LZ4_LEGACY("02214c18"),
  LZOP("894c5a4f000d0a1a0a"),
  BZIP2("425a68"),
  LZMA("5d0000"),
  ZIP("504b0304"),
  SEVEN_ZIP("377abcaf271c"),
  /// The flat boot image of arm64 (Linux `Documentation/arch/arm64/booting.rst`).
  ARM64_IMAGE(0x38, "41524d64"),
  TAR(257, "7573746172");

  /// Bytes of a file's start that are enough to know them all.
  public static final int HEAD_BYTES = 512;

  private final int offset;

  /// A character a byte.
  private final String magic;

  FileMagic(String digits) {
    this(0, digits);
  }

  FileMagic(int offset, String digits) {
    this.offset = offset;
    this.magic = new String(HexFormat.of().parseHex(digits), StandardCharsets.ISO_8859_1);
  }

  /// Whether a file that begins so is of this kind.
  ///
  /// @param start its first bytes, up to [#HEAD_BYTES]
  public boolean startsWith(byte[] start) {
    return isAt(start, offset);
  }

  public boolean startsWith(ByteView start) {
    if (start.size() < offset + magic.length()) {
      return false;
    }
    for (int i = 0; i < magic.length(); i++) {
      if (start.u8(offset + i) != magic.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  /// Whether the magic stands at a place inside other bytes.
  public boolean isAt(byte[] content, int at) {
    if (content.length - at < magic.length()) {
      return false;
    }
    for (int i = 0; i < magic.length(); i++) {
      if ((content[at + i] & 0xff) != magic.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  /// The magic as hexadecimal digits.
  public String digits() {
    return HexFormat.of().formatHex(magic.getBytes(StandardCharsets.ISO_8859_1));
  }
}
