package org.vmcheck.debuginfo;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.io.ByteView;

/// The tables read last, and what was made of them: where another dump holds the same bytes, that
/// is used again. The dumps of an archive are of few kernels.
///
/// What counts is every byte, not the kernel's name: a dump whose tables are damaged, or that
/// claims to be of another's kernel, gets what its own bytes say. Safe for use by several threads
/// at once.
public final class KnownTables {
  /// For one dump: keeps nothing.
  public static final KnownTables NONE = new KnownTables(0);

  private final int most;
  private volatile List<Kept> all = List.of();

  /// @param made never changed once it is here
  private record Kept(List<byte[]> bytes, Object made) {
    boolean isOf(List<ByteView> tables) {
      for (int i = 0; i < bytes.size(); i++) {
        if (MemorySegment.ofArray(bytes.get(i)).mismatch(tables.get(i).segment()) != -1) {
          return false;
        }
      }
      return true;
    }
  }

  /// Reads tables that are met for the first time.
  @FunctionalInterface
  interface Reader<T, E extends IOException> {
    T read() throws E;
  }

  /// @param kernels of how many builds the tables are kept, about 7 MiB each and as much again for
  ///   what was made of them
  public KnownTables(int kernels) {
    // Symbols and types.
    this.most = 2 * kernels;
  }

  /// What was made of the same bytes before, else what the reader makes of them.
  ///
  /// @param kind of what is made; by kind there is one number of tables, and one order
  <T, E extends IOException> T get(Class<T> kind, List<ByteView> tables, Reader<T, E> reader)
      throws E {
    T known = find(kind, tables);
    if (known == null) {
      known = reader.read();
      if (most > 0) {
        keep(kind, tables, known);
      }
    }
    return known;
  }

  private <T> T find(Class<T> kind, List<ByteView> tables) {
    for (Kept kept : all) {
      if (kind.isInstance(kept.made) && kept.isOf(tables)) {
        return kind.cast(kept.made);
      }
    }
    return null;
  }

  /// The newest first; the one that was kept for the longest time goes.
  private synchronized void keep(Class<?> kind, List<ByteView> tables, Object made) {
    if (find(kind, tables) != null) {
      return; // Another thread read them meanwhile.
    }
    List<Kept> next = new ArrayList<>();
    // Copies: a view may be of a page of a mapped file.
    next.add(
        new Kept(tables.stream().map(t -> t.bytes(0, Math.toIntExact(t.size()))).toList(), made));
    next.addAll(all.subList(0, Math.min(all.size(), most - 1)));
    all = List.copyOf(next);
  }
}
