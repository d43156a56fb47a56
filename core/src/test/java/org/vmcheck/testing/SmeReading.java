package org.vmcheck.testing;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.vmcheck.memory.PageMask;

/// The three forms in which the low 640 KiB of a kernel with SME reaches a dump; the copy lies
/// where a 5.3 kernel put it.
public enum SmeReading {
  /// Ciphertext, read without decryption.
  RAW,
  /// Decrypted for the address of the copy, by a two-sided cipher: unrelated blocks.
  TWO_SIDED,
  /// The same by a one-sided cipher: plaintext under one mask a page.
  ONE_SIDED;

  static final long SOURCE = 0x1000;
  static final long COPY = 0x0d00_0000;

  /// What becomes of one page.
  public interface Spoiler {
    byte[] spoiled(long paddr, byte[] plain);
  }

  /// A one-sided cipher whose constants do not repeat every 32 bits: a mask of 16 bytes drawn anew
  /// for each page.
  public static Spoiler wideMasks(long seed) {
    return (paddr, plain) -> {
      Random random = new Random(seed * 0x9e37_79b9_7f4a_7c15L ^ paddr >>> 12);
      return new PageMask(random.nextLong(), random.nextLong())
          .applyTo(MemorySegment.ofArray(plain))
          .toArray(ValueLayout.JAVA_BYTE);
    };
  }

  /// @param seed of the key and the constants
  public Spoiler spoiler(long seed) {
    MemoryCipher one = MemoryCipher.oneSided(seed);
    MemoryCipher two = MemoryCipher.twoSided(seed);
    return switch (this) {
      case RAW -> two::encrypted;
      case TWO_SIDED -> (paddr, plain) -> two.copied(paddr, paddr - SOURCE + COPY, plain);
      case ONE_SIDED -> (paddr, plain) -> one.copied(paddr, paddr - SOURCE + COPY, plain);
    };
  }
}
