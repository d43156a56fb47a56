package org.vmcheck.fuzz;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Bad input gives a result or a declared exception: what [AnyReaderFuzz] searches for long is gone
/// through here for a moment, each time the same.
class TargetsTest {
  /// Bytes of seeds that are gone through whole.
  private static final int SMALL = 16 << 10;

  private static final int MUCH_TO_COPY = 128 << 20;

  /// For one target.
  private static final long CPU_NANOS = 3_000_000_000L;

  /// A prime beyond every small seed's length: the places come in no order, each once.
  private static final int SPREAD = 16_411;

  @TempDir private static Path directory;

  static Stream<Target> targets() {
    return Targets.all(directory, directory).stream();
  }

  @ParameterizedTest
  @MethodSource("targets")
  void seedsAreTaken(Target target) throws Exception {
    Feeder.feed(target, new byte[0]);
    for (byte[] seed : target.seeds().make()) {
      Feeder.feed(target, seed);
      Feeder.feed(target, Arrays.copyOf(seed, seed.length / 2));
      byte[] flipped = seed.clone();
      flipped[seed.length / 3] ^= 1;
      Feeder.feed(target, flipped);
    }
  }

  /// Every prefix of small seeds, and every byte of them changed once; of larger ones, seeded
  /// places; of slow targets as many as their time allows, spread over the seed. (The formats' own
  /// tests go through every prefix of their fixtures.)
  @ParameterizedTest
  @MethodSource("targets")
  @Tag("slow")
  void prefixesAndChangedBytesGiveAResultOrADeclaredException(Target target) throws Exception {
    Random random = new Random(1);
    List<byte[]> seeds = target.seeds().make();
    long bytes = seeds.stream().mapToLong(seed -> seed.length).sum();
    boolean isHeavy = MemoryTargets.isHeavy(target);
    boolean every = bytes <= SMALL && !isHeavy;
    ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    long share = CPU_NANOS / seeds.size();
    for (byte[] seed : seeds) {
      int most = Math.min(isHeavy ? 20 : 2000, MUCH_TO_COPY / seed.length) / seeds.size();
      long end = threads.getCurrentThreadCpuTime() + share;
      for (int i = 0; i < (every ? seed.length : most); i++) {
        if (threads.getCurrentThreadCpuTime() > end) {
          break;
        }
        int at = every ? (int) ((long) i * SPREAD % seed.length) : random.nextInt(seed.length);
        Feeder.feed(target, Arrays.copyOf(seed, at));
        byte[] changed = seed.clone();
        changed[at] ^= (byte) (1 + random.nextInt(255));
        Feeder.feed(target, changed);
      }
    }
  }

  @Test
  void whatNoInputMayDoIsAFailure() {
    assertFails(
        _ -> {
          throw new IllegalStateException("bug");
        },
        "bug");
    assertFails(
        _ -> {
          throw new IOException();
        },
        "says nothing");
    assertFails(
        _ -> {
          int hashes = 0;
          for (int i = 0; i < 1100; i++) {
            hashes |= System.identityHashCode(new byte[1 << 20]);
          }
          assertThat(hashes).isNotZero();
        },
        "allocated more than");
    Feeder.feed(
        new Target(
            "t",
            List::of,
            _ -> {
              throw new IOException("refused");
            }),
        new byte[0]);
  }

  private static void assertFails(Target.Reader reader, String why) {
    assertThatThrownBy(() -> Feeder.feed(new Target("t", List::of, reader), new byte[0]))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining(why);
  }
}
