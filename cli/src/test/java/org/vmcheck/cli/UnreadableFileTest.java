package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PageSweep;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FailingDevice;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// A file that the system cannot deliver, or that changes while it is read: exit code 6 and the
/// pages concerned, whatever the format and codec, and never the end of the JVM.
class UnreadableFileTest {
  /// Frames of each dump: more than a block of file each way.
  private static final int FRAMES = 64;

  @TempDir private Path directory;

  /// Bytes of a file.
  record Span(long offset, long byteCount) {
    long end() {
      return offset + byteCount;
    }
  }

  /// A dump in one format and codec, and where each frame's data lies in it.
  static final class Form {
    private final String name;
    private final byte[] file;
    private final List<Span> spans;

    Form(String name, byte[] file, List<Span> spans) {
      this.name = name;
      this.file = file;
      this.spans = spans;
    }

    @Override
    public String toString() {
      return name;
    }

    /// Frames with a byte in the block around an offset.
    Set<Long> framesIn(long offset) {
      Set<Long> frames = new TreeSet<>();
      long block = offset / FailingDevice.BLOCK * FailingDevice.BLOCK;
      for (int pfn = 0; pfn < spans.size(); pfn++) {
        Span span = spans.get(pfn);
        if (span.offset < block + FailingDevice.BLOCK && span.end() > block) {
          frames.add((long) pfn);
        }
      }
      return frames;
    }
  }

  static Stream<Form> forms() {
    Stream<Form> packed = Stream.of(Packer.values()).map(UnreadableFileTest::kdump);
    return Stream.concat(packed, Stream.of(kdump(null), elf()));
  }

