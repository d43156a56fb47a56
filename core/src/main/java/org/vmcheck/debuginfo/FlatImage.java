package org.vmcheck.debuginfo;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.FileMagic;

/// The `Image` of arm64: the kernel from `_text` to the end of its data, without sections or
/// symbols. What is wanted of it is found by its shape.
///
/// Known by [FileMagic#ARM64_IMAGE].
final class FlatImage {
  private static final ValueLayout.OfInt WORD =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Of the header, which is as much as tells an image.
  static final int HEADER = 64;

  /// Owner's and description's size and type of the note that the linker made.
  private static final int[] BUILD_ID = {4, 20, 3, 0x0055_4e47};

  private static final int NOTE = 16 + 20;

  private static final int ELF = 0x464c_457f;
  private static final int ELF_HEADER = 64;

  /// Of a file in the image; a vDSO has some pages.
  private static final int MAX_FILE = 1 << 20;

  /// Magic and version of BTF, without flags, and the size of its header.
  private static final int BTF = 0x0001_eb9f;

  private static final int BTF_HEADER = 24;

  private FlatImage() {}

  /// The note of the linker's, to be read as notes are: not one of the files in the image (vDSO),
  /// which have their own.
  static Optional<ByteView> buildId(ByteView image) {
    MemorySegment bytes = image.segment();
    for (long at = 0; at + NOTE <= bytes.byteSize(); at += 4) {
      if (bytes.get(WORD, at) == ELF) {
        at = Math.max(at, Math.min(elfEnd(image, at), bytes.byteSize()) & -4L);
        continue;
      }
      boolean fits = true;
      for (int i = 0; fits && i < BUILD_ID.length; i++) {
        fits = bytes.get(WORD, at + 4L * i) == BUILD_ID[i];
      }
      if (fits) {
        return Optional.of(image.slice("build id", at, NOTE));
      }
    }
    return Optional.empty();
  }

  /// Where an ELF file ends that starts here: with its table of sections.
  private static long elfEnd(ByteView image, long at) {
    if (image.size() - at < ELF_HEADER) {
      return at;
    }
    boolean is64 = image.u8(at + 4) == 2;
    long table = is64 ? image.u64(at + 0x28) : image.u32(at + 0x20);
    int size = image.u16(at + (is64 ? 0x3a : 0x2e));
    int count = image.u16(at + (is64 ? 0x3c : 0x30));
    return table > 0 && table < MAX_FILE ? at + table + (long) size * count : at;
  }

  /// Its types.
  static Optional<ByteView> btf(ByteView image) {
    MemorySegment bytes = image.segment();
    for (long at = 0; at + BTF_HEADER <= bytes.byteSize(); at += 4) {
      if ((at & 0xfffff) == 0) {
        Cancellation.check();
      }
      if (bytes.get(WORD, at) == BTF && bytes.get(WORD, at + 4) == BTF_HEADER) {
        long size = BTF_HEADER + image.u32(at + 16) + image.u32(at + 20);
        if (size <= bytes.byteSize() - at && image.u32(at + 12) <= image.u32(at + 16)) {
          return Optional.of(image.slice(".BTF", at, size));
        }
      }
    }
    return Optional.empty();
  }
}
