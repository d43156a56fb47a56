package org.vmcheck.evidence;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;

/// A zip that has one form only: entries in order of name, stored, of one fixed time. Whoever knows
/// its files knows each byte of it.
final class CanonicalZip {
  /// Far more than any bundle has (256 pages and the report), and little enough for the heap.
  static final int MAX_BYTES = 32 << 20;

  private static final int MAX_FILES = 4096;

  /// The second time that the format can tell. Of the first the JDK writes the moment beside it,
  /// which is another one in each time zone.
  private static final LocalDateTime TIME = LocalDateTime.of(1980, 1, 1, 0, 0, 2);

  private CanonicalZip() {}

  static byte[] write(SortedMap<String, byte[]> files) throws IOException, BundleException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    write(files, bytes);
    if (bytes.size() > MAX_BYTES) {
      throw new BundleException(
          "the bundle would have %,d bytes, and %,d are the limit"
              .formatted(bytes.size(), MAX_BYTES));
    }
    return bytes.toByteArray();
  }

  private static void write(SortedMap<String, byte[]> files, OutputStream to) throws IOException {
    try (ZipOutputStream zip = new ZipOutputStream(to)) {
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        ZipEntry entry = new ZipEntry(file.getKey());
        CRC32 crc = new CRC32();
        crc.update(file.getValue());
        entry.setMethod(ZipEntry.STORED);
        entry.setTimeLocal(TIME);
        entry.setSize(file.getValue().length);
        entry.setCrc(crc.getValue());
        zip.putNextEntry(entry);
        zip.write(file.getValue());
        zip.closeEntry();
      }
    }
  }

  /// Compares what is written with what is there, instead of keeping it.
  private static final class Comparing extends OutputStream {
    private final byte[] expected;
    private int at;
    private boolean isSame = true;

    Comparing(byte[] expected) {
      this.expected = expected;
    }

    @Override
    public void write(int value) {
      write(new byte[] {(byte) value}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int count) {
      isSame =
          isSame
              && count <= expected.length - at
              && Arrays.equals(expected, at, at + count, bytes, from, from + count);
      at += isSame ? count : 0;
    }

    boolean isWhole() {
      return isSame && at == expected.length;
    }
  }

  /// The files of a zip, if these bytes are what [#write] makes of them; else refuses it. Nothing
  /// can hide beside the files: not in a comment, between entries or behind the end.
  static SortedMap<String, byte[]> read(byte[] bytes) throws BundleException {
    SortedMap<String, byte[]> files = new TreeMap<>();
    try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(bytes))) {
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        if (files.size() == MAX_FILES || entry.getMethod() != ZipEntry.STORED) {
          throw new BundleException("no bundle of vmcheck: " + MAX_FILES + " stored files at most");
        }
        // Stored: never more than the zip itself.
        byte[] content = zip.readAllBytes();
        if (files.put(entry.getName(), content) != null) {
          throw new BundleException("a file is in the bundle twice");
        }
      }
      Comparing comparing = new Comparing(bytes);
      if (!files.isEmpty()) {
        write(files, comparing);
      }
      if (!comparing.isWhole()) {
        throw new BundleException("the zip is not as vmcheck wrote it");
      }
    } catch (IOException | IllegalArgumentException broken) {
      throw new BundleException("the zip cannot be read: " + broken.getMessage());
    }
    return files;
  }
}
