package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// What is true of one architecture only stands in `arch`, or in a file that is named here with the
/// reason: a page of 4 KiB, the addresses of x86_64, its page tables.
class ArchitectureConstantsTest {
  private static final Path SOURCES = Path.of("src/main/java/org/vmcheck");

  private static final List<Pattern> OF_ONE_ARCHITECTURE =
      List.of(
          Pattern.compile("\\b4_?096L?\\b|\\b4_?095L?\\b|\\b0xfffL?\\b"),
          Pattern.compile("(>>>?|<<) ?12\\b"),
          Pattern.compile("(?i)0xffff_?(ffff_?[89ab]|8[0-9a-f]{3}|ea00|c900)"),
          Pattern.compile("\\bX86_64\\w*|\\bAarch64\\w*|IMAGE_BASE"));

  private static final String A_BOUND = "a bound on a count or a length that is no page";
  private static final String A_FORMAT = "a number of a file format";
  private static final String LOW_MEMORY =
      "the low 640 KiB are x86_64's, and so are the frames that they are counted in";

  /// Files, or folders that end with a slash, and why such numbers may stand there.
  private static final Map<String, String> ALLOWED =
      Map.ofEntries(
          Map.entry("arch/", "the place for them"),
          Map.entry("lowmem/", LOW_MEMORY),
          Map.entry("check/LowMemoryBackupCheck.java", LOW_MEMORY),
          Map.entry("dump/", A_FORMAT),
          Map.entry("debuginfo/BootImage.java", "asks the deadline every so many bytes"),
          Map.entry("evidence/Bundle.java", "pages are packed in pieces of this size"),
          Map.entry("evidence/Redaction.java", "a report does not tell what its pages' size is"),
          Map.entry("task/Stacks.java", "no kernel has smaller stacks"),
          Map.entry("debuginfo/BtfTypes.java", A_BOUND),
          Map.entry("debuginfo/DwarfAbbreviations.java", A_BOUND),
          Map.entry("kernel/Identity.java", A_BOUND),
          Map.entry("memory/RepagedMemory.java", "the sizes that pages of kernels have"),
          Map.entry("json/OriginReader.java", A_BOUND),
          Map.entry("object/ObjectPass.java", "MAX_ERRNO"),
          Map.entry("page/PageCensus.java", A_BOUND),
          Map.entry("slab/SlabCaches.java", A_BOUND));

  @Test
  void constantsOfOneArchitectureStandInItsPackage() throws IOException {
    Set<String> offences = new TreeSet<>();
    Set<String> used = new TreeSet<>();
    try (Stream<Path> files = Files.walk(SOURCES)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".java")).toList()) {
        String name = SOURCES.relativize(file).toString().replace('\\', '/');
        List<String> lines = Files.readAllLines(file);
        for (int i = 0; i < lines.size(); i++) {
          String code = code(lines.get(i));
          if (!BOUND.matcher(code).find()
              && OF_ONE_ARCHITECTURE.stream().anyMatch(pattern -> pattern.matcher(code).find())) {
            String allowed = allowed(name);
            if (allowed.isEmpty()) {
              offences.add("%s:%d: %s".formatted(name, i + 1, code.strip()));
            } else {
              used.add(allowed);
            }
          }
        }
      }
    }
    assertThat(offences).isEmpty();
    assertThat(used).as("what is allowed and stands nowhere").isEqualTo(ALLOWED.keySet());
  }

  private static String allowed(String file) {
    return ALLOWED.keySet().stream()
        .filter(name -> name.endsWith("/") ? file.startsWith(name) : file.equals(name))
        .findFirst()
        .orElse("");
  }

  /// A constant whose name says that it bounds something, and that no page is meant.
  private static final Pattern BOUND =
      Pattern.compile(
          "\\bstatic final (int|long) (MAX|MOST|LEAST|REACH|SLICE|PLACES|IN_ARRAY)\\w* =");

  /// A line without its comment, and without the texts in it.
  private static String code(String line) {
    String text = line.strip().startsWith("//") ? "" : line;
    int comment = text.indexOf(" // ");
    return (comment < 0 ? text : text.substring(0, comment)).replaceAll("\"[^\"]*\"", "\"\"");
  }
}
