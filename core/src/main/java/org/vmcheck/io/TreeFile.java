package org.vmcheck.io;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Objects;

/// Opens files of a tree that somebody else may change while it is scanned: a link or a pipe that
/// takes a file's place between the look at it and its opening is neither followed nor waited for.
///
/// By `openat2` (Linux 5.6, RESOLVE_NO_SYMLINKS), so that no directory on the way may be a link
/// either; where the system has it not, by `open` with O_NOFOLLOW and O_NONBLOCK.
public final class TreeFile {
  private static final int O_NONBLOCK = 04000;
  private static final int O_CLOEXEC = 02000000;

  /// The architectures with flags of their own have it elsewhere.
  private static final int O_NOFOLLOW =
      switch (System.getProperty("os.arch", "")) {
        case "aarch64", "arm", "ppc64le", "ppc64" -> 0100000;
        default -> 0400000;
      };

  private static final long SYS_OPENAT2 = 437;
  private static final long AT_FDCWD = -100;
  private static final long RESOLVE_NO_SYMLINKS = 4;

  private static final int EPERM = 1;
  private static final int ENOENT = 2;
  private static final int EACCES = 13;
  private static final int EINVAL = 22;
  private static final int ENOSYS = 38;
  private static final int ELOOP = 40;

  private TreeFile() {}

  /// Opens a regular file for reading.
  ///
  /// @param path without links, as a walk that follows none has met it
  /// @throws IOException if it is not there, may not be read, or is no regular file any more
  public static FileChannel open(Path path) throws IOException {
    Path absolute = path.toAbsolutePath();
    if (!Calls.AVAILABLE) {
      return openByComparing(absolute);
    }
    int fd = Calls.open(absolute);
    try {
      Path opened = Path.of("/proc/self/fd/" + fd);
      if (!Files.isRegularFile(opened)) {
        throw new IOException(path + ": is no regular file any more");
      }
      // The same file, whatever its name leads to by now.
      return FileChannel.open(opened, StandardOpenOption.READ);
    } finally {
      Calls.close(fd);
    }
  }

  /// [#open] as a stream.
  public static InputStream stream(Path path) throws IOException {
    return Channels.newInputStream(open(path));
  }

  /// Where no foreign function can be called: a pipe that comes in between may hold this up.
  private static FileChannel openByComparing(Path path) throws IOException {
    Object before = key(path);
    FileChannel channel =
        FileChannel.open(path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS);
    try {
      if (!Objects.equals(before, key(path))) {
        throw new IOException(path + ": was replaced while it was opened");
      }
      return channel;
    } catch (IOException | RuntimeException failure) {
      channel.close();
      throw failure;
    }
  }

  private static Object key(Path path) throws IOException {
    BasicFileAttributes attributes =
        Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
    if (!attributes.isRegularFile()) {
      throw new IOException(path + ": is no regular file any more");
    }
    return attributes.fileKey();
  }

  /// The C library's functions, bound when first needed.
  private static final class Calls {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final MemoryLayout STATE = Linker.Option.captureStateLayout();
    private static final MethodHandle SYSCALL;
    private static final MethodHandle OPEN;
    private static final MethodHandle CLOSE;
    static final boolean AVAILABLE;

    static {
      MethodHandle syscall = null;
      MethodHandle open = null;
      MethodHandle close = null;
      try {
        Linker.Option errno = Linker.Option.captureCallState("errno");
        AddressLayout pointer = ValueLayout.ADDRESS;
        ValueLayout word = ValueLayout.JAVA_LONG;
        ValueLayout number = ValueLayout.JAVA_INT;
        syscall =
            LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow("syscall"),
                FunctionDescriptor.of(word, word, word, pointer, pointer, word),
                Linker.Option.firstVariadicArg(1),
                errno);
        open =
            LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow("open"),
                FunctionDescriptor.of(number, pointer, number),
                Linker.Option.firstVariadicArg(2),
                errno);
        close =
            LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow("close"), FunctionDescriptor.of(number, number));
      } catch (RuntimeException _) {
        close = null; // Not allowed, or not to be had.
      }
      SYSCALL = syscall;
      OPEN = open;
      CLOSE = close;
      AVAILABLE = close != null;
    }

    /// A descriptor.
    static int open(Path path) throws IOException {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment name = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes(path));
        MemorySegment state = arena.allocate(STATE);
        int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        MemorySegment how = arena.allocate(24, 8);
        how.set(ValueLayout.JAVA_LONG, 0, flags);
        how.set(ValueLayout.JAVA_LONG, 16, RESOLVE_NO_SYMLINKS);
        int fd = (int) (long) SYSCALL.invokeExact(state, SYS_OPENAT2, AT_FDCWD, name, how, 24L);
        int error = fd < 0 ? errno(state) : 0;
        if (error == ENOSYS || error == EPERM || error == EINVAL) {
          fd = (int) OPEN.invokeExact(state, name, flags);
          error = fd < 0 ? errno(state) : 0;
        }
        if (error == 0) {
          return fd;
        }
        throw switch (error) {
          case ENOENT -> new NoSuchFileException(path.toString());
          case EACCES, EPERM -> new AccessDeniedException(path.toString());
          case ELOOP -> new IOException(path + ": is a link, or lies behind one, by now");
          default -> new IOException("%s: cannot be opened (errno %d)".formatted(path, error));
        };
      } catch (IOException | RuntimeException | Error known) {
        throw known;
      } catch (Throwable impossible) {
        throw new IllegalStateException(impossible);
      }
    }

    static void close(int fd) {
      try {
        int _ = (int) CLOSE.invokeExact(fd);
      } catch (RuntimeException | Error known) {
        throw known;
      } catch (Throwable impossible) {
        throw new IllegalStateException(impossible);
      }
    }

    private static int errno(MemorySegment state) {
      return state.get(ValueLayout.JAVA_INT, 0);
    }

    /// The bytes of the name as the system has them, and a NUL: they may be text in no charset.
    private static byte[] bytes(Path path) {
      String encoded = path.toUri().getRawPath();
      byte[] bytes = new byte[encoded.length() + 1];
      int length = 0;
      for (int i = 0; i < encoded.length(); i++) {
        char c = encoded.charAt(i);
        if (c == '%') {
          c = (char) Integer.parseInt(encoded, i + 1, i + 3, 16);
          i += 2;
        }
        bytes[length++] = (byte) c;
      }
      return java.util.Arrays.copyOf(bytes, length + 1);
    }
  }
}
