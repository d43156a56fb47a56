package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Finding;
import org.vmcheck.testing.TestData;

/// The face of the library: the packages that its module exports, what stands in their signatures,
/// that nothing of it is lost unseen, and that a program of another module can use it.
class ApiTest {
  private static final Path CORE = TestData.root().resolve("core");
  private static final Path MODULE = CORE.resolve("src/main/module/module-info.java");

  /// The members that programs may be linked with. Set `vmcheck.api=write` to write it anew, which
  /// a release that breaks them says in the changelog.
  private static final Path RECORD = CORE.resolve("src/test/api/members.txt");

  @TempDir private Path dir;

  private static List<String> exported() throws IOException {
    return Pattern.compile("(?m)^  exports (\\S+);")
        .matcher(Files.readString(MODULE))
        .results()
        .map(match -> match.group(1))
        .toList();
  }

  private static Path classes() throws Exception {
    return Path.of(Finding.class.getProtectionDomain().getCodeSource().getLocation().toURI());
  }

  private static List<Class<?>> types() throws Exception {
    List<Class<?>> types = new ArrayList<>();
    for (String name : exported()) {
      try (Stream<Path> files = Files.list(classes().resolve(name.replace('.', '/')))) {
        for (Path file : files.sorted().toList()) {
          String simple = file.getFileName().toString();
          if (simple.endsWith(".class")) {
            Class<?> type = Class.forName(name + "." + simple.replace(".class", ""));
            if (isPublic(type)) {
              types.add(type);
            }
          }
        }
      }
    }
    return types;
  }

  private static boolean isPublic(Class<?> type) {
    return Modifier.isPublic(type.getModifiers())
        && (type.getDeclaringClass() == null || isPublic(type.getDeclaringClass()));
  }

  /// Results are read and not made: how a record of them is constructed is no promise, so that it
  /// may tell more in the next release.
  private static boolean isPromised(Executable member, Class<?> type) {
    return Modifier.isPublic(member.getModifiers())
        && !member.isSynthetic()
        && !(member instanceof Constructor
            && type.isRecord()
            && type.getPackageName().endsWith(".finding"));
  }

  private static List<String> members() throws Exception {
    TreeSet<String> members = new TreeSet<>();
    for (Class<?> type : types()) {
      members.add(type.toGenericString());
      Stream.<Executable>concat(
              Arrays.stream(type.getDeclaredConstructors()),
              Arrays.<Executable>stream(type.getDeclaredMethods()))
          .filter(member -> isPromised(member, type))
          .forEach(member -> members.add(member.toGenericString()));
      for (Field field : type.getDeclaredFields()) {
        if (Modifier.isPublic(field.getModifiers())) {
          members.add(field.toGenericString());
        }
      }
    }
    return List.copyOf(members);
  }

  @Test
  void theLibraryExportsWhatItsPageSays() throws Exception {
    assertThat(exported()).containsExactly("org.vmcheck.analysis", "org.vmcheck.finding");
  }

  /// Whoever can call a member can name all that it takes and gives.
  @Test
  void signaturesNameOnlyWhatIsExported() throws Exception {
    List<String> exported = exported();
    Pattern ours = Pattern.compile("(org\\.vmcheck\\.[a-z.]+)\\.[A-Z]");
    for (String member : members()) {
      for (String name :
          ours.matcher(member.replaceFirst(" permits .*", ""))
              .results()
              .map(m -> m.group(1))
              .toList()) {
        assertThat(exported).as(member).contains(name);
      }
    }
  }

  /// What was there stays there until a release says otherwise.
  @Test
  void noMemberIsLost() throws Exception {
    List<String> members = members();
    if ("write".equals(System.getProperty("vmcheck.api"))) {
      Files.createDirectories(RECORD.getParent());
      Files.write(RECORD, members);
    }
    assertThat(members).containsAll(Files.readAllLines(RECORD));
  }

