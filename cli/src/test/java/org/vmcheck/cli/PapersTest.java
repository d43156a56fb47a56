package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.Identity;
import org.vmcheck.testing.TestData;

/// README and the papers beside it say what is there and what runs.
class PapersTest {
  private static final Path ROOT = TestData.root();
  private static final Path MANUAL = ROOT.resolve("cli/src/main/resources/org/vmcheck/cli/man");

  /// A command behind which the words `--help` are typed instead of a dump's name, as the line
  /// stands for several.
  private static final Pattern SEVERAL = Pattern.compile("(\\w+\\|)+\\w+");

  private static final Pattern LINK = Pattern.compile("\\]\\(([^):#]+)(?:#[^)]*)?\\)");

  @TempDir private Path dir;

  private record Result(int code, String out, String err) {}

  private static Result run(String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  /// Lines of a text's fenced blocks.
  private static List<String> fenced(Path paper) throws Exception {
    List<String> lines = new ArrayList<>();
    boolean isInside = false;
    for (String line : Files.readAllLines(paper)) {
      if (line.startsWith("```")) {
        isInside = !isInside;
      } else if (isInside) {
        lines.add(line);
      }
    }
    return lines;
  }

  private static List<Path> papers() throws Exception {
    List<Path> papers = new ArrayList<>();
    for (String tree : List.of("", ".github", "core", "testdata", "scripts/lab")) {
      try (Stream<Path> files = Files.list(ROOT.resolve(tree))) {
        files.filter(file -> file.toString().endsWith(".md")).forEach(papers::add);
      }
    }
    papers.addAll(manual());
    return papers;
  }

  private static List<Path> manual() throws Exception {
    try (Stream<Path> files = Files.list(MANUAL)) {
      return files.sorted().toList();
    }
  }

  @Test
  void readmeIsShort() throws Exception {
    assertThat(Files.readAllLines(ROOT.resolve("README.md"))).hasSizeLessThan(250);
  }

  @Test
  void whatTheFirstCommandPrintsIsWhatReadmeSays() throws Exception {
    List<String> shown =
        fenced(ROOT.resolve("README.md")).stream()
            .dropWhile(line -> !line.startsWith("kernel-damaged: "))
            .takeWhile(line -> !line.equals("..."))
            .toList();

    Result result = run(ROOT.resolve("testdata/use-after-free/dump").toString());

    assertThat(shown).hasSizeGreaterThan(40);
    assertThat(result.out.replace(ROOT + "/", "").lines().limit(shown.size()))
        .containsExactlyElementsOf(shown);
  }

  @Test
  void everyLinkLeadsToAFile() throws Exception {
    for (Path paper : papers()) {
      for (MatchResult link : LINK.matcher(Files.readString(paper)).results().toList()) {
        assertThat(paper.resolveSibling(link.group(1)))
            .as("%s: %s", paper, link.group(1))
            .satisfies(file -> assertThat(Files.exists(file)).isTrue());
      }
    }
  }

  @Test
  void everyScriptThatIsNamedCanBeRun() throws Exception {
    Pattern script = Pattern.compile("\\bscripts/[a-z-]++(?:/[a-z-]++)?+(?![.{*/A-Z])");
    for (Path paper : papers()) {
      for (MatchResult named : script.matcher(Files.readString(paper)).results().toList()) {
        Path file = ROOT.resolve(named.group());
        assertThat(Files.isDirectory(file) || Files.isRegularFile(file))
            .as("%s: %s", paper.getFileName(), named.group())
            .isTrue();
      }
    }
  }

  /// Each line of README's and the manual's blocks that begins with `vmcheck` is typed as it
  /// stands, names of files replaced by files; those that come later find what the earlier ones
  /// made.
  @Test
  void everyCommandThatIsShownRuns() throws Exception {
    Map<String, String> files = files();
    List<Path> papers = new ArrayList<>(List.of(ROOT.resolve("README.md")));
    papers.addAll(manual());
    List<String> typed = new ArrayList<>();
    for (Path paper : papers) {
      for (String line : fenced(paper)) {
        if (line.startsWith("vmcheck ") && !typed.contains(line)) {
          typed.add(line);
          Result result = run(words(line, files));
          assertThat(result.code)
              .as("%s: %s: %s", paper.getFileName(), line, result.err)
              .isIn(
                  ExitCode.INTACT,
                  ExitCode.KERNEL_DAMAGED,
                  ExitCode.DUMP_DAMAGED,
                  ExitCode.UNDETERMINED);
        }
      }
    }
    assertThat(typed).hasSizeGreaterThan(30);
  }

  private static String[] words(String line, Map<String, String> files) {
    List<String> words = new ArrayList<>();
    // What it does stands behind two spaces, or behind a number sign.
    for (String word : line.replaceFirst("(  | #).*", "").split(" ")) {
      if (SEVERAL.matcher(word).matches()) {
        return new String[] {words.getLast(), "--help"};
      }
      if (!word.startsWith("[") && !word.equals("vmcheck")) {
        words.add(files.getOrDefault(word, word));
      } else if (words.isEmpty() && !word.equals("vmcheck")) {
        throw new IllegalArgumentException(line);
      }
    }
    return words.stream().map(word -> kernels(word, files)).toArray(String[]::new);
  }

  /// `kernel=6.1.190` names a release of the archive, too.
  private static String kernels(String word, Map<String, String> files) {
    int sign = word.indexOf('=');
    return sign < 0
        ? word
        : word.substring(0, sign + 1)
            + files.getOrDefault(word.substring(sign + 1), word.substring(sign + 1));
  }

  private Map<String, String> files() throws Exception {
    Path damaged = TestData.named("use-after-free").dump();
    Path healthy = TestData.named("healthy").dump();
    Path tree = Files.createDirectories(dir.resolve("crash"));
    for (Path dump : List.of(damaged, TestData.named("debian-cloud").dump())) {
      Path incident = tree.resolve(dump.getParent().getFileName().toString());
      Files.copy(dump, Files.createDirectories(incident).resolve("vmcore"));
    }
    Identity support = Identity.of("RSA", "support", Instant.now());
    Path before = dir.resolve("before.json");
    run("check", healthy.toString(), "--format", "json", "-o", before.toString());
    Map<String, String> files = new java.util.HashMap<>();
    for (String name : List.of("DUMP", "DUMP...", "vmcore", "after.vmcore", "NEW")) {
      files.put(name, damaged.toString());
    }
    for (String name : List.of("before.vmcore", "BASE")) {
      files.put(name, healthy.toString());
    }
    for (String name :
        List.of("case.zip", "crashes.sqlite", "report.html", "crashes.html", "crashes-site")) {
      files.put(name, dir.resolve(name).toString());
    }
    files.put("compare.xml", dir.resolve("compare.xml").toString());
    files.put("low.svg", dir.resolve("low.svg").toString());
    files.put("FILE", dir.resolve("evidence.zip").toString());
    files.put("BUNDLE", dir.resolve("evidence.zip").toString());
    files.put("before.json", before.toString());
    files.put("/var/crash", tree.toString());
    files.put("DIR...", tree.toString());
    files.put("ADDRESS", "0xffff92c00cb13800");
    files.put("VALUE", "0xffff92c00cb13a00");
    files.put("PATTERN", "HTTP");
    files.put("6.1.190", "6.1.0-56-cloud-amd64");
    files.put("6.1.192", "6.1.192-lab-min");
    Path cert = dir.resolve("cert.pem");
    files.put("cert.pem", Files.writeString(cert, Identity.chain(List.of(support))).toString());
    files.put("CERT", cert.toString());
    files.put("key.pem", key(support).toString());
    return files;
  }

  private Path key(Identity support) throws Exception {
    return Files.writeString(
        dir.resolve("key.pem"),
        Identity.pem(new org.bouncycastle.openssl.jcajce.JcaPKCS8Generator(support.key(), null)));
  }

  /// What stands at length on a manual page is of a command, and comes out as roff takes it.
  @Test
  void theManualsNotesAreDrawn() throws Exception {
    for (Path file : manual()) {
      String page = file.getFileName().toString().replace(".md", "");
      String command = page.replaceFirst("^vmcheck-?", "");
      assertThat(command.isEmpty() || Commands.byWord(command).isPresent()).as(page).isTrue();
      String drawn = ManNotes.of(page);
      assertThat(drawn).contains(".SH ").doesNotContain("```", "**", "](", "\n| ");
      assertThat(Arrays.stream(drawn.split("\n"))).as(page).allMatch(line -> !line.startsWith("'"));
    }
    assertThat(ManNotes.drawn("| a | b | c |\n|---|---|---|\n| x | y `-z` | w |\n"))
        .isEqualTo(".TP\n\\fBx\\fR\ny \\fB\\-z\\fR; c: w\n");
  }
}
