import com.google.googlejavaformat.java.Formatter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// The build's one formatter: `--replace` rewrites what is not formatted, `--check` only names it and fails.
/// Maven may run on an older JDK whose parser does not know this project's Java, hence a program of its own.
public final class Format {
  public static void main(String[] args) throws Exception {
    boolean replace = args[0].equals("--replace");
    Path root = Path.of(args[1]);
    Formatter formatter = new Formatter();
    List<Path> wrong = new ArrayList<>();
    for (String module : List.of("core", "cli", "bench")) {
      Path sources = root.resolve(module).resolve("src");
      if (!Files.isDirectory(sources)) {
        continue;
      }
      List<Path> files;
      try (Stream<Path> walk = Files.walk(sources)) {
        files = walk.filter(path -> path.toString().endsWith(".java")).sorted().toList();
      }
      for (Path file : files) {
        String text = Files.readString(file);
        String formatted = formatter.formatSourceAndFixImports(text);
        if (!formatted.equals(text)) {
          wrong.add(file);
          if (replace) {
            Files.writeString(file, formatted);
          }
        }
      }
    }
    if (!wrong.isEmpty()) {
      System.out.println(
          (replace ? "formatted " : "not formatted (run the build without CI=true): ")
              + wrong.stream().map(path -> root.relativize(path).toString()).toList());
      if (!replace) {
        System.exit(1);
      }
    }
  }
}
