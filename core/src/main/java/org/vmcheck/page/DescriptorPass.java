package org.vmcheck.page;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;

/// The pass of a [PageSurvey].
final class DescriptorPass implements MemMap.Visitor {
  /// Descriptors that are looked at between two questions whether time is up.
  private static final long CHUNK = 1 << 14;

  /// Pages on LRU lists that are looked at one by one where some link is wrong.
  private static final int MAX_PAGES = 1 << 22;

  private final Kernel kernel;
  private final MemMap memMap;
  private final boolean isStill;
  private final Zones zones;
  private final FlagFields fields;
  private final SystemRam ram;
  private final FreeLists lists;
  private final RareFaults rare;
  private final Compounds compounds;
  private final LruLinks links;
  private final Optional<CachedPages> cached;
  private final DescriptorRules rules;
  private final SortedMap<String, Long> notRead = new TreeMap<>();
  private final List<String> transients = new ArrayList<>();
  private final List<String> remarks = new ArrayList<>();

  private long frames;
  private long ofZone;
  private long free;
  private long reserved;

  /// Words that were held against something; of others it is not known what they must be.
  private long words;

  /// The zone of the frames from one border to the next.
  private Zones.Zone zone;

  private long border;
  private int nextBlock;
  private FreeLists.Block block;

  DescriptorPass(Kernel kernel) {
    this.kernel = kernel;
    this.memMap = MemMap.of(kernel).orElseThrow();
    this.isStill = kernel.isStopped();
    this.zones = Zones.of(kernel);
    this.fields = FlagFields.of(kernel, memMap, zones);
    this.ram = SystemRam.of(kernel);
    this.lists = FreeLists.read(kernel, memMap, zones, isStill);
    this.rare = new RareFaults(kernel.memory().pageShift());
    this.compounds = new Compounds(memMap, rare);
    this.links = new LruLinks(kernel, memMap);
    this.cached = CachedPages.of(kernel, memMap);
    this.rules = new DescriptorRules(kernel, memMap, fields, rare, zones.haveOneNode());
  }

  PageSurvey run() {
    List<PageFault> found = new ArrayList<>();
    if (rules.areKnown()) {
      PageBuffer page = memMap.newBuffer();
      long end = memMap.endPfn();
      for (long pfn = 0; pfn < end; pfn += CHUNK) {
        Cancellation.check();
        memMap.stream(pfn, Math.min(pfn + CHUNK, end), this, page);
      }
      compounds.finish();
      if (isStill) {
        lruLinks();
        cachedPages();
      }
    }
    rare.addTo(found, remarks);
    return survey(found);
  }

  private PageSurvey survey(List<PageFault> found) {
    List<PageFault> ofLists = new ArrayList<>(lists.faults());
    found.stream().filter(PageFault::isOfLists).forEach(ofLists::add);
    found.removeIf(PageFault::isOfLists);
    SortedMap<String, Long> lookedAt = new TreeMap<>();
    lookedAt.put("descriptors", frames);
    lookedAt.put("descriptors of a known zone", ofZone);
    lookedAt.put("descriptors of free pages", free);
    lookedAt.put("descriptors of reserved pages", reserved);
    lookedAt.put("compound pages", compounds.count());
    if (isStill) {
      lookedAt.put("links of LRU lists", links.nodes());
      lookedAt.put("pages of files", cached.map(CachedPages::pages).orElse(0L));
    }
    lookedAt.values().removeIf(count -> count == 0);
    SortedMap<String, Long> listed = new TreeMap<>(lists.lookedAt());
    listed.put("free blocks", (long) lists.blocks().size());
    listed.values().removeIf(count -> count == 0);
    return new PageSurvey(
        lookedAt,
        notRead,
        found,
        transients,
        remarks,
        words * Long.BYTES,
        Optional.of(
            new PageSurvey(
                listed,
                lists.notRead(),
                ofLists,
                lists.transients(),
                List.of(),
                lists.bytes(),
                Optional.empty())));
  }

  @Override
  public void unreadable(long firstPfn, long count) {
    notRead.merge("page descriptors", count, Long::sum);
  }

  @Override
  public void page(long pfn, byte[] bytes, int at) {
    frames++;
    long flags = memMap.flags(bytes, at);
    if (flags == -1 || (flags == 0 && memMap.isWiped(bytes, at))) {
      return; // Never set up, or wiped: nothing in it says anything.
    }
    if (pfn >= border) {
      zone = zones.of(pfn);
      border = zones.nextBorder(pfn);
    }
    if (zone != null && zone.name().equals("Device")) {
      return;
    }
    if (zone != null && fields.isKnown()) {
      ofZone++;
      words++;
      long differs = (flags ^ fields.value(memMap, pfn, zone.index(), zone.node())) & fields.mask();
      if (differs != 0 && (!rules.isReserved(flags) || ram.has(pfn))) {
        rules.place(pfn, flags, flags ^ differs);
      }
    }
    if (memMap.isHwPoison(bytes, at)) {
      return;
    }
    FreeLists.Block in = block(pfn);
    if (in != null && isStill) {
      free++;
      if (!in.isOfCpu() && in.pfn() == pfn) {
        head(in, bytes, at);
      }
      // Links, mapping, counts, memcg; and, where nobody used the page, index and private.
      words += 5 + (rules.free(pfn, in, flags, bytes, at) ? 2 : 0);
      return;
    }
    used(pfn, flags, bytes, at);
  }

