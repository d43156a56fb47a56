package org.vmcheck.io;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/// One read-only map of a whole file, of any size.
///
/// A file that is cut short while it is mapped makes the JVM raise an `InternalError` at the access
/// in Java code; readers of pages catch it ([#isLostMap]). Native code must never be handed this
/// map: there the same event is a fatal signal.
public final class MappedFile implements ByteSource, AutoCloseable {
  /// Touched bytes after which the resident pages are given back. Bounds what a walk over a dump of
  /// any size keeps in memory; a smaller file is never given back.
  private static final int RESIDENT_SHIFT = 26;

  private static final long RESIDENT_LIMIT = 1L << RESIDENT_SHIFT;

  /// A fault maps 16 pages at once (Linux `fault_around_bytes`), so a small read costs as much.
  private static final int FAULT_SHIFT = 16;

  private static final long TOUCHED_BY_A_FAULT = 1L << FAULT_SHIFT;

  /// A file of 64 PiB has that many ranges.
  private static final int RANGE_BITS = 40;

  /// Several threads, each with descriptors and slabs of its own, keep their places apart.
  private static final int COUNTED = 1 << 8;

  /// `st_mode` of stat(2): `S_IFMT`, `S_IFREG` and `S_IFBLK`.
  private static final int TYPE_OF_FILE = 0170000;

  private static final int REGULAR_FILE = 0100000;
  private static final int BLOCK_DEVICE = 0060000;

  private static final VarHandle BYTE = ValueLayout.JAVA_BYTE.varHandle();

  private final Path path;
  private final String name;
  private final AtomicLong touched = new AtomicLong();

  /// Ranges of [#TOUCHED_BY_A_FAULT] bytes that are counted in [#touched] already, each at the
  /// place that its number gives, with the round between two times of giving back in which it was.
  /// A range that lost its place to another, or was written by two threads at once, counts twice.
  private final long[] counted = new long[COUNTED];

  private final Arena arena;
  private final MemorySegment map;
  private final FileChannel channel;

  /// Asked where the file's holes are; null before the first who asks.
  private volatile SparseFile sparse;

  /// Which file it is, whatever its name says later; null where the system does not tell.
  private final Object key;

  private MappedFile(
      Path path, String name, FileChannel channel, Arena arena, MemorySegment map, Object key) {
    this.path = path;
    this.name = name;
    this.channel = channel;
    this.arena = arena;
    this.map = map;
    this.key = key;
  }

  /// Maps a regular file or a block device.
  ///
  /// @throws IOException if the path is missing, a directory, or not readable by this user
  public static MappedFile open(Path path) throws IOException {
    return open(path, path.getFileName() == null ? path.toString() : path.getFileName().toString());
  }

  /// @param name what messages call the file
  public static MappedFile open(Path path, String name) throws IOException {
    requireMappable(path);
    try {
      return of(path, name, FileChannel.open(path, StandardOpenOption.READ));
    } catch (AccessDeniedException _) {
      throw new AccessDeniedException(path.toString(), null, "permission denied");
    }
  }

  /// Maps a file of a tree that somebody else may change ([TreeFile]).
  public static MappedFile openInTree(Path path) throws IOException {
    return of(path, path.getFileName().toString(), TreeFile.open(path));
  }

  /// Maps what is open already, whether or not it has a name any more.
  ///
  /// @param path what it is or was called
  /// @param name what messages call the file
  /// @param channel closed with the map, and if it cannot be mapped
  @SuppressWarnings("MustBeClosedChecker") // both live as long as the file, which closes them
  public static MappedFile of(Path path, String name, FileChannel channel) throws IOException {
    Arena arena = Arena.ofShared();
    try {
      long size = channel.size();
      MemorySegment map =
          size == 0 ? MemorySegment.NULL : channel.map(MapMode.READ_ONLY, 0, size, arena);
      return new MappedFile(path, name, channel, arena, map, key(path));
    } catch (IOException | RuntimeException | Error failure) {
      arena.close();
      channel.close();
      throw failure;
    }
  }

  private static Object key(Path path) throws IOException {
    try {
      return attributes(path).fileKey();
    } catch (NoSuchFileException _) {
      return null; // It lost its name on purpose.
    }
  }

