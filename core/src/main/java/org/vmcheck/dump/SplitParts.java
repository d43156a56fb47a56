package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.zip.CRC32;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.ReadAhead;

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

  /// @param inTree whether the files are of a tree that is scanned, where links are not followed
  static List<List<Path>> group(List<Path> paths, boolean inTree) {
    Map<Object, List<Path>> groups = new LinkedHashMap<>();
    Map<String, Part> known = new HashMap<>();
    // A file named twice, as overlapping patterns do, is one dump.
    for (Path path : new LinkedHashSet<>(paths)) {
      Object key = part(path, inTree).<Object>map(part -> firstLike(part, known)).orElse(path);
      groups.computeIfAbsent(key, _ -> new ArrayList<>()).add(path);
    }
    return groups.values().stream().map(List::copyOf).toList();
  }

  /// The first part met of the same dump: itself if it is that.
  private static Part firstLike(Part part, Map<String, Part> known) {
    String sameTime = part.fingerprint + " at " + part.time;
    String sameBitmaps = part.fingerprint + " with " + part.bitmaps;
    Part first = known.getOrDefault(sameTime, known.getOrDefault(sameBitmaps, part));
    known.putIfAbsent(sameTime, first);
    known.putIfAbsent(sameBitmaps, first);
    return first;
  }

  private static Optional<Part> part(Path path, boolean inTree) {
    try (MappedFile map = inTree ? MappedFile.openInTree(path) : MappedFile.open(path)) {
      ByteSource source = FlattenedSource.probe(map) ? FlattenedSource.index(map) : map;
      if (!KdumpFormat.isKdump(source)) {
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
    byte[] copy = new byte[CHUNK];
    ReadAhead ahead = new ReadAhead();
    for (long at = header.bitmapOffset(); at < end; at += CHUNK) {
      Cancellation.check();
      int count = (int) Math.min(CHUNK, end - at);
      // A copy: the sum is taken in native code, which must not meet a map that shrinks.
      source.copy(at, copy, count, ahead);
      sum.update(copy, 0, count);
    }
    return sum.getValue();
  }
}
