package org.vmcheck.page;

/// What the kernel says a page frame is used for.
///
/// @param headPfn the first frame of the compound page that it belongs to; itself if to none
/// @param slabCache address of the kmem_cache of a slab page; 0 for other pages
public record PageState(Kind kind, long headPfn, long slabCache) {
  /// Kinds of use.
  public enum Kind {
    SLAB("slab"),
    RESERVED("reserved"),
    BUDDY("free"),
    PAGE_TABLE("page table"),
    ANONYMOUS("anonymous"),
    PAGE_CACHE("page cache"),
    FREE("unreferenced"),
    KERNEL("kernel"),
    HWPOISON("hwpoison"),
    UNKNOWN("no descriptor");

    private final String words;

    Kind(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }
}