  /// @param packer null for pages stored as they are
  private static Form kdump(Packer packer) {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int pfn = 0; pfn < FRAMES; pfn++) {
      if (packer == null) {
        writer.raw(pfn, Bytes.mixed(pfn));
      } else {
        writer.packed(pfn, Bytes.mixed(pfn), packer);
      }
    }
    byte[] file = writer.bytes();
    ByteBuffer view = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    List<Span> spans =
        Stream.iterate(0, i -> i < FRAMES, i -> i + 1)
            .map(i -> (int) writer.descriptorOffset(i))
            .map(at -> new Span(view.getLong(at), view.getInt(at + 8)))
            .toList();
    return new Form("kdump " + (packer == null ? "raw" : packer.name()), file, spans);
  }

  private static Form elf() {
    byte[] memory = Bytes.mixed(1, FRAMES * 4096);
    byte[] file = ElfWriter.of64().load(0, memory).bytes();
    long start = (long) file.length - memory.length;
    return new Form(
        "elf",
        file,
        Stream.iterate(start, at -> at < file.length, at -> at + 4096)
            .map(at -> new Span(at, 4096))
            .toList());
  }

  private record Result(int code, String out, String err) {}

  private static Result run(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code =
        Main.run(
            new PrintWriter(out),
            new PrintWriter(err),
            Stream.of(args).map(Object::toString).toArray(String[]::new));
    return new Result(code, out.toString(), err.toString());
  }

  private static PageSweep.Result sweep(Dump dump) {
    return PageSweep.over(dump, 2, OpenOptions.DEFAULT.progress(), () -> false);
  }

  @ParameterizedTest
  @MethodSource("forms")
  void theFramesInABlockThatCannotBeReadAreNamed(Form form) throws IOException {
    Path file = Files.write(directory.resolve("file"), form.file);
    long bad = form.spans.get(FRAMES / 2).offset;
    Set<Long> expected = form.framesIn(bad);

    try (FailingDevice device = FailingDevice.over(directory, file, bad)) {
      try (Dump dump = Dumps.open(device.dump())) {
        PageSweep.Result sweep = sweep(dump);
        assertThat(dump.unreadablePages()).isEqualTo(expected);
        assertThat(sweep.unreadable()).isEqualTo(expected.size());
        assertThat(sweep.decoded()).isEqualTo(FRAMES - expected.size());
        assertThat(sweep.defects()).isEmpty();
        assertThat(dump.audit().pages().damagedInAll()).isZero();
      }
      Result result = run("check", "--full", "--only", "container.pages", device.dump());
      assertThat(result.code).as(result.err).isEqualTo(6);
      assertThat(result.err)
          .contains("page frame", "0x%x".formatted(expected.iterator().next()), "file offset 0x");
      assertThat(result.out).doesNotContain("dump-damaged");
    }
  }

  @Test
  void aKernelOnAFailingDiskIsNotCalledDamaged() throws Exception {
    Path whole = TestData.named("healthy").dump();
    long size = Files.size(whole);
    long[] bad = {size / 3, size / 2, size / 4 * 3, size - 5000};

    try (FailingDevice device = FailingDevice.over(directory, whole, bad)) {
      Result result = run("check", "--full", device.dump());
      assertThat(result.code).as(result.out).isEqualTo(6);
      assertThat(result.out).startsWith("undetermined: ").contains("could not be read");
    }
  }

  @Test
  void aMountThatGoesStaleIsAnErrorOfInput() throws Exception {
    // More than the system reads ahead and keeps.
    byte[] memory = new byte[16 << 20];
    Path file = Files.write(directory.resolve("file"), ElfWriter.of64().load(0, memory).bytes());
    try (FailingDevice device = FailingDevice.over(directory, file)) {
      try (Dump dump = Dumps.open(device.dump())) {
        device.die();
        assertThat(sweep(dump).unreadable()).isPositive();
        assertThat(dump.readFailures()).isNotEmpty();
      }
      Result result = run("check", device.dump());
      assertThat(result.code).as(result.err).isEqualTo(6);
      assertThat(result.err).contains("dump");
    }
  }

  @ParameterizedTest
  @MethodSource("forms")
  void aFileThatShrinksWhileItIsReadLosesTheFramesBehindItsEnd(Form form) throws IOException {
    Path file = Files.write(directory.resolve("file"), form.file);
    try (Analyzer analyzer = Analyzer.open(file, AnalysisOptions.DEFAULT);
        Dump dump = Dumps.open(file);
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      for (int i = 0; i < 400; i++) {
        // Compiled code meets a lost map in another way than the interpreter; what one dump has
        // read it keeps.
        try (Dump other = Dumps.open(file)) {
          PageBuffer page = PageBuffer.of(other.memory());
          for (int pfn = 0; pfn < FRAMES; pfn++) {
            other.memory().readInto(pfn, page);
          }
        }
      }
      long end = form.spans.get(FRAMES / 2).offset / FailingDevice.BLOCK * FailingDevice.BLOCK;
      channel.truncate(end);

      // What was read ahead is still known.
      PageBuffer fresh = PageBuffer.of(dump.memory());
      for (int pfn = 0; pfn < FRAMES; pfn++) {
        Span span = form.spans.get(pfn);
        assertThat(dump.memory().readInto(pfn, fresh))
            .as("frame " + pfn)
            .isInstanceOf(span.end() <= end ? PageRead.Present.class : PageRead.Unreadable.class);
      }
      assertThat(dump.readFailures())
          .hasSize(2)
          .first()
          .asString()
          .contains("to 0x%x".formatted(FRAMES - 1));
      assertThat(analyzer.check("test").verdict().kind()).isEqualTo("undetermined");
      assertThat(analyzer.readFailures())
          .anyMatch(failure -> failure.contains("the file shrank from "));
    }
  }

  @Test
  void aFileThatGrowsWhileItIsReadIsSaid() throws IOException {
    Path file = Files.write(directory.resolve("file"), elf().file);
    try (Dump dump = Dumps.open(file)) {
      Files.write(file, new byte[4096], StandardOpenOption.APPEND);

      assertThat(sweep(dump).decoded()).isEqualTo(FRAMES);
      assertThat(dump.readFailures()).singleElement().asString().contains("the file grew from ");
    }
  }
}
