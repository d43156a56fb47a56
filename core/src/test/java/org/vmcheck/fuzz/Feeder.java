package org.vmcheck.fuzz;

import java.lang.management.ManagementFactory;
import java.time.Duration;

/// Feeds one input to a target and says what is wrong with how it was taken. The answer to hostile
/// input is a result or a declared exception with words, in bounded time and memory.
final class Feeder {
  /// Of CPU time, so that a busy machine fails nothing.
  private static final Duration SLOW = Duration.ofSeconds(20);

  /// Bytes that reading one input may allocate in all; the caches have their own bounds.
  private static final long MUCH_MEMORY = 1L << 30;

  private static final com.sun.management.ThreadMXBean THREAD =
      (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();

  private Feeder() {}

  /// @throws AssertionError if the target did what no input may make it do
  static void feed(Target target, byte[] input) {
    long allocated = THREAD.getCurrentThreadAllocatedBytes();
    long started = THREAD.getCurrentThreadCpuTime();
    try {
      target.reader().read(input);
    } catch (RuntimeException bug) {
      throw new AssertionError(target + ": " + bug, bug);
    } catch (Exception declared) {
      if (declared.getMessage() == null || declared.getMessage().isBlank()) {
        throw new AssertionError(target + ": an exception that says nothing", declared);
      }
    }
    if (THREAD.getCurrentThreadCpuTime() - started > SLOW.toNanos()) {
      throw new AssertionError(target + ": took longer than " + SLOW);
    }
    if (THREAD.getCurrentThreadAllocatedBytes() - allocated > MUCH_MEMORY) {
      throw new AssertionError(target + ": allocated more than " + MUCH_MEMORY + " bytes");
    }
  }
}
