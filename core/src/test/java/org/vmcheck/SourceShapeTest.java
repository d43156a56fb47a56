package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.LineMap;
import com.sun.source.tree.MethodTree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.TreeScanner;
import com.sun.source.util.Trees;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.TestData;

/// How long files and methods may be, so that a line has a room and a room has walls.
class SourceShapeTest {
  private static final int MOST_LINES_OF_A_FILE = 600;
  private static final int MOST_LINES_OF_A_METHOD = 60;

  /// Those that are longer today. Whoever parts one takes its name away; none joins.
  private static final Set<String> LONG =
      Set.of(
          "BatchScanner.scan",
          "CacheNumbers.broken",
          "CheckCommand.call",
          "ClassicSlabSurvey.node",
          "ClassicSlabSurvey.slab",
          "ClassicSlabSurvey.survey",
          "ContainerCompleteCheck.run",
          "ContainerPagesCheck.run",
          "ElfDump.<init>",
          "FlattenedSource.index",
          "KdumpDump.locate",
          "KdumpHeader.read",
          "KdumpPart.arrange",
          "LogBuffer.read",
          "LogWitnessCheck.run",
          "LostSlabs.wiped",
          "LowMemoryBackupCheck.run",
          "LowMemoryReservedCheck.run",
          "LowMemorySmeCheck.finding",
          "LowMemorySmeCheck.run",
          "LzoCodec.decode",
          "ManPages.page",
          "MapSvg.render",
          "MemSections.read",
          "NodeCounters.checkTotals",
          "PageStatistics.of",
          "PanicRelation.best",
          "Questions.object",
          "Questions.read",
          "ReportWriter.evidence",
          "SarifReport.result",
          "SlabFreelistCheck.run",
          "SlabLayout.detect",
          "SlabListsCheck.run",
          "SlabPoisonCheck.run",
          "SlabSettlement.settle",
          "SlabWalk.checkPlace",
          "SlabWalk.page",
          "SlabWalk.slab",
          "SlabsCommand.call",
          "Unpacker.unwrap",
          "VerdictRule.judge",
          "WrongLength.freedTwiceAtOnce");

  private static List<Path> sources() throws IOException {
    List<Path> all = new ArrayList<>();
    for (String module : List.of("core", "cli")) {
      Path root = TestData.root().resolve(module).resolve("src/main/java");
      try (Stream<Path> files = Files.walk(root)) {
        files.filter(path -> path.toString().endsWith(".java")).forEach(all::add);
      }
    }
    return all;
  }

  @Test
  void noFileIsLong() throws IOException {
    Set<String> tooLong = new TreeSet<>();
    for (Path file : sources()) {
      long lines = Files.readAllLines(file).size();
      if (lines > MOST_LINES_OF_A_FILE) {
        tooLong.add("%s: %d lines".formatted(file.getFileName(), lines));
      }
    }
    assertThat(tooLong).isEmpty();
  }

  @Test
  void methodsAreShortOrNamedHere() throws IOException {
    Map<String, Long> longOnes = new java.util.TreeMap<>();
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
      JavacTask task =
          (JavacTask)
              compiler.getTask(
                  null,
                  files,
                  null,
                  List.of("-proc:none"),
                  null,
                  files.getJavaFileObjectsFromPaths(sources()));
      SourcePositions positions = Trees.instance(task).getSourcePositions();
      for (CompilationUnitTree unit : task.parse()) {
        String type = Path.of(unit.getSourceFile().getName()).getFileName().toString();
        LineMap lines = unit.getLineMap();
        new TreeScanner<Void, Void>() {
          @Override
          public Void visitMethod(MethodTree method, Void unused) {
            long count =
                lines.getLineNumber(positions.getEndPosition(unit, method))
                    - lines.getLineNumber(positions.getStartPosition(unit, method))
                    + 1;
            if (count > MOST_LINES_OF_A_METHOD) {
              longOnes.merge(type.replace(".java", "") + "." + method.getName(), count, Math::max);
            }
            return super.visitMethod(method, null);
          }
        }.scan(unit, null);
      }
    }
    assertThat(longOnes.keySet())
        .as("methods of more than %d lines: %s", MOST_LINES_OF_A_METHOD, longOnes)
        .isEqualTo(LONG);
  }
}
