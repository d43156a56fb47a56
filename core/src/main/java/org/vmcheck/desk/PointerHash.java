package org.vmcheck.desk;

import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// How the kernel prints a pointer with `%p`: the low 32 bits of SipHash-2-4 of its 8 bytes under
/// `ptr_key` (Linux `lib/vsprintf.c`, `__ptr_to_hashval`; `lib/siphash.c`, `siphash_1u64`).
public final class PointerHash {
  private static final long[] INITIAL = {
    0x736f_6d65_7073_6575L, 0x646f_7261_6e64_6f6dL, 0x6c79_6765_6e65_7261L, 0x7465_6462_7974_6573L,
  };

  private final long key0;
  private final long key1;

  PointerHash(long key0, long key1) {
    this.key0 = key0;
    this.key1 = key1;
  }

  /// The key of a kernel; empty if it has none, cannot be read, or was not made yet.
  public static Optional<PointerHash> of(Kernel kernel) {
    OptionalLong at = kernel.symbol("ptr_key");
    if (at.isEmpty()
        || !(kernel.memory().read(at.getAsLong(), 16) instanceof MemoryRead.Bytes(ByteView key))
        || (key.u64(0) == 0 && key.u64(8) == 0)) {
      return Optional.empty();
    }
    return Optional.of(new PointerHash(key.u64(0), key.u64(8)));
  }

  /// What `%p` prints of a pointer.
  public int of(long pointer) {
    return (int) sipHash(pointer);
  }

  /// SipHash-2-4 of one word of 8 bytes (Aumasson and Bernstein, "SipHash: a fast short-input
  /// PRF").
  long sipHash(long word) {
    long v0 = key0 ^ INITIAL[0];
    long v1 = key1 ^ INITIAL[1];
    long v2 = key0 ^ INITIAL[2];
    long v3 = key1 ^ INITIAL[3];
    // Two rounds for the word, two for the length 8 in the top byte, four to end with.
    for (int round = 0; round < 8; round++) {
      if (round == 0) {
        v3 ^= word;
      } else if (round == 2) {
        v0 ^= word;
        v3 ^= 8L << 56;
      } else if (round == 4) {
        v0 ^= 8L << 56;
        v2 ^= 0xff;
      }
      v0 += v1;
      v1 = Long.rotateLeft(v1, 13) ^ v0;
      v0 = Long.rotateLeft(v0, 32);
      v2 += v3;
      v3 = Long.rotateLeft(v3, 16) ^ v2;
      v0 += v3;
      v3 = Long.rotateLeft(v3, 21) ^ v0;
      v2 += v1;
      v1 = Long.rotateLeft(v1, 17) ^ v2;
      v2 = Long.rotateLeft(v2, 32);
    }
    return v0 ^ v1 ^ v2 ^ v3;
  }
}
