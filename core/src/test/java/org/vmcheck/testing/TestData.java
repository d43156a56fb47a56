package org.vmcheck.testing;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.tukaani.xz.SingleXZInputStream;

/// The real dumps of `testdata/`, one folder each, with the truth that was planted.
///
/// @param folder of the dump
/// @param verdict expected
/// @param causes any of which is right; empty for a healthy dump
/// @param slot address of the word that was damaged; 0 if none was
/// @param physical of the same word
/// @param cache empty if none
public record TestData(
    Path folder,
    String verdict,
    List<String> causes,
    long slot,
    long physical,
    String cache,
    long object) {

  private static final String PACKED = "dump.xz";
  private static final Map<Path, Path> UNPACKED = new ConcurrentHashMap<>();

  /// The project's root, from whichever module the test runs in.
  public static Path root() {
    Path at = Path.of("").toAbsolutePath();
    while (!Files.isDirectory(at.resolve("testdata"))) {
      at = at.getParent();
    }
    return at;
  }

  /// Every folder with a dump, packed ones too.
  public static List<TestData> all() throws Exception {
    return having("dump", PACKED);
  }

  /// The folders whose dumps are stored as they are: small, for tests that check each many times.
  public static List<TestData> small() throws Exception {
    return having("dump");
  }

  private static List<TestData> having(String... names) throws Exception {
    try (Stream<Path> folders = Files.list(root().resolve("testdata"))) {
      List<TestData> all = new java.util.ArrayList<>();
      for (Path folder : folders.sorted().toList()) {
        if (Stream.of(names).anyMatch(name -> Files.exists(folder.resolve(name)))) {
          all.add(read(folder));
        }
      }
      return all;
    }
  }

  public static TestData named(String name) throws Exception {
    return read(root().resolve("testdata").resolve(name));
  }

  /// The dump's file; a packed one is unpacked once a run into a temporary file.
  public Path dump() {
    Path plain = folder.resolve("dump");
    return Files.exists(plain)
        ? plain
        : UNPACKED.computeIfAbsent(folder.resolve(PACKED), TestData::unpack);
  }

  private static Path unpack(Path packed) {
    try (InputStream in = new SingleXZInputStream(Files.newInputStream(packed))) {
      Path plain = Files.createTempFile("vmcheck-testdata", ".dump");
      plain.toFile().deleteOnExit();
      Files.copy(in, plain, StandardCopyOption.REPLACE_EXISTING);
      return plain;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public boolean isHealthy() {
    return causes.isEmpty();
  }

  @Override
  public String toString() {
    return folder.getFileName().toString();
  }

  private static TestData read(Path folder) throws Exception {
    String json = Files.readString(folder.resolve("expected.json"));
    Matcher causes = Pattern.compile("\"causes\":\\s*\\[([^\\]]*)\\]").matcher(json);
    List<String> names =
        causes.find()
            ? Pattern.compile("\"([a-z-]+)\"")
                .matcher(causes.group(1))
                .results()
                .map(r -> r.group(1))
                .toList()
            : List.of();
    return new TestData(
        folder,
        field(json, "verdict").orElseThrow(),
        names,
        number(json, "slot"),
        number(json, "physical"),
        field(json, "cache").orElse(""),
        number(json, "object"));
  }

  private static Optional<String> field(String json, String name) {
    Matcher matcher = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
    return matcher.find() ? Optional.of(matcher.group(1)) : Optional.empty();
  }

  private static long number(String json, String name) {
    return field(json, name).map(hex -> Long.parseUnsignedLong(hex.substring(2), 16)).orElse(0L);
  }
}
