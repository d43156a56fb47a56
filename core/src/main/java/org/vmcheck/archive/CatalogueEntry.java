package org.vmcheck.archive;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.vmcheck.finding.Note;

/// One incident as the catalogue knows it.
///
/// @param origin the host, or the shared tree, whose file system the location is on
/// @param path of the dump, for people
/// @param state how the incident lies there
/// @param headHash SHA-256 of the dump's first 64 KiB and its size; empty if it was not read
/// @param tailHash of its last 64 KiB
/// @param tool that judged it
/// @param judgedAt when, in seconds since 1970
/// @param verdict one of the four, or [#UNREADABLE]
/// @param problem why there is no verdict, or what beside the dump could not be read; empty if all
///   was read
/// @param crashTime seconds since 1970, 0 if not known
/// @param causes of its findings, each once
/// @param remarks what the side-cars and names say
/// @param vanished whether the last scan of its place no longer found it
/// @param duplicateOf id of an incident with the same content; empty if it is the first or only one
public record CatalogueEntry(
    String origin,
    FileUri location,
    String path,
    State state,
    String host,
    String namedTime,
    long bytes,
    String identity,
    String headHash,
    String tailHash,
    List<String> files,
    String tool,
    long judgedAt,
    double seconds,
    String verdict,
    String summary,
    Problem problemKind,
    String problem,
    String format,
    String release,
    String machine,
    String nodename,
    long crashTime,
    String panic,
    CrashSignature panicSignature,
    CrashSignature damageSignature,
    List<String> causes,
    List<Note> remarks,
    boolean vanished,
    String duplicateOf) {
  /// The verdict of an incident whose dump could not be opened.
  public static final String UNREADABLE = "unreadable";

  public CatalogueEntry {
    files = List.copyOf(files);
    causes = List.copyOf(causes);
    remarks = List.copyOf(remarks);
  }

  /// Whether it counts: copies of one dump do once, kdump's own tests not at all.
  public boolean isCounted() {
    return duplicateOf.isEmpty() && state != State.SELF_TEST;
  }

  public IncidentKey key() {
    return new IncidentKey(origin, location);
  }

  public String id() {
    return key().id();
  }

  /// How an incident lies on disk.
  public enum State {
    COMPLETE,
    INCOMPLETE,
    BEING_WRITTEN,
    /// A saved kernel log, and no dump.
    DMESG_ONLY,
    /// What a dumper says of itself, and neither a dump nor a log.
    NO_DUMP,
    SELF_TEST;

    private static final Map<String, State> BY_WORD =
        Arrays.stream(values()).collect(Collectors.toUnmodifiableMap(State::word, s -> s));

    /// Whether there is nothing that an analysis could judge.
    public boolean isWithoutDump() {
      return this == DMESG_ONLY || this == NO_DUMP;
    }

    /// The word in reports.
    public String word() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static State of(String word) {
      return BY_WORD.getOrDefault(word, COMPLETE);
    }
  }

  /// Why there is no verdict of the analysis, or not all of the incident was read.
  public enum Problem {
    NONE,
    /// The file is no dump, or none that is read here.
    FORMAT,
    /// I/O, permission or resources: another try may do better.
    IO,
    /// A bug of this program.
    BUG
  }
}
