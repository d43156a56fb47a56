package org.vmcheck.testing;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.Deflater;

/// Bytes of the kinds that kernel memory holds.
final class Contents {
  private static final byte[] WORDS =
      ("error retry mount /dev/disk/by-uuid cgroup.controllers systemd session-12.scope eth0 "
              + "inode=%lu key value user.slice <html><body> \"name\": 12345, \n")
          .getBytes(StandardCharsets.ISO_8859_1);

  /// Openings of common x86_64 instructions: about what a disassembly counts most.
  private static final byte[][] INSTRUCTIONS = {
    {0x48, (byte) 0x89},
    {0x48, (byte) 0x8b},
    {0x55},
    {0x41, 0x54},
    {(byte) 0xe8},
    {0x0f, 0x1f, 0},
    {0x48, (byte) 0x83, (byte) 0xc4},
    {0x5d, (byte) 0xc3},
    {(byte) 0x85, (byte) 0xc0},
    {0x74},
    {0x66, (byte) 0x90},
    {(byte) 0xcc},
    {0x48, (byte) 0x8d, 0x05},
    {0, 0, 0},
    {(byte) 0xff, (byte) 0xff}
  };

  private final Random random;
  private final long directMap;
  private byte[] stream = new byte[0];

  Contents(Random random, long directMap) {
    this.random = random;
    this.directMap = directMap;
  }

  void fill(FakeKernel.Contents kind, byte[] bytes) {
    switch (kind) {
      case ZEROS -> Arrays.fill(bytes, (byte) 0);
      case TEXT -> text(bytes);
      case CODE -> code(bytes);
      case POINTERS -> pointers(bytes);
      case COMPRESSED -> compressed(bytes);
      case RANDOM -> random.nextBytes(bytes);
      case MIXED -> mixed(bytes);
    }
  }

  void text(byte[] bytes) {
    int at = random.nextInt(WORDS.length);
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = WORDS[(at + i) % WORDS.length];
    }
  }

  void code(byte[] bytes) {
    for (int at = 0; at < bytes.length; ) {
      byte[] instruction = INSTRUCTIONS[random.nextInt(INSTRUCTIONS.length)];
      int count = Math.min(instruction.length, bytes.length - at);
      System.arraycopy(instruction, 0, bytes, at, count);
      at += count;
      if (at < bytes.length) {
        bytes[at++] = (byte) random.nextInt(64);
      }
    }
  }

  void pointers(byte[] bytes) {
    for (int at = 0; at + 8 <= bytes.length; at += 8) {
      word(bytes, at, directMap + (random.nextInt(1 << 25) & ~7));
    }
  }

  /// A piece of a deflate stream: one stream serves all, as compressing takes its time.
  void compressed(byte[] bytes) {
    if (stream.length < bytes.length * 2) {
      stream = deflated(Math.max(1 << 16, bytes.length * 2));
    }
    int at = random.nextInt(stream.length - bytes.length);
    System.arraycopy(stream, at, bytes, 0, bytes.length);
  }

  private byte[] deflated(int byteCount) {
    byte[] plain = new byte[byteCount * 2];
    for (int i = 0; i < plain.length; i++) {
      plain[i] = (byte) (random.nextGaussian() * 40);
    }
    Deflater deflater = new Deflater(9, true);
    try {
      deflater.setInput(plain);
      deflater.finish();
      byte[] packed = new byte[byteCount];
      return Arrays.copyOf(packed, deflater.deflate(packed));
    } finally {
      deflater.end();
    }
  }

  /// A structure as most are: flags, small counts, pointers, a little text, zeros.
  private void mixed(byte[] bytes) {
    Arrays.fill(bytes, (byte) 0);
    for (int at = 0; at + 8 <= bytes.length; at += 8) {
      switch (random.nextInt(10)) {
        case 0, 1 -> word(bytes, at, directMap + (random.nextInt(1 << 25) & ~7));
        case 2 -> word(bytes, at, random.nextInt(100));
        case 3 -> word(bytes, at, random.nextLong() & 0xffff_ffffL);
        case 4 -> System.arraycopy(WORDS, random.nextInt(WORDS.length - 8), bytes, at, 8);
        default -> {}
      }
    }
  }

  private static void word(byte[] bytes, int at, long value) {
    for (int i = 0; i < 8; i++) {
      bytes[at + i] = (byte) (value >>> (8 * i));
    }
  }
}
