package org.vmcheck.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/// Writes flattened streams: records of a logical file in any order, later ones over earlier ones.
public final class FlattenedWriter {
  @SuppressWarnings("ArrayRecordComponent") // one writer, thrown away after use
  private record Piece(long offset, byte[] data) {}

  private final List<Piece> pieces = new ArrayList<>();
  private long type = 1;
  private long version = 1;
  private boolean endMarker = true;
  private byte[] trailer = new byte[0];

  private FlattenedWriter() {}

  public static FlattenedWriter empty() {
    return new FlattenedWriter();
  }

  /// The whole logical file in records of at most this many bytes.
  public static FlattenedWriter of(byte[] logical, int recordBytes) {
    FlattenedWriter writer = new FlattenedWriter();
    for (int at = 0; at < logical.length; at += recordBytes) {
      writer.record(
          at, Arrays.copyOfRange(logical, at, Math.min(logical.length, at + recordBytes)));
    }
    return writer;
  }

  public FlattenedWriter record(long offset, byte[] data) {
    pieces.add(new Piece(offset, data));
    return this;
  }

  /// Puts a record before all others.
  public FlattenedWriter recordFirst(long offset, byte[] data) {
    pieces.addFirst(new Piece(offset, data));
    return this;
  }

  public FlattenedWriter shuffled(long seed) {
    Collections.shuffle(pieces, new Random(seed));
    return this;
  }

  public FlattenedWriter type(long value) {
    type = value;
    return this;
  }

  public FlattenedWriter version(long value) {
    version = value;
    return this;
  }

  public FlattenedWriter withoutEndMarker() {
    endMarker = false;
    return this;
  }

  /// Bytes behind the end marker, as on a raw disk.
  public FlattenedWriter trailer(byte[] bytes) {
    trailer = bytes.clone();
    return this;
  }

  public Path write(Path directory) throws IOException {
    return write(directory, "vmcore.flat");
  }

  public Path write(Path directory, String name) throws IOException {
    return Files.write(directory.resolve(name), bytes());
  }

  public byte[] bytes() {
    ByteWriter out = new ByteWriter(true);
    out.text(0, "makedumpfile").u64(16, type).u64(24, version).extendTo(4096);
    for (Piece piece : pieces) {
      long at = out.size();
      out.u64(at, piece.offset).u64(at + 8, piece.data.length).put(at + 16, piece.data);
    }
    if (endMarker) {
      long at = out.size();
      out.u64(at, -1).u64(at + 8, -1);
    }
    return out.put(out.size(), trailer).toBytes();
  }
}
