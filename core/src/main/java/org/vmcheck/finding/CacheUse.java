package org.vmcheck.finding;

/// How much of the machine one slab cache held when it crashed.
///
/// @param objectSize bytes a user gets
/// @param allocated objects in use
/// @param total objects, used and free
/// @param reclaimable whether the kernel counts its pages as ones that it can take back
///   (SLAB_RECLAIM_ACCOUNT): dentries, inodes, buffer heads
public record CacheUse(
    String name, long objectSize, long allocated, long total, boolean reclaimable) {

  /// Bytes of the objects in use.
  public long bytes() {
    return objectSize * allocated;
  }
}
