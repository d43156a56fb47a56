package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.io.MappedFile;
import org.vmcheck.testing.TestData;

/// What makedumpfile makes of one real dump, in each codec and form that it writes, holds the same
/// pages; what it puts back in order is ours byte for byte. Skipped where it is not installed.
@Tag("slow")
class PeerDumpsTest {
  @TempDir private Path directory;
  private Path source;

  @BeforeEach
  void needsMakedumpfile() throws Exception {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/makedumpfile")), "makedumpfile is missing");
    source = TestData.named("healthy").dump();
  }

  private void makedumpfile(Path in, Path out, String... args)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of("/usr/bin/makedumpfile"));
    command.addAll(List.of("--message-level", "0"));
    command.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.redirectError(directory.resolve("errors").toFile());
    if (in != null) {
      builder.redirectInput(in.toFile());
    }
    if (out != null) {
      builder.redirectOutput(out.toFile());
    } else {
      builder.redirectOutput(ProcessBuilder.Redirect.DISCARD);
    }
    assertThat(builder.start().waitFor()).as(() -> String.join(" ", command)).isZero();
  }

  /// Every frame below the end: its state, and a hash of its bytes.
  private static Map<Long, String> pages(List<Path> files) throws IOException {
    Map<Long, String> pages = new TreeMap<>();
    try (Dump dump = Dumps.open(files)) {
      for (long pfn = 0; pfn < dump.memory().endPfn(); pfn++) {
        PageRead read = dump.memory().read(pfn);
        pages.put(
            pfn,
            read instanceof PageRead.Present(MemorySegment bytes)
                ? "" + Arrays.hashCode(bytes.toArray(ValueLayout.JAVA_BYTE))
                : read.words());
      }
    }
    return pages;
  }

  @Test
  void everyCodecAndFormHoldsTheSamePages() throws Exception {
    Map<Long, String> expected = pages(List.of(source));
    String in = source.toString();
    for (String codec : List.of("-c", "-l", "")) {
      List<String> args = new ArrayList<>(List.of("-d", "31"));
      if (!codec.isEmpty()) {
        args.addFirst(codec);
      }
      Path plain = directory.resolve("plain" + codec);
      makedumpfile(null, null, with(args, in, plain.toString()));
      assertThat(pages(List.of(plain))).as("makedumpfile %s", args).isEqualTo(expected);

      Path flattened = directory.resolve("flattened" + codec);
      args.addFirst("-F");
      makedumpfile(null, flattened, with(args, in));
      assertThat(pages(List.of(flattened))).as("makedumpfile %s", args).isEqualTo(expected);
      Path ordered = directory.resolve("ordered" + codec);
      makedumpfile(flattened, null, "-R", ordered.toString());
      try (MappedFile stream = MappedFile.open(flattened);
          MappedFile file = MappedFile.open(ordered)) {
        FlattenedSource logical = FlattenedSource.index(stream);
        assertThat(logical.size()).isEqualTo(file.size());
        assertThat(logical.slice(0, logical.size()).mismatch(file.slice(0, file.size())))
            .as("makedumpfile -R of %s", args)
            .isEqualTo(-1);
      }
    }
  }

  @Test
  void aSplitSetAndItsReassemblyHoldTheSamePages() throws Exception {
    List<Path> parts =
        List.of(directory.resolve("c"), directory.resolve("a"), directory.resolve("b"));
    List<String> names = parts.stream().map(Path::toString).toList();
    List<String> args = new ArrayList<>(List.of("--split", "-l", "-d", "31", source.toString()));
    args.addAll(names);
    makedumpfile(null, null, args.toArray(String[]::new));
    Path whole = directory.resolve("whole");
    args = new ArrayList<>(List.of("--reassemble"));
    args.addAll(names);
    args.add(whole.toString());
    makedumpfile(null, null, args.toArray(String[]::new));

    Map<Long, String> expected = pages(List.of(source));
    assertThat(pages(List.of(parts.get(2), parts.get(0), parts.get(1)))).isEqualTo(expected);
    assertThat(pages(List.of(whole))).isEqualTo(expected);
  }

  private static String[] with(List<String> args, String... more) {
    List<String> all = new ArrayList<>(args);
    all.addAll(List.of(more));
    return all.toArray(String[]::new);
  }
}
