package org.vmcheck.testing;

import java.util.Random;
import org.bouncycastle.crypto.engines.AESEngine;
import org.bouncycastle.crypto.params.KeyParameter;

/// Memory encryption as AMD SME does it: AES over blocks of 16 bytes, under a tweak that is the
/// exclusive or of one constant for each set bit of the block's physical address.
///
/// First-generation hardware is one-sided, E(P) = AES(P xor T), with constants that repeat every 32
/// bits; later hardware is two-sided, E(P) = AES(P xor T) xor T, with constants drawn at boot.
public final class MemoryCipher {
  private final AESEngine encrypt = (AESEngine) AESEngine.newInstance();
  private final AESEngine decrypt = (AESEngine) AESEngine.newInstance();
  private final byte[][] constants = new byte[52][16];
  private final boolean twoSided;

  private MemoryCipher(long seed, boolean twoSided) {
    this.twoSided = twoSided;
    Random random = new Random(seed);
    byte[] key = new byte[16];
    random.nextBytes(key);
    encrypt.init(true, new KeyParameter(key));
    decrypt.init(false, new KeyParameter(key));
    for (byte[] constant : constants) {
      random.nextBytes(constant);
      for (int i = 4; !twoSided && i < 16; i++) {
        constant[i] = constant[i & 3];
      }
    }
  }

  public static MemoryCipher oneSided(long seed) {
    return new MemoryCipher(seed, false);
  }

  public static MemoryCipher twoSided(long seed) {
    return new MemoryCipher(seed, true);
  }

  /// The bytes that stand in memory at a physical address.
  public byte[] encrypted(long paddr, byte[] plain) {
    return run(true, paddr, plain);
  }

  /// What a reader with the right key sees of bytes that stand at a physical address.
  public byte[] decrypted(long paddr, byte[] stored) {
    return run(false, paddr, stored);
  }

  /// What is left of a page that was encrypted for one address, copied as it stood, and decrypted
  /// for another: the low 640 KiB of a dump with the bug.
  public byte[] copied(long from, long to, byte[] plain) {
    return decrypted(to, encrypted(from, plain));
  }

  private byte[] run(boolean isEncrypting, long paddr, byte[] in) {
    AESEngine aes = isEncrypting ? encrypt : decrypt;
    byte[] out = new byte[in.length];
    byte[] block = new byte[16];
    for (int at = 0; at < in.length; at += 16) {
      byte[] tweak = tweak(paddr + at);
      for (int i = 0; i < 16; i++) {
        block[i] = (byte) (in[at + i] ^ (isEncrypting || twoSided ? tweak[i] : 0));
      }
      aes.processBlock(block, 0, out, at);
      for (int i = 0; i < 16; i++) {
        out[at + i] ^= !isEncrypting || twoSided ? tweak[i] : 0;
      }
    }
    return out;
  }

  private byte[] tweak(long paddr) {
    byte[] tweak = new byte[16];
    for (int bit = 4; bit < 52; bit++) {
      for (int i = 0; (paddr >>> bit & 1) != 0 && i < 16; i++) {
        tweak[i] ^= constants[bit][i];
      }
    }
    return tweak;
  }
}
