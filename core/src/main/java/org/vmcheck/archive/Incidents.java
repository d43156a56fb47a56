package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.FileVisitResult;
import java.nio.file.FileVisitor;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.Sha256;
import org.vmcheck.io.TreeFile;

/// Finds the incidents in a tree: the conventions of `/var/crash`. What a file is, its first bytes
/// decide; names only hint at host, time and what belongs together. Links are not followed.
public final class Incidents {
  /// Deeper than any archive; a bound for a walk that a file system could make endless.
  private static final int MAX_DEPTH = 64;

  /// A directory with more files than this is not looked at beyond them.
  private static final int MAX_FILES = 200_000;

  private static final int SNIFF_BYTES = 64;

  /// How dumps are packed that are worth an attempt; of the last two the attempt says what they
  /// are.
  private static final List<FileMagic> PACKED =
      List.of(
          FileMagic.GZIP,
          FileMagic.BZIP2,
          FileMagic.XZ,
          FileMagic.ZSTD,
          FileMagic.LZ4,
          FileMagic.ZIP,
          FileMagic.SEVEN_ZIP,
          FileMagic.LZOP);

  private static final String STAT = "unix:size,lastModifiedTime,ctime,ino,dev,nlink";

  /// Directories of kdump's own tests begin with this.
  private static final String SELF_TEST = "kdump-test-";

  /// Names that promise a dump: a file of such a name is an incident even if its bytes are none.
  private static final Pattern DUMP_NAME =
      Pattern.compile(
          "(vmcore|opalcore|dump)(\\.flat)?|vmcore-incomplete|dump-incomplete(\\.\\w+)?"
              + "|(dump|vmcore|kdump)\\.\\d{12}(\\.(gz|bz2|xz|lz4|zst))?|.+\\.vmcore");

  /// Names that make a packed file worth a look inside.
  private static final Pattern PACKED_NAME = Pattern.compile("(?i).*(vmcore|dump|core|crash).*");

  private static final Pattern TIME_STAMP = Pattern.compile("(?:^|\\D)(\\d{12})(?:\\D|$)");

  /// The number at the end of the name of a part of a split dump.
  private static final Pattern PART = Pattern.compile("(.*?)[._-]?(?:part)?[._-]?\\d{1,3}");

  private static final List<Pattern> DIRECTORIES =
      List.of(
          Pattern.compile(
              "(?<host>.+)-(?<time>\\d{4}[-.]\\d{2}[-.]\\d{2}-\\d{2}[:_.-]\\d{2}[:_.-]\\d{2})"),
          Pattern.compile("(?:(?<host>.+)-)?(?<time>\\d{12})"),
          Pattern.compile("(?:(?<host>.+)-)?(?<time>\\d{4}-\\d{2}-\\d{2}-\\d{2}[-:]\\d{2})"));

  /// Told what the walk meets.
  public interface Sink {
    void incident(Incident incident);

    /// Something that could not be looked at.
    ///
    /// @param complete false if there may be incidents at this place that were not seen
    void problem(FileUri where, String what, boolean complete);
  }

  private enum Content {
    DUMP,
    PACKED,
    OTHER
  }

  private record Candidate(Path path, BasicFileAttributes attributes, String name) {}

  private final Sink sink;
  private final Deque<List<Candidate>> folders = new ArrayDeque<>();

  private Incidents(Sink sink) {
    this.sink = sink;
  }

  /// Walks a directory, or looks at one file.
  ///
  /// @throws IOException if the root itself is not there or cannot be read
  public static void find(Path root, Sink sink) throws IOException {
    Path real = root.toRealPath();
    Incidents finder = new Incidents(sink);
    if (Files.isRegularFile(real)) {
      BasicFileAttributes attributes = Files.readAttributes(real, BasicFileAttributes.class);
      finder.folder(List.of(new Candidate(real, attributes, name(real))));
      return;
    }
    try (DirectoryStream<Path> _ = Files.newDirectoryStream(real)) {
      // Only to learn whether the root can be read: below it, the walk reports what cannot.
    }
    Files.walkFileTree(
        real, EnumSet.noneOf(java.nio.file.FileVisitOption.class), MAX_DEPTH, finder.new Visitor());
  }

  /// Looks at the incidents that some files belong to, with all that lies beside them.
  ///
  /// @param files dumps, their parts or side-cars; one that is not there is a problem
  static void ofFiles(Collection<Path> files, Sink sink) throws IOException {
    Map<Path, Set<String>> folders = new LinkedHashMap<>();
    for (Path file : files) {
      Path absolute = file.toAbsolutePath();
      Path directory = absolute.getParent();
      if (directory == null || !Files.isRegularFile(absolute, LinkOption.NOFOLLOW_LINKS)) {
        sink.problem(FileUri.of(absolute), "no such file", false);
        continue;
      }
      folders
          .computeIfAbsent(directory.toRealPath(), _ -> new HashSet<>())
          .add(FileUri.of(directory.toRealPath().resolve(absolute.getFileName())).words());
    }
    for (Map.Entry<Path, Set<String>> folder : folders.entrySet()) {
      Sink wanted =
          new Sink() {
            @Override
            public void incident(Incident incident) {
              if (incident.files().stream().anyMatch(folder.getValue()::contains)) {
                sink.incident(incident);
              }
            }

            @Override
            public void problem(FileUri where, String what, boolean complete) {
              sink.problem(where, what, complete);
            }
          };
      Incidents finder = new Incidents(wanted);
      Files.walkFileTree(
          folder.getKey(),
          EnumSet.noneOf(java.nio.file.FileVisitOption.class),
          1,
          finder.new Flat());
    }
  }

