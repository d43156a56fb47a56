package org.vmcheck.evidence;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
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
  static final long MAX_BYTES = 256L << 20;
  private static final int MAX_FILES = 4096;

  /// The first time that the format can tell.
  private static final LocalDateTime TIME = LocalDateTime.of(1980, 1, 1, 0, 0);

  private CanonicalZip() {}

  static byte[] write(SortedMap<String, byte[]> files) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
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
    return bytes.toByteArray();
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
      if (files.isEmpty() || !Arrays.equals(bytes, write(files))) {
        throw new BundleException("the zip is not as vmcheck wrote it");
      }
    } catch (IOException | IllegalArgumentException broken) {
      throw new BundleException("the zip cannot be read: " + broken.getMessage());
    }
    return files;
  }
}
