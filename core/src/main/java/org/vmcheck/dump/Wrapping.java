package org.vmcheck.dump;

import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;

/// What may be wrapped around a dump, known by its first bytes.
enum Wrapping {
  GZIP("gzip", 0, "1f8b08"),
  XZ("xz", 0, "fd377a585a00"),
  ZSTD("zstd", 0, "28b52ffd"),
  LZ4("lz4", 0, "04224d18"),
  BZIP2("bzip2", 0, "425a68"),
  ZIP("zip", 0, "504b0304"),
  TAR("tar", 257, "7573746172");

  /// Bytes of a file's start that are enough to know them all.
  static final int HEAD_BYTES = 512;

  private final String words;
  private final int offset;
  private final String magic;

  Wrapping(String words, int offset, String magicDigits) {
    this.words = words;
    this.offset = offset;
    this.magic = magicDigits;
  }

  String words() {
    return words;
  }

  boolean isArchive() {
    return this == ZIP || this == TAR;
  }

  static Optional<Wrapping> of(byte[] head) {
    for (Wrapping wrapping : values()) {
      byte[] magic = HexFormat.of().parseHex(wrapping.magic);
      int end = wrapping.offset + magic.length;
      if (head.length >= end && Arrays.equals(head, wrapping.offset, end, magic, 0, magic.length)) {
        return Optional.of(wrapping);
      }
    }
    return Optional.empty();
  }
}
