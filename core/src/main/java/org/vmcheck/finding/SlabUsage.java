package org.vmcheck.finding;

/// One row of `vmcheck slabs`: the columns of crash's `kmem -s`.
///
/// @param cache address of the kmem_cache
/// @param objectSize bytes a user gets
/// @param allocated objects in use: neither on a slab's freelist nor on a CPU's
/// @param total objects, used and free
/// @param slabs slabs of this cache
/// @param slabBytes size of one slab
public record SlabUsage(
    long cache,
    String name,
    long objectSize,
    long allocated,
    long total,
    long slabs,
    long slabBytes) {}
