package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.UnsupportedFormatException;

/// The list of dump formats: adding one takes its file and one line here.
public final class Dumps {
  private static final List<DumpFormat> FORMATS = List.of(new KdumpFormat(), new ElfDumpFormat());

  /// What is shorter is not taken for a dump unless the user says so.
  private static final int MIN_BYTES = 16;

  private Dumps() {}

  /// The formats that are read, by the names that reports call them.
  public static List<String> formatNames() {
    return FORMATS.stream().map(DumpFormat::name).toList();
  }

  /// Opens a dump in one file.
  ///
  /// @throws MalformedFileException if it breaks its format's rules where it must be understood
  /// @throws UnsupportedFormatException if it is no dump, or of a kind that is not read here
  /// @throws IOException if the file cannot be read at all
  public static Dump open(Path path) throws IOException {
    return open(List.of(path), OpenOptions.DEFAULT);
  }

  /// Opens a dump in one file, or a split one from its parts, given in any order. Parts that are
  /// not given are named in the container's remarks; their pages read as damaged (missing part).
  ///
  /// @throws MalformedFileException as above, or if the files are not parts of one dump
  public static Dump open(List<Path> paths) throws IOException {
    return open(paths, OpenOptions.DEFAULT);
  }

  public static Dump open(List<Path> paths, OpenOptions options) throws IOException {
    List<OpenFile> files = new ArrayList<>();
    try {
      for (Path path : paths) {
        files.addAll(Unpacking.open(path, options));
      }
      return refuseXen(assemble(files, options.raw()));
    } catch (IOException | RuntimeException failure) {
      close(files);
      throw failure;
    } catch (InternalError lost) {
      close(files);
      if (MappedFile.isLostMap(lost)) {
        throw new IOException(
            paths.getFirst() + ": the file changed or failed while it was being opened", lost);
      }
      throw lost;
    }
  }

  /// Sorts files into dumps: the parts of a split dump together, every other file alone. A file
  /// that cannot be read stands alone, so that opening it says why.
  public static List<List<Path>> group(List<Path> paths) {
    return SplitParts.group(paths, false);
  }

  /// [#group(List)] of files of a tree that is scanned, where links are not followed.
  public static List<List<Path>> groupInTree(List<Path> paths) {
    return SplitParts.group(paths, true);
  }

  private static void close(List<OpenFile> files) {
    for (OpenFile file : files) {
      file.map().close();
    }
  }

  /// A dump of a Xen host holds machine memory, in which no guest's kernel lies in one piece.
  private static Dump refuseXen(Dump dump) throws UnsupportedFormatException {
    for (ElfNote note : dump.notes()) {
      if (note.name().equals("Xen") || note.name().equals("VMCOREINFO_XEN")) {
        throw new UnsupportedFormatException(
            "[%s] looks like the dump of a Xen host (note %s), which is not supported: crash reads it"
                .formatted(dump.path().getFileName(), note.name()));
      }
    }
    return dump;
  }

  private static Dump assemble(List<OpenFile> files, boolean raw) throws IOException {
    if (raw) {
      return flat(files);
    }
    if (files.size() == 1) {
      return formatOf(files.getFirst()).open(files.getFirst());
    }
    DumpFormat split = new KdumpFormat();
    for (OpenFile file : files) {
      Optional<String> whyNot = split.whyNot(start(file.source()));
      if (whyNot.isPresent()) {
        throw new MalformedFileException(
            "[%s] no part of a split dump: %s".formatted(file.source().name(), whyNot.get()));
      }
    }
    return KdumpDump.open(files);
  }

  /// Flat memory, where the user says that it is: a file with a header is none.
  private static Dump flat(List<OpenFile> files) throws IOException {
    OpenFile file = files.getFirst();
    if (files.size() > 1) {
      throw new MalformedFileException(
          "[%s] flat memory lies in one file, got %d"
              .formatted(file.source().name(), files.size()));
    }
    ByteView start = start(file.source());
    for (DumpFormat format : FORMATS) {
      if (format.whyNot(start).isEmpty()) {
        throw new UnsupportedFormatException(
            "[%s] is no flat memory but a dump of format %s: it is read without --raw"
                .formatted(file.source().name(), format.name()));
      }
    }
    return RawDump.open(file);
  }

  /// The format of a file; explains every "no".
  static DumpFormat formatOf(OpenFile file) throws IOException {
    ByteSource source = file.source();
    String name = source.name();
    if (source.size() == 0) {
      throw new MalformedFileException("[" + name + "] the file is empty");
    }
    ByteView start = start(source);
    List<String> reasons = new ArrayList<>();
    for (DumpFormat format : FORMATS) {
      Optional<String> whyNot = format.whyNot(start);
      if (whyNot.isEmpty()) {
        return format;
      }
      reasons.add(format.name() + ": " + whyNot.get());
    }
    if (source instanceof FlattenedSource stream && stream.heldFrom(0, 8) < 8) {
      throw new MalformedFileException(
          "[%s] flattened stream: expected a record with the dump's first bytes, got none in %d"
                  .formatted(name, stream.recordCount())
              + " records (file truncated?)");
    }
    Optional<String> foreign = ForeignFormats.recognise(source);
    throw new UnsupportedFormatException(
        "["
            + name
            + "] "
            + foreign.orElseGet(() -> "no known dump format: " + String.join("; ", reasons)));
  }

  /// A file's start, as far as [DumpFormat] asks for it.
  static ByteView start(ByteSource source) throws IOException {
    return source.view("start of file", 0, Math.min(FileMagic.HEAD_BYTES, source.size()), false);
  }

  /// Whether the first bytes are those of a file that is opened as a dump here.
  static boolean looksLikeDump(ByteView start) {
    return isStart(start, format -> format.whyNot(start).isEmpty());
  }

  /// Whether a file is a dump by its first bytes alone, where its name says nothing.
  public static boolean isDump(byte[] start) {
    ByteView view = ByteView.of("start", start);
    return isStart(view, format -> format.isDump(view));
  }

  private static boolean isStart(ByteView start, Predicate<DumpFormat> isOf) {
    return start.size() >= MIN_BYTES
        && (FileMagic.FLATTENED.startsWith(start) || FORMATS.stream().anyMatch(isOf));
  }

  /// The first bytes as hexadecimal pairs, for messages.
  static String firstBytes(ByteView view, int count) {
    StringBuilder hex = new StringBuilder();
    for (int i = 0; i < Math.min(count, view.size()); i++) {
      hex.append(i == 0 ? "" : " ").append("%02x".formatted(view.u8(i)));
    }
    return hex.toString();
  }
}
