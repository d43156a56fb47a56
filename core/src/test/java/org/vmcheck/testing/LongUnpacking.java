package org.vmcheck.testing;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPOutputStream;

/// A packed dump of a few megabytes that takes seconds to unpack: a real one, and a member of zeros
/// again and again.
public final class LongUnpacking {
  private static final int MEMBERS = 200;

  private LongUnpacking() {}

  /// Writes it.
  public static Path write(Path file) throws Exception {
    byte[] zeros = packed(new byte[64 << 20]);
    try (OutputStream out = Files.newOutputStream(file)) {
      out.write(packed(Files.readAllBytes(TestData.named("healthy").dump())));
      for (int i = 0; i < MEMBERS; i++) {
        out.write(zeros);
      }
    }
    return file;
  }

  private static byte[] packed(byte[] bytes) throws IOException {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (OutputStream out = new GZIPOutputStream(packed)) {
      out.write(bytes);
    }
    return packed.toByteArray();
  }
}
