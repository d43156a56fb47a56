package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.NavigableMap;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.ForeignTool;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// libkdumpfile, through drgn, finds the same pages stored with the same bytes, and the same pages
/// absent. It needs no vmlinux for physical addresses. Skipped where drgn is not installed.
///
/// Pages that do not get smaller stay raw, in the dump of every codec.
@Tag("slow")
class PeerPresenceTest {
  private static final int SAMPLES = 200;

  /// One line a frame: its number, and the hash of its bytes or `absent`.
  private static final String PROGRAM =
      """
      import hashlib
      import sys
      from drgn import FaultError
      for line in open(sys.argv[1]):
          pfn = int(line)
          try:
              page = prog.read(pfn << 12, 4096, physical=True)
              print(pfn, hashlib.sha256(page).hexdigest())
          except FaultError:
              print(pfn, 'absent')
      """;

  @TempDir private Path directory;

  @ParameterizedTest
  @EnumSource
  void drgnFindsTheSamePagesStoredAndAbsent(Packer packer) throws Exception {
    DumpCopy copy = DumpCopy.of(TestData.named("healthy").dump());
    compare(copy.pages(), copy.write(directory, packer));
  }

  @Test
  void drgnFindsTheSamePagesStoredAndAbsentWhereNoneIsPacked() throws Exception {
    Path source = TestData.named("healthy").dump();
    NavigableMap<Long, byte[]> pages = DumpCopy.of(source).pages();
    KdumpWriter writer = KdumpWriter.version(6).machine("x86_64");
    try (Dump dump = Dumps.open(source)) {
      writer.vmcoreinfo(dump.vmcoreinfo().orElseThrow().text());
    }
    writer.excluded(0, pages.lastKey());
    pages.forEach(writer::raw);
    compare(pages, writer.write(directory));
  }

  private void compare(NavigableMap<Long, byte[]> pages, Path file) throws Exception {
    assumeTrue(ForeignTool.isInstalled("drgn"), "drgn is not installed");
    List<Long> frames = sample(pages);
    Path list =
        Files.write(directory.resolve("frames"), frames.stream().map(String::valueOf).toList());
    Path program = Files.writeString(directory.resolve("frames.py"), PROGRAM);

    List<String> ours = new ArrayList<>();
    try (Dump dump = Dumps.open(file)) {
      for (long pfn : frames) {
        PageRead read = dump.memory().read(pfn);
        assertThat(read)
            .isInstanceOf(
                pages.containsKey(pfn) ? PageRead.Present.class : PageRead.Excluded.class);
        ours.add(pfn + " " + words(read));
      }
    }
    List<String> theirs =
        ForeignTool.run(
            List.of(
                "drgn",
                "-q",
                "--no-default-symbols",
                "-c",
                file.toString(),
                program.toString(),
                list.toString()));
    assertThat(theirs).isEqualTo(ours);
  }

  /// Stored frames and excluded ones, mixed, the same in each run.
  private static List<Long> sample(NavigableMap<Long, byte[]> pages) {
    Random random = new Random(4096);
    List<Long> stored = new ArrayList<>(pages.keySet());
    List<Long> excluded =
        Stream.iterate(0L, pfn -> pfn < pages.lastKey(), pfn -> pfn + 1)
            .filter(pfn -> !pages.containsKey(pfn))
            .collect(Collectors.toCollection(ArrayList::new));
    List<Long> frames = new ArrayList<>();
    for (List<Long> kind : List.of(stored, excluded)) {
      assertThat(kind).hasSizeGreaterThan(SAMPLES);
      Collections.shuffle(kind, random);
      frames.addAll(kind.subList(0, SAMPLES));
    }
    Collections.shuffle(frames, random);
    return frames;
  }

  private static String words(PageRead read) throws Exception {
    if (read instanceof PageRead.Present(MemorySegment bytes)) {
      byte[] page = bytes.toArray(ValueLayout.JAVA_BYTE);
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(page));
    }
    return "absent";
  }
}
