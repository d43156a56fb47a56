package org.vmcheck.task;

/// One kernel stack.
///
/// @param kind what runs on it
/// @param low its lowest byte
/// @param high the byte behind its highest
record Stack(Kind kind, String tag, long low, long high) {
  enum Kind {
    TASK,
    IRQ,
    /// Of one exception that the processor gives a stack of its own (IST).
    EXCEPTION,
    /// The small one on which a CPU enters the kernel.
    ENTRY
  }

  boolean contains(long address) {
    return Long.compareUnsigned(address, low) >= 0 && Long.compareUnsigned(address, high) < 0;
  }
}
