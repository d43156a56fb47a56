package org.vmcheck.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.vmcheck.report.HtmlSite;

/// A directory that a site is written into. A reader sees each file whole, old or new; the index
/// comes last, and what an earlier export had and this one has not goes after it.
final class SiteDirectory implements HtmlSite.Pages {
  /// A file that says whose directory this is: in no other is anything removed.
  private static final String MARK = ".vmcheck-site";

  /// The files of an export, and what one that was killed left behind.
  private static final Pattern PAGE =
      Pattern.compile("more-\\d+\\.html|incident/[0-9a-f]{2}/[0-9a-f]{12}\\.html|.*\\.vmcheck-new");

  private final Path directory;
  private final Set<PosixFilePermission> permissions;
  private final Set<String> written = new HashSet<>();
  private final Set<Path> made = new HashSet<>();

  private SiteDirectory(Path directory, Set<PosixFilePermission> permissions) {
    this.directory = directory;
    this.permissions = permissions;
  }

  /// @throws Failures.UsageException if something else is in it
  static SiteDirectory open(Path directory) throws IOException, Failures.UsageException {
    Path index = directory.resolve(HtmlSite.INDEX);
    Path mark = directory.resolve(MARK);
    if (Files.exists(directory) && !Files.isDirectory(directory)) {
      throw new FileSystemException(directory.toString(), null, "is no directory");
    }
    if (Files.isDirectory(directory) && !Files.isRegularFile(mark, LinkOption.NOFOLLOW_LINKS)) {
      try (Stream<Path> files = Files.list(directory)) {
        if (files.findAny().isPresent()) {
          throw new Failures.UsageException(
              "-o '%s': there are other files in it, and no site of an earlier export"
                  .formatted(directory));
        }
      }
    }
    if (!Files.isDirectory(directory)) {
      // Reports hold kernel memory.
      Files.createDirectory(
          directory,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
    SiteDirectory site =
        new SiteDirectory(
            directory,
            Files.isRegularFile(index, LinkOption.NOFOLLOW_LINKS)
                ? Files.getPosixFilePermissions(index)
                : PosixFilePermissions.fromString("rw-------"));
    if (!Files.isRegularFile(mark, LinkOption.NOFOLLOW_LINKS)) {
      Files.writeString(
          mark,
          "A site that 'vmcheck catalogue export' writes, and clears.\n",
          StandardOpenOption.CREATE_NEW,
          StandardOpenOption.WRITE);
    }
    return site;
  }

  @Override
  public void page(String name, String html) throws IOException {
    Path file = directory.resolve(name);
    Path parent = file.getParent();
    if (made.add(parent)) {
      makeDirectories(parent);
    }
    Path fresh = file.resolveSibling(file.getFileName() + ".vmcheck-new");
    Files.deleteIfExists(fresh);
    Files.createFile(fresh, PosixFilePermissions.asFileAttribute(permissions));
    try {
      Files.write(fresh, html.getBytes(StandardCharsets.UTF_8));
    } catch (FileSystemException failure) {
      throw failure;
    } catch (IOException failure) {
      // The JDK names no file when a disk is full.
      throw new IOException(file + ": " + failure.getMessage(), failure);
    }
    // What the umask took away.
    Files.setPosixFilePermissions(fresh, permissions);
    Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
    written.add(name);
  }

  /// Makes what is missing; who may read the files may enter the directories.
  private void makeDirectories(Path wanted) throws IOException {
    if (wanted.equals(directory)) {
      return;
    }
    makeDirectories(wanted.getParent());
    if (Files.exists(wanted, LinkOption.NOFOLLOW_LINKS)) {
      if (!Files.isDirectory(wanted, LinkOption.NOFOLLOW_LINKS)) {
        throw new FileSystemException(wanted.toString(), null, "is no directory of a site");
      }
      return;
    }
    Set<PosixFilePermission> enter = EnumSet.copyOf(permissions);
    enter.add(PosixFilePermission.OWNER_EXECUTE);
    if (permissions.contains(PosixFilePermission.GROUP_READ)) {
      enter.add(PosixFilePermission.GROUP_EXECUTE);
    }
    if (permissions.contains(PosixFilePermission.OTHERS_READ)) {
      enter.add(PosixFilePermission.OTHERS_EXECUTE);
    }
    Files.createDirectory(wanted);
    Files.setPosixFilePermissions(wanted, enter);
  }

  /// Removes the pages that this export did not write.
  void finish() throws IOException {
    List<Path> old;
    try (Stream<Path> files = Files.walk(directory)) {
      old =
          files
              .filter(file -> Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
              .filter(
                  file -> {
                    String name = directory.relativize(file).toString();
                    return PAGE.matcher(name).matches() && !written.contains(name);
                  })
              .toList();
    }
    for (Path file : old) {
      Files.delete(file);
    }
  }
}
