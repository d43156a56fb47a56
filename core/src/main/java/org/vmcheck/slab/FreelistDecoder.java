package org.vmcheck.slab;

/// How the free pointer in an object is encoded; one form holds for a whole dump.
///
/// With a = address of the slot and r = `kmem_cache.random`, the stored word is the next object's
/// address, or that XOR r XOR a, or XOR r XOR the byte-swapped a (Linux 2482ddec670f "mm: add SLUB
/// free list pointer obfuscation", 1ad53d9fa3f6 "slub: improve bit diffusion for freelist ptr
/// obfuscation").
public enum FreelistDecoder {
  PLAIN("plain pointers"),
  HARDENED("hardened"),
  HARDENED_SWAPPED("hardened, address byte-swapped");

  private final String words;

  FreelistDecoder(String words) {
    this.words = words;
  }

  public String words() {
    return words;
  }

  /// The pointer stored as `word` at `slotAddress`; the same operation encodes.
  public long decode(long word, long slotAddress, long random) {
    return switch (this) {
      case PLAIN -> word;
      case HARDENED -> word ^ random ^ slotAddress;
      case HARDENED_SWAPPED -> word ^ random ^ Long.reverseBytes(slotAddress);
    };
  }

  /// The result of the vote that chose the decoder.
  ///
  /// @param votes slabs whose first free pointer makes sense under the chosen form
  /// @param runnerUp the same for the next best form
  /// @param slabs slabs that took part: not all where the result was clear before
  public record Vote(FreelistDecoder decoder, int votes, int runnerUp, int slabs) {
    /// Whether the winner is beyond doubt, or nothing was there to vote on.
    public boolean isClear() {
      return slabs == 0 || (votes > 2 * runnerUp && votes * 2 > slabs) || votes == slabs;
    }
  }
}
