package org.vmcheck.io;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/// Where a file has data and where it has holes, which read as zeros and cost time all the same:
/// lseek(2) with `SEEK_DATA` and `SEEK_HOLE`, which Java has no call for. The map is not touched.
/// Where the system, its file system or the JVM's options do not allow that, all of a file is data.
final class SparseFile implements AutoCloseable {
  /// Of `fcntl.h` and `unistd.h`, the same on every architecture of Linux.
  private static final int READ_ONLY = 0;

  /// `O_NONBLOCK` and `O_CLOEXEC`: should a pipe have taken the name, its other end may never come.
  private static final int NO_WAIT = 04000 | 02000000;

  private static final int SEEK_END = 2;
  private static final int SEEK_DATA = 3;
  private static final int SEEK_HOLE = 4;

  private final int descriptor;
  private final long size;

  /// The stretch of data that was asked for last; a walk asks for each of its pages.
  private volatile Stretch last = new Stretch(0, 0);

  private record Stretch(long from, long to) {}

  private SparseFile(int descriptor, long size) {
    this.descriptor = descriptor;
    this.size = size;
  }

  /// A file of which nothing is known: all of it is data.
  static SparseFile unknown(long size) {
    return new SparseFile(-1, size);
  }

  /// @param path of a file that has this size
  static SparseFile open(Path path, long size) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocateFrom(path.toAbsolutePath().toString());
      int descriptor = (int) Calls.OPEN.invokeExact(name, READ_ONLY | NO_WAIT);
      SparseFile file = new SparseFile(descriptor, size);
      // Another file may have taken the name since.
      if (descriptor >= 0 && file.seek(0, SEEK_END) != size) {
        file.close();
        return unknown(size);
      }
      return file;
    } catch (Throwable _) { // What a method handle may throw.
      return unknown(size);
    }
  }

  /// The first offset at or after `offset` that is not in a hole; the file's size if there is none.
  long nextData(long offset) {
    Stretch stretch = last;
    if (descriptor < 0 || (offset >= stretch.from && offset < stretch.to)) {
      return offset;
    }
    try {
      long data = seek(offset, SEEK_DATA);
      if (data < 0) {
        // ENXIO behind the last data; anything else would be a file system that cannot tell.
        return offset < size && seek(offset, SEEK_HOLE) == offset ? size : offset;
      }
      last = new Stretch(data, Math.max(data, seek(data, SEEK_HOLE)));
      return data;
    } catch (Throwable _) { // What a method handle may throw.
      return offset;
    }
  }

  private long seek(long offset, int whence) throws Throwable {
    return (long) Calls.LSEEK.invokeExact(descriptor, offset, whence);
  }

  @Override
  public void close() {
    if (descriptor >= 0) {
      try {
        int _ = (int) Calls.CLOSE.invokeExact(descriptor);
      } catch (Throwable _) { // It was only asked.
        return;
      }
    }
  }

  /// Loaded where a sparse file is first asked for.
  private static final class Calls {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final SymbolLookup LIBC = LINKER.defaultLookup();

    static final MethodHandle OPEN =
        of(
            "open",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    static final MethodHandle LSEEK =
        of(
            "lseek",
            FunctionDescriptor.of(
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_INT));
    static final MethodHandle CLOSE =
        of("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

    private static MethodHandle of(
        String name, FunctionDescriptor function, Linker.Option... options) {
      return LINKER.downcallHandle(LIBC.find(name).orElseThrow(), function, options);
    }
  }
}