  /// The module as the build makes it, and the jars that it asks for.
  private Path module() throws Exception {
    Path out = dir.resolve("module/org.vmcheck.core");
    try (Stream<Path> files = Files.walk(classes())) {
      for (Path file : files.toList()) {
        Path to = out.resolve(classes().relativize(file).toString());
        if (Files.isDirectory(file)) {
          Files.createDirectories(to);
        } else if (!file.endsWith("module-info.class")) {
          Files.copy(file, to);
        }
      }
    }
    compile(
        "-d",
        out.toString(),
        "--module-path",
        jars(),
        "--patch-module",
        "org.vmcheck.core=" + out,
        MODULE.toString());
    return dir.resolve("module");
  }

  private static String jars() {
    return String.join(
        ":",
        Arrays.stream(System.getProperty("java.class.path").split(":"))
            .filter(
                entry ->
                    entry.matches(
                        ".*/(zstd-jni|lz4-java|xz|commons-[a-z0-9]+|jackson-core|snakeyaml-engine|"
                            + "sqlite-jdbc|postgresql|bc(prov|pkix|util)-jdk18on)-[0-9.-]+\\.jar"))
            .toList());
  }

  private static void compile(String... words) {
    assertThat(said(words)).isEmpty();
  }

  /// What javac says; empty if it is content.
  private static String said(String... words) {
    StringWriter said = new StringWriter();
    try (java.io.PrintWriter out = new java.io.PrintWriter(said)) {
      int code = ToolProvider.findFirst("javac").orElseThrow().run(out, out, words);
      return code == 0 ? "" : code + ": " + said;
    }
  }

  /// The example of `core/README.md`, as a module of its own, over a real dump.
  @Test
  void theExampleCompilesAndRuns() throws Exception {
    Matcher block =
        Pattern.compile("```java\\n(import .*?)```", Pattern.DOTALL)
            .matcher(Files.readString(CORE.resolve("README.md")));
    assertThat(block.find()).isTrue();
    assertThat(block.group(1).lines()).hasSizeLessThanOrEqualTo(20);
    String path = module() + ":" + jars();
    Path source = Files.createDirectories(dir.resolve("example/tool"));
    Files.writeString(
        source.resolve("module-info.java"), "module tool { requires org.vmcheck.core; }");
    Path example = source.resolve("Triage.java");
    Files.writeString(example, "package tool;\n" + block.group(1));
    Path out = dir.resolve("out");
    compile(
        "-d",
        out.toString(),
        "--module-path",
        path,
        source.resolve("module-info.java").toString(),
        example.toString());

    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--module-path",
                out + ":" + path,
                "--module",
                "tool/tool.Triage",
                TestData.named("bit-flip").dump().toString())
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said + err).isEqualTo(0);
    assertThat(said).startsWith("kernel-damaged: ").contains("bit-flip", "6.1.192-lab-min");

    // The healthy twin of what follows: it compiled. What is internal is not to be had.
    Files.writeString(
        example, "package tool;\nclass Triage { org.vmcheck.slab.SlabCache cache; }\n");
    assertThat(
            said(
                "-d",
                out.toString(),
                "--module-path",
                path,
                source.resolve("module-info.java").toString(),
                example.toString()))
        .contains("org.vmcheck.slab is not visible");
  }

  /// Every reference and tag of the exported packages' Javadoc holds. A component or a method whose
  /// name says all needs no sentence, so missing ones are no warnings.
  @Test
  @Tag("slow")
  void javadocHasNoWarnings() throws Exception {
    StringWriter said = new StringWriter();
    List<String> words =
        new ArrayList<>(
            List.of(
                "-quiet",
                "-Xdoclint:all,-missing",
                "-Xmaxwarns",
                "50",
                "-d",
                dir.resolve("doc").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "-sourcepath",
                CORE.resolve("src/main/java").toString()));
    words.addAll(exported());
    try (java.io.PrintWriter out = new java.io.PrintWriter(said)) {
      int code =
          ToolProvider.findFirst("javadoc")
              .orElseThrow()
              .run(out, out, words.toArray(String[]::new));
      assertThat(code).as(said.toString()).isEqualTo(0);
    }
    assertThat(said.toString()).doesNotContain("warning", "error");
  }
}
