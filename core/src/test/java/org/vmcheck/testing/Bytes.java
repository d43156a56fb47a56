package org.vmcheck.testing;

import java.util.Arrays;
import java.util.Random;

/// Page contents for tests.
public final class Bytes {
  private Bytes() {}

  /// A page of 4096 bytes of one value.
  public static byte[] filledWith(int value) {
    return filledWith(value, 4096);
  }

  public static byte[] filledWith(int value, int byteCount) {
    byte[] page = new byte[byteCount];
    Arrays.fill(page, (byte) value);
    return page;
  }

  /// A page that compresses, and of which no two with different seeds are equal: runs, repeats of
  /// earlier bytes near and far, and noise.
  public static byte[] mixed(long seed, int byteCount) {
    Random random = new Random(seed * 0x9e3779b97f4a7c15L + 1);
    byte[] page = new byte[byteCount];
    int at = 0;
    while (at < byteCount) {
      int length = Math.min(byteCount - at, 1 + random.nextInt(random.nextInt(8) == 0 ? 700 : 40));
      int kind = random.nextInt(4);
      if (kind == 0) {
        Arrays.fill(page, at, at + length, (byte) random.nextInt(256));
      } else if (kind == 1 || at == 0) {
        byte[] noise = new byte[length];
        random.nextBytes(noise);
        System.arraycopy(noise, 0, page, at, length);
      } else {
        int distance = 1 + random.nextInt(kind == 2 ? Math.min(at, 64) : at);
        for (int i = 0; i < length; i++) {
          page[at + i] = page[at + i - distance];
        }
      }
      at += length;
    }
    return page;
  }

  public static byte[] mixed(long seed) {
    return mixed(seed, 4096);
  }

  /// Bytes that no codec makes smaller.
  public static byte[] noise(long seed, int byteCount) {
    byte[] page = new byte[byteCount];
    new Random(seed).nextBytes(page);
    return page;
  }
}