  /// The block of free pages that a frame is in, null if in none.
  private FreeLists.Block block(long pfn) {
    if (block != null && pfn < block.end() && pfn >= block.pfn()) {
      return block;
    }
    List<FreeLists.Block> all = lists.blocks();
    while (nextBlock < all.size() && all.get(nextBlock).end() <= pfn) {
      nextBlock++;
    }
    block = nextBlock < all.size() && all.get(nextBlock).pfn() <= pfn ? all.get(nextBlock) : null;
    return block;
  }

  /// The first page of a block that a zone's list has.
  private void head(FreeLists.Block in, byte[] bytes, int at) {
    if (zone == null || !zone.isLocked()) {
      rules.block(in, bytes, at);
    }
  }

  private void used(long pfn, long flags, byte[] bytes, int at) {
    boolean isSlab = memMap.isMarkedAsSlab(bytes, at);
    long mark = MemMap.word(bytes, at + memMap.shape().compoundAt());
    boolean isTail = (mark & 1) != 0 && !(isSlab && memMap.isSlabHead(pfn, bytes, at));
    if (isTail && !rules.isOfBoot(pfn, flags, bytes, at)) {
      compounds.tail(pfn, mark, bytes, at);
      words += 2; // What leads to the head, and the counts.
      rules.tail(pfn, flags, compounds.head(), compounds.isInSlab(), bytes, at);
      return;
    }
    if (compounds.plain(pfn, flags, isSlab, bytes, at)) {
      return;
    }
    if (isSlab) {
      rules.slab(pfn, flags);
      return;
    }
    if (memMap.isFreeBlock(bytes, at)) {
      if (isStill && zone != null && lists.isWhole(zone)) {
        rules.unlisted(pfn, bytes, at);
      }
      return;
    }
    if (rules.isReserved(flags)) {
      reserved++;
      words += rules.reserved(pfn, flags, bytes, at) ? 7 : 0;
      return;
    }
    words += 3; // Counts, mapping, memcg.
    rules.used(pfn, flags, bytes, at);
    if (isStill) {
      register(pfn, flags, bytes, at);
    }
  }

  private void register(long pfn, long flags, byte[] bytes, int at) {
    if (rules.isOnLru(flags)) {
      words += 2;
      int lruAt = memMap.shape().lruAt();
      links.node(
          memMap.descriptor(pfn) + lruAt,
          MemMap.word(bytes, at + lruAt),
          MemMap.word(bytes, at + lruAt + 8));
    }
    long mapping = rules.mapping(bytes, at);
    if (mapping < 0 && (mapping & 3) == 0 && cached.isPresent() && rules.hasIndex()) {
      words++;
      cached.get().page(pfn, mapping, rules.index(bytes, at));
    }
  }

  private void lruLinks() {
    if (links.areWhole()) {
      return;
    }
    List<Long> pages = new ArrayList<>();
    each(
        (pfn, bytes, at) -> {
          if (pages.size() < MAX_PAGES
              && rules.isOnLru(memMap.flags(bytes, at))
              && !memMap.isTail(bytes, at)) {
            pages.add(pfn);
          }
        });
    for (LruLinks.Broken broken : links.broken(pages)) {
      rare.add(
          8,
          new PageFault(
              PageFault.Reason.LINK,
              "a page on an LRU list",
              broken.pfn(),
              broken.address(),
              broken.member(),
              broken.value(),
              broken.expected(),
              true));
    }
  }

  /// What is done with a descriptor that is met once more.
  private interface Visit {
    void page(long pfn, byte[] bytes, int at);
  }

  private void each(Visit visit) {
    PageBuffer page = memMap.newBuffer();
    MemMap.Visitor visitor =
        new MemMap.Visitor() {
          @Override
          public void page(long pfn, byte[] bytes, int at) {
            visit.page(pfn, bytes, at);
          }

          @Override
          public void unreadable(long firstPfn, long count) {
            // Counted the first time.
          }
        };
    for (long pfn = 0; pfn < memMap.endPfn(); pfn += CHUNK) {
      Cancellation.check();
      memMap.stream(pfn, Math.min(pfn + CHUNK, memMap.endPfn()), visitor, page);
    }
  }

  private void cachedPages() {
    if (cached.isEmpty() || !rules.hasIndex()) {
      return;
    }
    for (CachedPages.Entry entry : cached.get().disagreeing()) {
      long at = memMap.descriptor(entry.pfn());
      ByteView view = kernel.memory().bytes(at, memMap.shape().size());
      if (view != null) {
        rules.cached(entry, view.bytes());
      }
    }
  }
}
