package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.UnsupportedFormatException;

/// The list of dump formats: adding one takes its file and one line here.
public final class Dumps {
  private static final List<DumpFormat> FORMATS = List.of(new KdumpFormat(), new ElfDumpFormat());

  private Dumps() {}

  /// Opens a dump.
  ///
  /// @throws MalformedFileException if it breaks its format's rules where it must be understood
  /// @throws UnsupportedFormatException if it is no dump, or of a kind that is not read here
  /// @throws IOException if the file cannot be read at all
  public static Dump open(Path path) throws IOException {
    MappedFile map = MappedFile.open(path);
    try {
      return open(map);
    } catch (IOException | RuntimeException failure) {
      map.close();
      throw failure;
    } catch (InternalError lost) {
      map.close();
      if (MappedFile.isLostMap(lost)) {
        throw new IOException(
            path + ": the file changed or failed while it was being opened", lost);
      }
      throw lost;
    }
  }

  private static Dump open(MappedFile map) throws IOException {
    if (map.size() == 0) {
      throw new MalformedFileException("[" + map.name() + "] the file is empty");
    }
    boolean flattened = FlattenedSource.probe(map);
    OpenFile file = new OpenFile(map, flattened ? FlattenedSource.index(map) : map, flattened);
    List<String> reasons = new ArrayList<>();
    for (DumpFormat format : FORMATS) {
      String whyNot = format.whyNot(file.source());
      if (whyNot == null) {
        return format.open(file);
      }
      reasons.add(format.name() + ": " + whyNot);
    }
    Optional<String> foreign = ForeignFormats.recognise(file.source());
    if (foreign.isPresent()) {
      throw new UnsupportedFormatException("[" + map.name() + "] " + foreign.get());
    }
    throw new UnsupportedFormatException(
        "[" + map.name() + "] no known dump format: " + String.join("; ", reasons));
  }

  /// The first bytes as hexadecimal pairs, for messages.
  static String firstBytes(ByteView view, int count) {
    StringBuilder hex = new StringBuilder();
    for (int i = 0; i < Math.min(count, view.size()); i++) {
      hex.append(i == 0 ? "" : " ").append("%02x".formatted(view.u8(i)));
    }
    return hex.toString();
  }
}
