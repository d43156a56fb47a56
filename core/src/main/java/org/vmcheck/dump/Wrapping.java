package org.vmcheck.dump;

import java.util.Optional;
import org.vmcheck.io.FileMagic;

/// What may be wrapped around a dump, known by its first bytes.
enum Wrapping {
  GZIP("gzip", FileMagic.GZIP),
  XZ("xz", FileMagic.XZ),
  ZSTD("zstd", FileMagic.ZSTD),
  LZ4("lz4", FileMagic.LZ4),
  BZIP2("bzip2", FileMagic.BZIP2),
  ZIP("zip", FileMagic.ZIP),
  TAR("tar", FileMagic.TAR);

  private final String words;
  private final FileMagic magic;

  Wrapping(String words, FileMagic magic) {
    this.words = words;
    this.magic = magic;
  }

  String words() {
    return words;
  }

  boolean isArchive() {
    return this == ZIP || this == TAR;
  }

  static Optional<Wrapping> of(byte[] head) {
    for (Wrapping wrapping : values()) {
      if (wrapping.magic.startsWith(head)) {
        return Optional.of(wrapping);
      }
    }
    return Optional.empty();
  }
}
