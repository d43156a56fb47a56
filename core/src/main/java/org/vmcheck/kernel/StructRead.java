package org.vmcheck.kernel;

import org.vmcheck.memory.MemoryRead;

/// What one read of a kernel structure said.
public sealed interface StructRead permits StructRef, StructRead.Unread {
  /// @param vaddr address of the structure
  /// @param why never [MemoryRead.Bytes]
  record Unread(long vaddr, MemoryRead why) implements StructRead {}
}
