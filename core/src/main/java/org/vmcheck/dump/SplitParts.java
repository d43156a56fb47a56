package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.zip.CRC32;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MappedFile;

/// Sorts files into dumps by what their headers say: the parts of a split dump belong together.
///
/// Parts share all of the main header, but each may have a time of its own; two dumps of one
/// machine may differ in their time only. Where times differ the bitmaps tell, which parts share as
/// well.
final class SplitParts {
  private static final int CHUNK = 1 << 20;

  /// @param bitmaps checksum of both bitmaps
  private record Part(String fingerprint, String time, long bitmaps) {}

  private SplitParts() {}

  static List<List<Path>> group(List<Path> paths) {
    Map<Object, List<Path>> groups = new LinkedHashMap<>();
    List<Part> known = new ArrayList<>();
    // A file named twice, as overlapping patterns do, is one dump.
    for (Path path : new LinkedHashSet<>(paths)) {
      Object key = part(path).<Object>map(part -> firstLike(part, known)).orElse(path);
      groups.computeIfAbsent(key, _ -> new ArrayList<>()).add(path);
    }
    return groups.values().stream().map(List::copyOf).toList();
  }

  /// The first part met of the same dump: itself if it is that.
  private static Part firstLike(Part part, List<Part> known) {
    for (Part other : known) {
      if (other.fingerprint.equals(part.fingerprint)
          && (other.time.equals(part.time) || other.bitmaps == part.bitmaps)) {
        return other;
      }
    }
    known.add(part);
    return part;
  }

  private static Optional<Part> part(Path path) {
    try (MappedFile map = MappedFile.open(path)) {
      ByteSource source = FlattenedSource.probe(map) ? FlattenedSource.index(map) : map;
      if (new KdumpFormat().whyNot(source) != null) {
        return Optional.empty();
      }
      KdumpHeader header = KdumpHeader.read(source);
      return header.split()
          ? Optional.of(new Part(header.fingerprint(), header.time(), bitmaps(source, header)))
          : Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    } catch (InternalError lost) {
      if (MappedFile.isLostMap(lost)) {
        return Optional.empty();
      }
      throw lost;
    }
  }

  private static long bitmaps(ByteSource source, KdumpHeader header) throws IOException {
    CRC32 sum = new CRC32();
    long end = header.descriptorTableOffset();
    for (long at = header.bitmapOffset(); at < end; at += CHUNK) {
      sum.update(source.slice(at, Math.min(CHUNK, end - at)).asByteBuffer());
    }
    return sum.getValue();
  }
}
