package org.vmcheck.archive;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;

/// A report as a catalogue keeps it: its JSON, deflated (zlib). No bytes are no report.
final class StoredReport {
  private static final int MAX_BYTES = 64 << 20;

  private StoredReport() {}

  static byte[] of(Optional<DumpReport> report) {
    return report.map(r -> deflate(ReportWriter.line(r))).orElse(new byte[0]);
  }

  /// @param catalogue what messages call it
  /// @param path of the dump
  static Optional<DumpReport> read(String catalogue, String path, byte[] stored)
      throws MalformedFileException {
    return stored.length == 0
        ? Optional.empty()
        : Optional.of(ReportReader.read(path, inflate(catalogue, stored)));
  }

  private static byte[] deflate(String text) {
    try (Deflater deflater = new Deflater()) {
      deflater.setInput(text.getBytes(StandardCharsets.UTF_8));
      deflater.finish();
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      while (!deflater.finished()) {
        out.write(buffer, 0, deflater.deflate(buffer));
      }
      return out.toByteArray();
    }
  }

  private static String inflate(String catalogue, byte[] deflated) throws MalformedFileException {
    try (Inflater inflater = new Inflater()) {
      inflater.setInput(deflated);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      while (!inflater.finished()) {
        int count = inflater.inflate(buffer);
        if (count == 0 || out.size() > MAX_BYTES) {
          throw damaged(catalogue);
        }
        out.write(buffer, 0, count);
      }
      return out.toString(StandardCharsets.UTF_8);
    } catch (DataFormatException _) {
      throw damaged(catalogue);
    }
  }

  private static MalformedFileException damaged(String catalogue) {
    return new MalformedFileException("[" + catalogue + "] a stored report is damaged");
  }
}
