package org.vmcheck.page;

/// A word of a page descriptor, or of what keeps lists of page descriptors, that cannot be.
///
/// @param reason what it contradicts
/// @param place what the word is of: the use of a page, or a list
/// @param pfn the frame of the descriptor; -1 if the word is of none
/// @param address of the word
/// @param member by the kernel's names
/// @param value what it holds
/// @param expected what it must hold
/// @param isKnown whether that can be told
public record PageFault(
    Reason reason,
    String place,
    long pfn,
    long address,
    String member,
    long value,
    long expected,
    boolean isKnown) {
  /// What a word contradicts.
  public enum Reason {
    /// The frame's number says which zone, node and section it is of.
    PLACE("the frame lies in the span of another zone, node or section"),
    /// Free pages have no user.
    FREE("a page that is free has no flags, no references, no mapping and no owner"),
    /// Nobody has used the page since the kernel set up its descriptor.
    UNUSED("both of its list links still lead to themselves, so that nothing was stored here"),
    /// The kernel set the page aside when it started.
    RESERVED("a page that was set aside at boot keeps what its descriptor was set up with"),
    /// `list_del` and `INIT_LIST_HEAD` write both links.
    PAIR("the other link of the pair says what this one was set to"),
    /// The other descriptors of the compound page agree.
    COMPOUND("the other descriptors of the compound page agree on it"),
    /// No kernel writes such a value.
    IMPOSSIBLE("no use of a page leaves such a value"),
    /// A pair of list links is not answered.
    LINK("the link that must lead back is that of another page"),
    /// The page cache of the file has the page elsewhere.
    CACHE("the page cache of the file has the page at this index"),
    /// The word says that a page is free, or how large the free block is.
    BLOCK("the free list that the block is on says so"),
    /// The word counts the blocks or pages of lists.
    COUNT("it is not how many the lists hold"),
    /// No list has the block.
    UNLISTED("no free list of its zone has it");

    private final String words;

    Reason(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// Whether the page allocator's lists are wrong, rather than a descriptor alone.
  public boolean isOfLists() {
    return pfn < 0
        || reason == Reason.BLOCK
        || reason == Reason.COUNT
        || reason == Reason.UNLISTED
        || place.startsWith("list ");
  }

  /// Whether it differs by one bit from what it must hold.
  public boolean isFlip() {
    return isKnown && Long.bitCount(value ^ expected) == 1;
  }
}
