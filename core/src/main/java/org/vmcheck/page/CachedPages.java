package org.vmcheck.page;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;

/// Pages of files: `page.mapping` leads to an address space whose tree (`i_pages`) has the page at
/// `page.index`.
///
/// For each address space a sum over its pages, less one over the entries of its tree: only where
/// that is not zero is it looked at entry by entry.
///
/// Source: Linux `include/linux/xarray.h`, `lib/xarray.c`.
final class CachedPages {
  private static final int MAX_SPACES = 1 << 16;
  private static final int MAX_ENTRIES = 1 << 22;
  private static final int MAX_DEPTH = 11;

  /// Internal entries up to this are marks, not nodes (`xa_is_node`).
  private static final long LAST_MARK = 0x1000;

  private final Kernel kernel;
  private final MemMap memMap;
  private final Map<Long, Space> spaces = new HashMap<>();
  private final int headAt;
  private final int slotsAt;
  private final int slots;
  private final int shiftAt;
  private long lastSpace;
  private Space last;
  private long pages;
  private long entries;

  private CachedPages(Kernel kernel, MemMap memMap, int headAt, StructLayout node) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.headAt = headAt;
    this.slotsAt = node.member("slots").orElseThrow().offset();
    this.slots = (int) node.member("slots").orElseThrow().elementCount();
    this.shiftAt = node.member("shift").orElseThrow().offset();
  }

  /// Empty where the kernel's types have no such trees.
  static Optional<CachedPages> of(Kernel kernel, MemMap memMap) {
    Optional<StructLayout> node = kernel.struct("xa_node", "slots", "shift", "parent");
    Optional<Member> head =
        kernel.struct("address_space").flatMap(space -> space.member("i_pages.xa_head"));
    return node.isPresent()
            && head.isPresent()
            && node.get().size() <= 1024
            && Long.bitCount(node.get().member("slots").orElseThrow().elementCount()) == 1
        ? Optional.of(new CachedPages(kernel, memMap, head.get().offset(), node.get()))
        : Optional.empty();
  }

  long pages() {
    return pages;
  }

  /// A page that says that it is of a file.
  void page(long pfn, long mapping, long index) {
    pages++;
    if (mapping != lastSpace || last == null) {
      if (spaces.size() >= MAX_SPACES && !spaces.containsKey(mapping)) {
        return;
      }
      lastSpace = mapping;
      last = spaces.computeIfAbsent(mapping, _ -> new Space(pfn, index));
    }
    last.count++;
    last.sum += mixed(index, pfn);
  }

  /// What was met of an address space.
  private static final class Space {
    private final long firstPfn;
    private final long firstIndex;
    private long count;
    private long sum;

    Space(long firstPfn, long firstIndex) {
      this.firstPfn = firstPfn;
      this.firstIndex = firstIndex;
    }
  }

  private static long mixed(long index, long pfn) {
    long mixed = (index + 0x9e3779b97f4a7c15L) * 0xc2b2ae3d27d4eb4fL ^ pfn * 0xd6e8feb86659fd93L;
    mixed ^= mixed >>> 31;
    return mixed * 0x9e3779b97f4a7c15L;
  }

  /// An entry of a tree that leads to a page.
  record Entry(long space, long index, long pfn) {}

  /// Entries of address spaces whose pages and tree do not agree.
  List<Entry> disagreeing() {
    List<Entry> found = new ArrayList<>();
    for (Map.Entry<Long, Space> met : spaces.entrySet()) {
      Cancellation.check();
      List<Entry> tree = tree(met.getKey());
      long rest = met.getValue().sum;
      for (Entry entry : tree) {
        rest -= mixed(entry.index, entry.pfn);
      }
      if (rest != 0) {
        found.addAll(tree);
        if (tree.isEmpty() && met.getValue().count == 1) {
          elsewhere(met.getKey(), met.getValue(), found);
        }
      }
    }
    return found;
  }

  /// The one page that names an address space which has no pages: the one that one flipped bit
  /// leads to may have it.
  private void elsewhere(long space, Space met, List<Entry> found) {
    for (int bit = 3; bit < Long.SIZE; bit++) {
      long other = space ^ (1L << bit);
      if (!spaces.containsKey(other) && kernel.memory().map().isDirectMap(other)) {
        tree(other).stream()
            .filter(entry -> entry.pfn == met.firstPfn && entry.index == met.firstIndex)
            .forEach(found::add);
      }
    }
  }

  private List<Entry> tree(long space) {
    List<Entry> tree = new ArrayList<>();
    walk(space, kernel.word(space + headAt).orElse(0), 0, MAX_DEPTH, Long.SIZE, tree);
    return tree;
  }

  /// @param shift of the node above: a node's own must be less
  private void walk(long space, long entry, long index, int depth, int shift, List<Entry> tree) {
    if ((entry & 3) == 0 && entry != 0) {
      long pfn = memMap.pfn(entry);
      if (pfn >= 0 && entries++ < MAX_ENTRIES) {
        tree.add(new Entry(space, index, pfn));
      }
      return;
    }
    // Values (bit 0) are shadows and swap entries; small internal entries are marks.
    if ((entry & 3) != 2 || Long.compareUnsigned(entry, LAST_MARK) <= 0 || depth == 0) {
      return;
    }
    ByteView node = kernel.memory().bytes(entry - 2, slotsAt + slots * 8);
    if (node == null) {
      return;
    }
    int own = node.u8(shiftAt);
    if (own >= shift) {
      return;
    }
    for (int i = 0; i < slots; i++) {
      long slot = node.u64(slotsAt + 8L * i);
      if (slot != 0) {
        walk(space, slot, index + ((long) i << own), depth - 1, own, tree);
      }
    }
  }
}
