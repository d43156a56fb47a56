package org.vmcheck.cli;

import java.io.Console;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Set;
import org.vmcheck.archive.CatalogueException;
import org.vmcheck.io.MalformedFileException;
import picocli.CommandLine.Model.CommandSpec;

/// Where a command's text goes.
final class Streams {
  /// Reports hold kernel memory.
  private static final Set<PosixFilePermission> OWNER_ONLY =
      PosixFilePermissions.fromString("rw-------");

  private Streams() {}

  /// Colour only on a terminal, and never against NO_COLOR (https://no-color.org).
  static boolean isColourWanted(CommandSpec spec, Path file) {
    return file == null
        && System.getenv("NO_COLOR") == null
        && !"dumb".equals(System.getenv("TERM"))
        && isTerminal(System.console())
        && spec.commandLine().getOut() != null;
  }

  static boolean isTerminal() {
    return isTerminal(System.console());
  }

  /// The JDK 25 console is null again where there is no terminal (JDK-8351435).
  private static boolean isTerminal(Console console) {
    return console != null && console.isTerminal();
  }

  /// Prints, or writes a file that only its owner can read: reports hold kernel memory.
  static void write(CommandSpec spec, Path file, String text) throws IOException {
    if (file == null) {
      PrintWriter out = spec.commandLine().getOut();
      out.print(text);
      out.flush();
      return;
    }
    write(file, text.getBytes(StandardCharsets.UTF_8), OWNER_ONLY);
  }

  /// Text that comes piece by piece.
  interface Body {
    void write(PrintWriter out) throws IOException;
  }

  /// [#write(CommandSpec, Path, String)] of a text that need not fit into memory.
  static void stream(CommandSpec spec, Path file, Body body) throws IOException {
    if (file == null) {
      PrintWriter out = spec.commandLine().getOut();
      body.write(out);
      out.flush();
      return;
    }
    replace(
        file,
        OWNER_ONLY,
        target -> {
          try (PrintWriter out =
              new PrintWriter(Files.newBufferedWriter(target, StandardCharsets.UTF_8))) {
            body.write(out);
            if (out.checkError()) {
              throw new IOException("not all of it could be written: is the disk full?");
            }
          }
        });
  }

  /// Writes a file that only its owner can read.
  static void write(Path file, byte[] bytes) throws IOException {
    write(file, bytes, OWNER_ONLY);
  }

  /// Replaces a file at once, and leaves it readable for whom it was: numbers without memory, for a
  /// reader that runs as somebody else.
  static void replace(Path file, String text) throws IOException {
    write(
        file,
        text.getBytes(StandardCharsets.UTF_8),
        Files.exists(file) ? Files.getPosixFilePermissions(file) : OWNER_ONLY);
  }

  /// Refuses a file that cannot be written, or that is an input: before the work, not after it.
  ///
  /// @param inputs files that the command reads
  static void requireOutput(Path file, List<Path> inputs)
      throws IOException, Failures.UsageException {
    if (file == null) {
      return;
    }
    if (file.toString().isEmpty() || Files.isDirectory(file)) {
      throw new Failures.UsageException(
          "-o '%s': a directory, and no file to write to".formatted(file));
    }
    Path directory = file.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw new NoSuchFileException(file.toString(), null, "its directory does not exist");
    }
    for (Path input : inputs) {
      if (Files.exists(file) && Files.exists(input) && Files.isSameFile(file, input)) {
        throw new Failures.UsageException(
            "-o %s: it is an input, and would be overwritten".formatted(file));
      }
    }
  }

  private interface Content {
    void writeTo(Path file) throws IOException;
  }

  private static void write(Path named, byte[] bytes, Set<PosixFilePermission> permissions)
      throws IOException {
    replace(named, permissions, file -> Files.write(file, bytes));
  }

  private static void replace(Path named, Set<PosixFilePermission> permissions, Content content)
      throws IOException {
    if (Files.exists(named) && !Files.isRegularFile(named)) {
      if (Files.isDirectory(named)) {
        throw new FileSystemException(named.toString(), null, "is a directory");
      }
      content.writeTo(named); // A device or a pipe is written to and not replaced.
      return;
    }
    Path file = Files.exists(named) ? named.toRealPath() : named;
    Path directory = file.toAbsolutePath().getParent();
    Path temporary =
        Files.createTempFile(
            directory, ".vmcheck", ".tmp", PosixFilePermissions.asFileAttribute(OWNER_ONLY));
    try {
      content.writeTo(temporary);
      Files.setPosixFilePermissions(temporary, permissions);
      Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING);
    } catch (FileSystemException | CatalogueException | MalformedFileException failure) {
      throw failure;
    } catch (IOException failure) {
      // The JDK names no file when a disk is full.
      throw new IOException(file + ": " + failure.getMessage(), failure);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }
}
