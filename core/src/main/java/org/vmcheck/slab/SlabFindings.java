package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;

/// The faults and the transient states that a pass finds, or one thread of it, while it runs.
final class SlabFindings {
  private static final int MAX_FAULTS = 20_000;

  private final List<SlabFault> faults = new ArrayList<>();
  private final List<TransientState> transients = new ArrayList<>();
  private long dropped;

  /// Keeps a fault, or counts it where too many are kept.
  void found(SlabFault fault) {
    if (faults.size() < MAX_FAULTS) {
      faults.add(fault);
    } else {
      dropped++;
    }
  }

  /// Adds what another thread found, all of it.
  void merge(SlabFindings more) {
    faults.addAll(more.faults);
    transients.addAll(more.transients);
    dropped += more.dropped;
  }

  /// Those that are kept, to be settled in place.
  List<SlabFault> faults() {
    return faults;
  }

  /// Those so far; more are added in place.
  List<TransientState> transients() {
    return transients;
  }

  /// Faults beyond the number that is kept.
  long dropped() {
    return dropped;
  }

  /// Faults so far, kept or not.
  long count() {
    return faults.size() + dropped;
  }

  /// The slab that a fault is about; 0 if it is about none.
  static long slabOf(SlabFault fault) {
    return switch (fault) {
      case SlabFault.Broken broken -> broken.slab().address();
      case SlabFault.Pattern pattern -> pattern.slab().address();
      case SlabFault.Count count when count.slab() != null -> count.slab().address();
      default -> 0;
    };
  }
}
