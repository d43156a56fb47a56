package org.vmcheck.check;

import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageSweep;

/// The list of checks, lowest layer first: adding one takes its file and one line here.
public final class Checks {
  private static final List<Check> ALL =
      List.of(
          new ContainerPagesCheck(),
          new ContainerCompleteCheck(),
          new MemoryTranslationCheck(),
          new MemoryTablesCheck(),
          new DebuginfoMatchCheck(),
          new MemoryEncryptionCheck(),
          new LowMemorySmeCheck(),
          new LowMemoryReservedCheck(),
          new LowMemoryBackupCheck(),
          new SlabFreelistCheck(),
          new SlabCountsCheck(),
          new SlabListsCheck(),
          new SlabPoisonCheck(),
          new SlabObjectsCheck(),
          new KfenceCanariesCheck(),
          new TaskStacksCheck(),
          new KnownListsCheck(),
          new PageDescriptorsCheck(),
          new PageBuddyCheck(),
          new ImageTextCheck(),
          new LogWitnessCheck());

  private Checks() {}

  /// Begins what [ContainerPagesCheck] does by default, beside whatever else is read of a dump.
  ///
  /// @param threads that work on it from now on
  /// @param isOver true once the deadline has passed
  public static PageSweep beginDecoding(Dump dump, int threads, BooleanSupplier isOver) {
    return ContainerPagesCheck.decode(dump, threads, isOver);
  }

  public static List<Check> all() {
    return ALL;
  }

  public static Optional<Check> byId(String id) {
    return ALL.stream().filter(check -> check.id().equals(id)).findFirst();
  }
}
