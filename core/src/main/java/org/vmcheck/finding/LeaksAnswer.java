package org.vmcheck.finding;

import java.util.List;

/// Objects in use that nothing in memory leads to.
///
/// @param caches those that have any, the one with the most bytes first
/// @param objects in use that were judged
/// @param notJudged objects of slabs whose lists are broken: which are in use cannot be told
/// @param pages frames of the kernel that were searched for pointers
/// @param passedOver frames in the dump that were not: free, a user's, page tables
/// @param unread frames that could not be read
/// @param absent page frames of the kernel's own that are not in the dump
public record LeaksAnswer(
    List<LeakedCache> caches,
    long objects,
    long notJudged,
    long pages,
    long passedOver,
    long unread,
    long absent) {
  public LeaksAnswer {
    caches = List.copyOf(caches);
  }

  /// Objects that nothing leads to.
  public long unreferenced() {
    return caches.stream().mapToLong(LeakedCache::unreferenced).sum();
  }

  /// Bytes of these, with what the allocator keeps beside each.
  public long bytes() {
    return caches.stream().mapToLong(LeakedCache::bytes).sum();
  }

  /// Those of one cache.
  ///
  /// @param objects of it in use
  /// @param unreferenced those of them that nothing leads to
  /// @param bytes of these
  /// @param isTracked whether the cache keeps who allocated its objects
  /// @param sites who allocated them where that is kept, else what they hold; the most frequent
  ///   first
  public record LeakedCache(
      String cache,
      long objects,
      long unreferenced,
      long bytes,
      boolean isTracked,
      List<Site> sites) {
    public LeakedCache {
      sites = List.copyOf(sites);
    }
  }

  /// Objects of one kind.
  ///
  /// @param words `allocated by NAME`, `with a pointer to NAME`, or empty where neither is known
  /// @param examples addresses of the first of them
  public record Site(String words, long count, List<Long> examples) {
    public Site {
      examples = List.copyOf(examples);
    }
  }
}