  /// Refuses what has no bytes at offsets, before it is opened: the other end of a pipe may never
  /// come.
  ///
  /// @throws IOException if the path is missing, or neither a regular file nor a block device
  public static void requireMappable(Path path) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString(), null, "no such file");
    }
    if (Files.isDirectory(path)) {
      throw new IOException(path + ": is a directory, not a file");
    }
    int type = (int) Files.getAttribute(path, "unix:mode") & TYPE_OF_FILE;
    if (type != REGULAR_FILE && type != BLOCK_DEVICE) {
      throw new IOException(
          path + ": expected a regular file or a block device, got a pipe, socket or other device");
    }
  }

  private static BasicFileAttributes attributes(Path path) throws IOException {
    return Files.readAttributes(path, BasicFileAttributes.class);
  }

  public Path path() {
    return path;
  }

  /// Whether the file has another length now than when it was mapped, in a sentence. A file that
  /// was removed or replaced since is still the one that is mapped, and has not changed.
  ///
  /// @throws IOException if the system cannot tell any more (a stale mount)
  public Optional<String> changed() throws IOException {
    try {
      BasicFileAttributes now = attributes(path);
      return !now.isRegularFile() || !Objects.equals(now.fileKey(), key) || now.size() == size()
          ? Optional.empty()
          : Optional.of(
              "[%s] the file %s from %d to %d bytes while it was read"
                  .formatted(name, now.size() < size() ? "shrank" : "grew", size(), now.size()));
    } catch (NoSuchFileException _) {
      return Optional.empty();
    }
  }

  /// The open file itself, for readers of a stream: by absolute positions only.
  public FileChannel channel() {
    return channel;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long size() {
    return map.byteSize();
  }

  @Override
  public MemorySegment slice(long offset, long byteCount) throws MalformedFileException {
    claim(offset, byteCount);
    return map.asSlice(offset, byteCount);
  }

  /// A walk over all slabs copies each of their pages: not through the map, and without a view of
  /// each. What cannot be read this way is asked of the map, which tells why.
  @Override
  public void copy(long offset, byte[] into, int byteCount, ReadAhead ahead)
      throws MalformedFileException {
    requireInside(offset, byteCount);
    try {
      // An interrupt closes the channel for good.
      if (channel.isOpen() && ahead.copy(channel, offset, into, byteCount)) {
        return;
      }
    } catch (IOException _) {
      // The map tells why.
    }
    claim(offset, byteCount);
    MemorySegment.copy(map, ValueLayout.JAVA_BYTE, offset, into, 0, byteCount);
    settle();
  }

  @Override
  public long nextData(long offset) {
    SparseFile file = sparse;
    return (file == null ? sparse() : file).nextData(offset);
  }

  private synchronized SparseFile sparse() {
    if (sparse == null) {
      boolean isThere;
      try {
        isThere = key != null && Objects.equals(attributes(path).fileKey(), key);
      } catch (IOException _) {
        isThere = false;
      }
      sparse = isThere ? SparseFile.open(path, size()) : SparseFile.unknown(size());
    }
    return sparse;
  }

  private void claim(long offset, long byteCount) throws MalformedFileException {
    requireInside(offset, byteCount);
    if (map.byteSize() > RESIDENT_LIMIT) {
      countTouched(offset, byteCount);
    }
  }

  private void requireInside(long offset, long byteCount) throws MalformedFileException {
    if (offset < 0 || byteCount < 0 || offset > map.byteSize() - byteCount) {
      throw MalformedFileException.field(
          name(),
          "range of " + byteCount + " bytes",
          offset,
          "an end within the file's " + map.byteSize() + " bytes",
          "an end beyond it (file truncated?)");
    }
  }

  /// Gives the touched pages of the map back to the system every so often: they are read again on
  /// use, mostly from its cache.
  private void countTouched(long offset, long byteCount) {
    // Shifts: a division of longs is a call where only the quick compiler runs.
    long last = (offset + byteCount - 1) >> FAULT_SHIFT;
    int place = (int) last & (COUNTED - 1);
    long round = touched.get() >> RESIDENT_SHIFT;
    long stamp = ((round << RANGE_BITS) | last) + 1;
    if (counted[place] == stamp && byteCount <= TOUCHED_BY_A_FAULT) {
      return; // Its neighbours were mapped with it.
    }
    counted[place] = stamp;
    long more = Math.max(byteCount, TOUCHED_BY_A_FAULT);
    long before = touched.getAndAdd(more);
    if (before >> RESIDENT_SHIFT != (before + more) >> RESIDENT_SHIFT) {
      map.unload();
    }
  }

  /// Reads a byte at each end of a page, so that a file that shrank is noticed where the page is
  /// asked for and not in a walk far from there.
  public static void touch(MemorySegment page) {
    if (page.byteSize() > 0) {
      // Opaque: a plain read whose value is not used may be left out.
      byte unused = (byte) BYTE.getOpaque(page, 0L);
      unused = (byte) BYTE.getOpaque(page, page.byteSize() - 1);
    }
  }

  /// Has a lost map that this thread met raised here at the latest.
  ///
  /// Compiled code raises it at its next safepoint poll, which may lie behind the handler that
  /// waits for it. On its way back from a native method a thread always looks; this one does
  /// nothing else.
  public static void settle() {
    boolean _ = Thread.holdsLock(BYTE);
  }

  /// Whether this error is the JVM's report of a mapped page that the file no longer has, or that
  /// the device could not read.
  public static boolean isLostMap(InternalError error) {
    String message = error.getMessage();
    return message != null && message.contains("unsafe memory access");
  }

  private synchronized void closeSparse() {
    if (sparse != null) {
      sparse.close();
    }
  }

  @Override
  public void close() {
    try (channel) {
      closeSparse();
      if (arena.scope().isAlive()) {
        arena.close();
      }
    } catch (IOException _) {
      // It was only read.
    }
  }
}
