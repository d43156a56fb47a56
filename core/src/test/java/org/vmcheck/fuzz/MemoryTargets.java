package org.vmcheck.fuzz;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.AnalysisOptions.Deep;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.DeskQuestions;
import org.vmcheck.analysis.TaskQuestions;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.MemoryPattern;
import org.vmcheck.finding.SlabUsage;
import org.vmcheck.finding.Task;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// The whole check, and every question, on the memory of a whole kernel. An input is a list of
/// words to write into it: what a fuzzer changes blindly in megabytes is hardly ever read.
final class MemoryTargets {
  private static final int PAGE = 4096;
  private static final int EDIT = 12;

  private MemoryTargets() {}

  static List<Target> all(Path directory) {
    return List.of(
        target(directory, "whole-check", MemoryTargets::fake, MemoryTargets::check),
        target(directory, "kdump-check", file -> Files.copy(real(), file), MemoryTargets::check),
        target(directory, "real-check", MemoryTargets::memory, MemoryTargets::check),
        target(directory, "arm64-check", MemoryTargets::arm64, MemoryTargets::check),
        target(directory, "real-questions", MemoryTargets::memory, MemoryTargets::ask),
        target(directory, "arm64-questions", MemoryTargets::arm64, MemoryTargets::ask));
  }

  /// Whether an input of a target is the work of a second, not of a moment.
  static boolean isHeavy(Target target) {
    return target.name().endsWith("-check") || target.name().endsWith("-questions");
  }

  @FunctionalInterface
  private interface Maker {
    void make(Path file) throws IOException;
  }

  @FunctionalInterface
  private interface Work {
    void on(Analyzer analyzer) throws Exception;
  }

  private static Path real() {
    return dump("healthy");
  }

  /// Flat memory in an ELF core, as QEMU wrote it.
  private static void arm64(Path file) throws IOException {
    Files.copy(dump("debian-7.2-arm64"), file);
  }

  private static Path dump(String name) {
    try {
      return TestData.named(name).dump();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  private static void fake(Path file) throws IOException {
    Path made =
        FakeKernel.of(Layout.ALL.getFirst()).seed(5).build().writeKdump(file.getParent(), "fake");
    Files.move(made, file);
  }

  /// The real dump's pages as they were in memory, so that a change hits a structure.
  private static void memory(Path file) throws IOException {
    try (Dump dump =
        Dumps.open(List.of(real()), new OpenOptions(file.getParent(), 1 << 20, (_, _, _) -> {}))) {
      ElfWriter elf = ElfWriter.of64().vmcoreinfo(dump.vmcoreinfo().orElseThrow().text());
      PageBuffer page = PageBuffer.of(dump.memory());
      ByteArrayOutputStream run = new ByteArrayOutputStream();
      for (long frame = 0; frame <= dump.memory().endPfn(); frame++) {
        boolean isThere =
            frame < dump.memory().endPfn()
                && dump.memory().readInto(frame, page) instanceof PageRead.Present;
        if (isThere) {
          run.write(page.bytes());
        } else if (run.size() > 0) {
          elf.load(frame * PAGE - run.size(), run.toByteArray());
          run.reset();
        }
      }
      Files.write(file, elf.bytes());
    }
  }

  private static Target target(Path directory, String name, Maker maker, Work work) {
    Random random = new Random(1);
    byte[] many = new byte[EDIT * 64];
    random.nextBytes(many);
    byte[] few = new byte[EDIT * 4];
    random.nextBytes(few);
    Path file = directory.resolve(name);
    return new Target(
        name,
        () -> List.of(many, few),
        input -> {
          // Not before the target is fed: others need no kernel.
          if (!Files.exists(file)) {
            maker.make(file);
          }
          edited(file, input, work);
        });
  }

  /// Works on the file with the edits in it, and takes them out again. An edit is a place (4 bytes)
  /// and a word (8).
  private static void edited(Path file, byte[] input, Work work) throws Exception {
    ByteBuffer edits = ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN);
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      int count = input.length / EDIT;
      long[] places = new long[count];
      ByteBuffer[] before = new ByteBuffer[count];
      for (int i = 0; i < count; i++) {
        places[i] = Integer.toUnsignedLong(edits.getInt(i * EDIT)) % (channel.size() - 7);
        before[i] = ByteBuffer.allocate(8);
        channel.read(before[i], places[i]);
        channel.write(edits.slice(i * EDIT + 4, 8), places[i]);
      }
      try (Analyzer analyzer =
          Analyzer.open(file, AnalysisOptions.DEFAULT.withThreads(1).withDeep(Deep.ALWAYS))) {
        work.on(analyzer);
      } finally {
        for (int i = count - 1; i >= 0; i--) {
          channel.write(before[i].flip(), places[i]);
        }
      }
    }
  }

  /// No check may fail.
  private static void check(Analyzer analyzer) {
    for (CheckOutcome outcome : analyzer.check("fuzz").checks()) {
      if (outcome instanceof CheckOutcome.Failed failed) {
        throw new IllegalStateException(failed.id() + ": " + failed.reason());
      }
    }
  }

  /// Stacks of all tasks, lists of slabs, and what lies around a word of the kernel's own.
  private static void ask(Analyzer analyzer) throws Exception {
    analyzer.machineState();
    TaskQuestions tasks = analyzer.tasks();
    for (Task task : tasks.list().tasks()) {
      tasks.traceWithSeen(task);
    }
    for (SlabUsage usage : analyzer.slabUsage()) {
      analyzer.slabs(usage.name(), true, _ -> {});
    }
    analyzer.leaks(2);
    DeskQuestions desk = analyzer.desk();
    long address = analyzer.address("init_task");
    desk.place(address);
    desk.word(address, OptionalLong.of(address));
    desk.refs(address, false);
    desk.find(MemoryPattern.ofWord(address, -1L), 10);
    desk.unhash(analyzer.log());
    analyzer.map(true);
  }
}