  /// Gathers the files of one directory, and leaves those below alone.
  private final class Flat extends Visitor {
    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      return attributes.isDirectory()
          ? FileVisitResult.CONTINUE
          : super.visitFile(file, attributes);
    }
  }

  /// Gathers the files of each directory on the way.
  private class Visitor implements FileVisitor<Path> {
    @Override
    public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
      folders.push(new ArrayList<>());
      return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      if (attributes.isDirectory()) {
        sink.problem(FileUri.of(file), "more than " + MAX_DEPTH + " directories deep", false);
      } else if (attributes.isRegularFile() && !folders.isEmpty()) {
        List<Candidate> folder = folders.peek();
        if (folder.size() < MAX_FILES) {
          folder.add(new Candidate(file, attributes, name(file)));
        } else if (folder.size() == MAX_FILES) {
          folder.add(new Candidate(file, attributes, name(file)));
          sink.problem(
              FileUri.of(file.getParent()),
              "more than %,d files: the rest is not looked at".formatted(MAX_FILES),
              false);
        }
      }
      return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult visitFileFailed(Path file, IOException failure) {
      sink.problem(FileUri.of(file), words(failure), false);
      return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult postVisitDirectory(Path directory, IOException failure) {
      if (failure != null) {
        sink.problem(FileUri.of(directory), words(failure), false);
      }
      folder(folders.pop());
      return FileVisitResult.CONTINUE;
    }
  }

  private static String name(Path path) {
    return path.getFileName() == null ? "" : path.getFileName().toString();
  }

  static String words(IOException failure) {
    return switch (failure) {
      case AccessDeniedException _ -> "permission denied";
      case NoSuchFileException _ -> "no such file or directory";
      case FileSystemException file when file.getReason() != null -> file.getReason();
      default -> String.valueOf(failure.getMessage());
    };
  }

  /// Sorts the files of one directory into incidents.
  private void folder(List<Candidate> files) {
    List<Candidate> dumps = new ArrayList<>();
    List<Candidate> sideCars = new ArrayList<>();
    for (Candidate file : files) {
      if (SideCar.Kind.byName(file.name).isPresent()) {
        sideCars.add(file);
      } else if (isDump(file)) {
        dumps.add(file);
      }
    }
    List<List<Candidate>> groups = withParts(dumps);
    Map<List<Candidate>, List<SideCar>> owned = new LinkedHashMap<>();
    groups.forEach(group -> owned.put(group, new ArrayList<>()));
    List<Candidate> orphans = new ArrayList<>();
    for (Candidate file : sideCars) {
      SideCar sideCar = sideCar(file);
      Optional<List<Candidate>> owner = owner(file, groups);
      if (owner.isPresent()) {
        owned.get(owner.get()).add(sideCar);
      } else {
        orphans.add(file);
      }
    }
    withoutDump(orphans, groups.isEmpty());
    owned.forEach((group, cars) -> report(group, cars, group));
  }

  private static SideCar sideCar(Candidate file) {
    return new SideCar(
        SideCar.Kind.byName(file.name).orElseThrow(), file.path, file.attributes.size());
  }

  /// Side-cars that belong to no dump: each log is the trace of a crash. Without a log, what the
  /// dumper says of itself is one, if the directory is one that dumpers make: others have a
  /// README.txt too.
  private void withoutDump(List<Candidate> orphans, boolean alone) {
    List<Candidate> logs = new ArrayList<>();
    List<SideCar> others = new ArrayList<>();
    for (Candidate file : orphans) {
      SideCar sideCar = sideCar(file);
      if (sideCar.kind() == SideCar.Kind.DMESG && sideCar.bytes() > 0) {
        logs.add(file);
      } else {
        others.add(sideCar);
      }
    }
    if (logs.size() == 1) {
      List<SideCar> all = new ArrayList<>(List.of(sideCar(logs.getFirst())));
      all.addAll(others);
      report(List.of(), all, logs);
      return;
    }
    logs.forEach(log -> report(List.of(), List.of(sideCar(log)), List.of(log)));
    if (logs.isEmpty() && alone && !others.isEmpty()) {
      Path directory = orphans.getFirst().path.getParent();
      String name = directory == null ? "" : name(directory);
      if (name.startsWith(SELF_TEST)
          || DIRECTORIES.stream().anyMatch(pattern -> pattern.matcher(name).matches())) {
        report(List.of(), others, List.of(orphans.getFirst()));
      }
    }
  }

  /// A file beside one dump is that dump's; beside several, the one with its time stamp.
  private static Optional<List<Candidate>> owner(Candidate sideCar, List<List<Candidate>> groups) {
    String stamp = timeStamp(sideCar.name);
    for (List<Candidate> group : groups) {
      String other = timeStamp(group.getFirst().name);
      if ((!stamp.isEmpty() && stamp.equals(other))
          || (groups.size() == 1 && (stamp.isEmpty() || other.isEmpty()))) {
        return Optional.of(group);
      }
    }
    return Optional.empty();
  }

  private static String timeStamp(String name) {
    Matcher matcher = TIME_STAMP.matcher(name);
    return matcher.find() ? matcher.group(1) : "";
  }

  /// Puts the parts of split dumps together. Only files whose names differ in a number at the end
  /// are opened for it.
  private static List<List<Candidate>> withParts(List<Candidate> dumps) {
    Map<String, List<Candidate>> stems = new TreeMap<>();
    for (Candidate dump : dumps) {
      Matcher part = PART.matcher(dump.name);
      boolean numbered = timeStamp(dump.name).isEmpty() && part.matches();
      stems.computeIfAbsent(numbered ? part.group(1) : dump.name, _ -> new ArrayList<>()).add(dump);
    }
    List<List<Candidate>> groups = new ArrayList<>();
    for (List<Candidate> alike : stems.values()) {
      if (alike.size() == 1) {
        groups.add(alike);
        continue;
      }
      Map<Path, Candidate> byPath = new LinkedHashMap<>();
      alike.forEach(file -> byPath.put(file.path, file));
      for (List<Path> parts : Dumps.groupInTree(List.copyOf(byPath.keySet()))) {
        groups.add(
            parts.stream().map(byPath::get).sorted(Comparator.comparing(Candidate::name)).toList());
      }
    }
    return groups;
  }

  private boolean isDump(Candidate file) {
    if (DUMP_NAME.matcher(file.name).matches()) {
      // A dump by its name: opening it will say what is wrong, in the catalogue too. Not looking
      // inside here is half the time of a rescan.
      return true;
    }
    try {
      return switch (content(file)) {
        case DUMP -> true;
        case PACKED -> PACKED_NAME.matcher(file.name).matches();
        case OTHER -> false;
      };
    } catch (IOException failure) {
      sink.problem(FileUri.of(file.path), words(failure), false);
      return false;
    }
  }

  private static Content content(Candidate file) throws IOException {
    if (file.attributes.size() < 16) {
      return Content.OTHER;
    }
    byte[] start;
    try (InputStream in = TreeFile.stream(file.path)) {
      start = in.readNBytes(SNIFF_BYTES);
    }
    if (Dumps.isDump(start)) {
      return Content.DUMP;
    }
    for (FileMagic magic : PACKED) {
      if (magic.startsWith(start)) {
        return Content.PACKED;
      }
    }
    return file.name.endsWith(".tar") ? Content.PACKED : Content.OTHER;
  }

  private void report(List<Candidate> dump, List<SideCar> sideCars, List<Candidate> main) {
    Path first = main.getFirst().path;
    Path directory = first.getParent();
    String directoryName = directory == null ? "" : name(directory);
    String host = "";
    String time = timeStamp(name(first));
    for (Pattern pattern : DIRECTORIES) {
      Matcher matcher = pattern.matcher(directoryName);
      if (matcher.matches()) {
        host = Optional.ofNullable(matcher.group("host")).orElse("");
        time = matcher.group("time");
        break;
      }
    }
    try {
      long bytes = 0;
      StringBuilder identity = new StringBuilder();
      List<Path> parts = new ArrayList<>();
      for (Candidate file : dump) {
        parts.add(file.path);
      }
      for (Candidate file : main) {
        bytes += file.attributes.size();
      }
      List<Path> all = new ArrayList<>(parts);
      sideCars.forEach(car -> all.add(car.path()));
      String link = "";
      for (Path file : all) {
        Map<String, Object> stat = Files.readAttributes(file, STAT, LinkOption.NOFOLLOW_LINKS);
        identity.append(stamp(file, stat)).append('\n');
        if (file.equals(first) && (Integer) stat.get("nlink") > 1 && parts.size() == 1) {
          link = stat.get("dev") + ":" + stat.get("ino");
        }
      }
      sink.incident(
          new Incident(
              FileUri.of(first),
              parts,
              sideCars,
              bytes,
              HexFormat.of().formatHex(Sha256.of(identity.toString()), 0, 16),
              host,
              time,
              directoryName.startsWith(SELF_TEST),
              name(first).contains("-incomplete"),
              link));
    } catch (IOException failure) {
      sink.problem(FileUri.of(first), words(failure), false);
    }
  }

  private static String stamp(Path file, Map<String, Object> stat) {
    return FileUri.of(file).uri()
        + ' '
        + stat.get("size")
        + ' '
        + ((FileTime) stat.get("lastModifiedTime")).to(TimeUnit.NANOSECONDS)
        + ' '
        + ((FileTime) stat.get("ctime")).to(TimeUnit.NANOSECONDS);
  }
}
