package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabFault;

/// How wrong bytes of a fixed pattern differ from it, by their bits.
///
/// @param bit the bit by which each wrong byte differs, as a mask; 0 if they differ by others
/// @param isInWords whether the wrong bytes are several, lie at the same place of 32-bit words, and
///   have the bit set
public record PatternBits(SlabFault.Pattern fault, int bit, boolean isInWords) {
  /// More bytes than are worth looking at.
  private static final int MAX_BYTES = 1 << 12;

  private static final int WORD = 4;

  public static PatternBits of(Kernel kernel, SlabFault.Pattern fault) {
    int length = (int) Math.min(fault.end() - fault.address(), MAX_BYTES);
    if (fault.expected() < 0
        || fault.zone() == SlabFault.Zone.ZEROED
        || !(kernel.memory().read(fault.address(), length)
            instanceof MemoryRead.Bytes(ByteView bytes))) {
      return new PatternBits(fault, 0, false);
    }
    int bit = -1;
    boolean isInWords = fault.wrong() > 1;
    for (int i = 0; i < length; i++) {
      int difference = bytes.u8(i) ^ fault.expected();
      if (difference != 0) {
        bit = bit == -1 || bit == difference ? difference : 0;
        isInWords &= i % WORD == 0 && (bytes.u8(i) & difference) == difference;
      }
    }
    boolean isOne = bit > 0 && Integer.bitCount(bit) == 1;
    return new PatternBits(fault, isOne ? bit : 0, isOne && isInWords);
  }

  /// Whether a flipped bit is all that is wrong: one bit of one byte, which no write past the end
  /// of an object explains as well.
  public boolean isFlip() {
    return bit != 0 && fault.wrong() == 1 && !isNextToPayload();
  }

  /// Bytes next to an object are where a write one byte too far lands, whatever it writes.
  private boolean isNextToPayload() {
    Slab slab = fault.slab();
    if (fault.index() < 0) {
      return false;
    }
    long object = slab.object(fault.index());
    return switch (fault.zone()) {
      case LEFT_RED_ZONE -> fault.end() == object;
      case RIGHT_RED_ZONE -> fault.address() == object + slab.cache().objectSize();
      default -> false;
    };
  }

  /// What the bits tell; empty if nothing.
  public Optional<Evidence> evidence(Kernel kernel) {
    if (bit == 0
        || (fault.wrong() != 1 && !isInWords)
        || !(kernel.memory().read(fault.address(), 8) instanceof MemoryRead.Bytes(ByteView view))) {
      return Optional.empty();
    }
    long raw = view.u64(0);
    long physical = kernel.memory().physicalAddress(fault.address());
    int number = Integer.numberOfTrailingZeros(bit);
    return Optional.of(
        isInWords
            ? new Evidence.WordAt(
                fault.address(),
                physical,
                raw,
                Evidence.UNKNOWN,
                "bit %d of the bytes is set in %d words of 4 bytes from 0x%x on: stores of 4 bytes that set a bit do that, and no memory module does"
                    .formatted(number, fault.wrong(), fault.address()))
            : new Evidence.WordAt(
                fault.address(),
                physical,
                raw,
                raw ^ bit,
                "one bit is all that differs: bit %d of the byte at 0x%x (physical 0x%x), 0x%02x instead of 0x%02x; test the memory"
                    .formatted(
                        number,
                        fault.address(),
                        physical,
                        fault.expected() ^ bit,
                        fault.expected())));
  }
}
