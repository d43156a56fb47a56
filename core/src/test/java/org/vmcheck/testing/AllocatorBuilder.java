package org.vmcheck.testing;

import java.util.List;

/// Builds the slab caches of an image.
interface AllocatorBuilder {
  /// Decides where everything lies; nothing is written yet.
  void plan();

  void write();

  /// In the order of `slab_caches`.
  List<CacheImage> caches();
}
