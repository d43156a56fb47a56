package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.vmcheck.attribution.CacheMembers;
import org.vmcheck.attribution.CacheNumbers;
import org.vmcheck.attribution.FlippedBit;
import org.vmcheck.attribution.WordShape;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabPlace;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.TransientState;
import org.vmcheck.slab.Words;

/// Are the lists of caches and slabs whole, and is every slab where it must be?
public final class SlabListsCheck implements Check {
  private static final int MAX_NOTES = 20;

  /// Slabs of one strange cache that are named.
  private static final int MAX_NAMED = 4;

  /// Bytes of a `kmem_cache` where the cache of caches is not known.
  private static final long LEAST_CACHE = 256;

  /// Bytes of a page descriptor: a link that is off by less leads into it.
  private static final long NODE_BYTES = 64;

  @Override
  public String id() {
    return "slab.lists";
  }

  @Override
  public String question() {
    return "Are the allocator's lists whole, and is every slab on the right one?";
  }

  @Override
  public String explanation() {
    return """
    Follows slab_caches and the nodes' partial and full lists in both directions, and the CPUs'
    partial chains, which have only one, and compares each slab's place with its own account:
    slab_cache, frozen, its node, the pages around it, and the descriptors of all its pages (PG_head,
    compound_head, the order). A list with one bad link is read from the other side, so that the
    slabs behind it are not lost.

    In detail: where a cache counts more slabs than were met, they are looked for:
    without their mark, under another cache's name, or wiped; the word found is the fault, and the
    counter was right. The members of each cache that the allocator computes from one another must
    agree: size, object_size, inuse, offset, oo, min, reciprocal_size, align, red_left_pad and the
    debugging flags; name must be readable, and ctor be code.

    The words of sheaves and barns are compared too: every sheaf but the static one names its cache,
    counts no more than it can hold, and holds objects of the cache, each in one place.

    Legal for an instant, and so notes: with list_lock held, nr_partial one off, more if as many
    slabs are on no list, one node linked half, and one slab a node that is full or frozen and still
    on its partial list; a freelist and no slab, for one cache a CPU, if the objects lie in a frozen
    slab of the cache that no list keeps (the CPU lets go of it); with a slab's page locked, inuse
    one off; one slab a CPU that a cache's nr_slabs does not count and that no list keeps, whatever
    its words say (it is built or given back); pages that are marked as slabs, name no cache and
    look just allocated, one a CPU and up to 64 of tasks that wait for memory; a cache with refcount 0 (destroyed, or kept for leaked objects);
    with slab_mutex held, object_size of a merged cache ahead of inuse; an align that is no power of
    two, if size was rounded with it; empty slabs on no list; slabs carried between lists, up to 64 a
    CPU (frozen up to 6.7, from 6.8 on without the mark of a node's list) and else one a CPU; full slabs
    that are frozen, one a CPU; slabs of a cache that kmem_cache_destroy took off slab_caches, or
    that a broken slab_caches, which is the finding, no more shows.
    With a barn's lock held, nr_full and nr_empty one off (or as many as there are, with an empty
    list) and one sheaf linked half; with the lock of a CPU's sheaves held, rcu_free full, a sheaf in
    two places, and the last entry of main free elsewhere; of a CPU that is offline, one sheaf whose
    objects are free in their slabs already.
    With SLAB and list_lock held: one slab on slabs_partial that is full, or on slabs_free that is
    not empty; one node linked half; total_slabs, free_slabs one off, free_objects by a slab and an
    array cache; the first entries of one array cache that are free in another place too (a whole
    batch of them also without the lock); empty slabs on no list; and one slab a CPU on no list with
    list poison.
    Anything beyond that is a finding, and so is a bad free pointer, a cycle or an object on two
    lists in a slab that is counted.

    It can mislead: what a CPU was changing looks half done; such states are known and are notes
    (-v lists them).
    Next: compare the bad word with list poison and with its neighbours.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SLAB;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    SlabSurvey survey = context.survey();
    List<Finding> findings = new ArrayList<>();
    List<String> gaps = new ArrayList<>();
    Map<Strange, List<SlabFault.Owner>> owners = new LinkedHashMap<>();
    Map<SlabCache, List<CacheMembers.Wrong>> wrongMembers = context.wrongMembers();
    for (SlabFault fault : context.soundFaults()) {
      switch (fault) {
        case SlabFault.Links links -> {
          if (links.walk().end()
              instanceof
              ListWalk.End.Unreadable(
                  long _,
                  long to,
                  MemoryRead.Missing(long _, long _, PageRead why))) {
            gaps.add(
                "the %s of cache %s cannot be followed to 0x%x: its page is %s"
                    .formatted(links.list(), Words.name(links.cache()), to, why.words()));
          } else {
            findings.add(links(kernel, links));
          }
        }
        case SlabFault.Stray stray ->
            findings.add(
                finding(
                    kernel,
                    stray,
                    Cause.LIST_BROKEN,
                    "the %s of cache %s leads to 0x%x: %s"
                        .formatted(
                            stray.list(), Words.name(stray.cache()), stray.raw(), stray.why()),
                    stray.raw(),
                    Evidence.UNKNOWN));
        case SlabFault.Owner owner ->
            owners
                .computeIfAbsent(
                    new Strange(owner.cache(), owner.slabCache()), _ -> new ArrayList<>())
                .add(owner);
        case SlabFault.Place place ->
            findings.add(
                finding(
                    kernel,
                    place,
                    Cause.METADATA_OVERWRITTEN,
                    "a slab of cache %s contradicts its place: %s%s"
                        .formatted(
                            Words.name(place.cache()),
                            place.why(),
                            place.places().isEmpty()
                                ? ""
                                : place.places().stream()
                                    .map(SlabPlace::words)
                                    .collect(Collectors.joining(", ", " (", ")"))),
                    place.raw(),
                    place.slab().address()));
        case SlabFault.Insane insane -> {
          // Which member of the cache it is, is said below.
          if (insane.address() != insane.cache().address()
              || !wrongMembers.containsKey(insane.cache())) {
            findings.add(
                finding(
                    kernel,
                    insane,
                    Cause.METADATA_OVERWRITTEN,
                    "cache %s cannot be right: %s"
                        .formatted(Words.name(insane.cache()), insane.why()),
                    Evidence.UNKNOWN,
                    Evidence.UNKNOWN));
          }
        }
        case SlabFault.Entry entry ->
            findings.add(
                finding(
                    kernel,
                    entry,
                    entry.isTwiceFree() ? Cause.DOUBLE_FREE : Cause.METADATA_OVERWRITTEN,
                    "the %s of cache %s holds 0x%x: %s"
                        .formatted(
                            entry.array(), Words.name(entry.cache()), entry.raw(), entry.why()),
                    entry.raw(),
                    entry.slab() == null ? Evidence.UNKNOWN : entry.slab().address()));
        case SlabFault.Sheaf sheaf ->
            findings.add(
                finding(
                    kernel,
                    sheaf,
                    Cause.METADATA_OVERWRITTEN,
                    "the %s of cache %s cannot be right: %s at 0x%x is 0x%x, and %s"
                        .formatted(
                            sheaf.sheaf(),
                            Words.name(sheaf.cache()),
                            sheaf.member(),
                            sheaf.address(),
                            sheaf.raw(),
                            sheaf.why()),
                    sheaf.raw(),
                    sheaf.right(),
                    Evidence.UNKNOWN));
        case SlabFault.Unread unread -> unread(kernel, unread, findings, gaps);
        case SlabFault.Wild wild -> wild(kernel, wild, findings, gaps);
        case SlabFault.Overlap overlap ->
            findings.add(
                finding(
                    kernel,
                    overlap,
                    Cause.METADATA_OVERWRITTEN,
                    "page frame 0x%x is marked as a slab inside the %d pages of the slab at 0x%x"
                        .formatted(overlap.pfn(), overlap.pages(), overlap.slab()),
                    Evidence.UNKNOWN,
                    overlap.slab()));
        case SlabFault.Descriptor descriptor ->
            findings.add(
                finding(
                    kernel,
                    descriptor,
                    Cause.METADATA_OVERWRITTEN,
                    "%s of page frame 0x%x, of a slab of cache %s, is wrong: %s"
                        .formatted(
                            descriptor.member(),
                            descriptor.pfn(),
                            Words.name(descriptor.cache()),
                            descriptor.why()),
                    descriptor.raw(),
                    descriptor.slab()));
        case SlabFault.Broken _, SlabFault.Count _, SlabFault.Pattern _, SlabFault.Absent _ -> {}
      }
    }
    owners.forEach((strange, slabs) -> owner(kernel, strange, slabs, findings, gaps));
    wrongMembers.forEach(
        (cache, wrong) -> wrong.forEach(one -> findings.add(member(kernel, cache, one))));
    if (findings.isEmpty() && survey.slabs() == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          Words.noSlabs(survey),
          Map.of(),
          notes(kernel, survey),
          new Coverage(Map.of(), Map.of(), gaps));
    }
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("caches", Integer.toString(survey.tallies().size()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? gaps.isEmpty()
                ? "all lists are whole"
                : "the lists are whole as far as they are in the dump"
            : Words.plural(
                findings.size(), "list or slab is out of place", "lists or slabs are out of place"),
        facts,
        findings,
        notes(kernel, survey),
        new Coverage(Map.of("caches", (long) survey.tallies().size()), Map.of(), gaps));
  }

  /// One note a kind of state, not one a slab.
  private static List<Note> notes(Kernel kernel, SlabSurvey survey) {
    List<Note> notes = new ArrayList<>();
    for (SlabCache cache : SlabCaches.of(kernel).caches()) {
      if (cache.refcount() == 0 && notes.size() < MAX_NOTES) {
        notes.add(
            new Note(
                "instant",
                "cache %s: refcount is 0; no damage: kmem_cache_destroy is at it, or gave up on it"
                        .formatted(Words.name(cache))
                    + " for objects that were still in use"));
      }
    }
    for (TransientState state : survey.transients()) {
      if (notes.size() == MAX_NOTES) {
        notes.add(new Note("instant", "%d more".formatted(survey.transients().size() - MAX_NOTES)));
        break;
      }
      notes.add(
          new Note(
              "instant",
              "%s%s; %s%s"
                  .formatted(
                      state.cache() == null ? "" : "cache " + Words.name(state.cache()) + ": ",
                      state.what(),
                      state.isLegal() ? "legal for an instant: " : "",
                      state.why())));
    }
    return notes;
  }

  /// A structure that cannot be read: absent from the dump is a gap, a wild pointer is damage.
  private void unread(
      Kernel kernel, SlabFault.Unread unread, List<Finding> findings, List<String> gaps) {
    if (unread.why() instanceof MemoryRead.Missing(long _, long _, PageRead why)) {
      gaps.add(
          "%s of cache %s at 0x%x: its page is %s"
              .formatted(
                  unread.words(), Words.name(unread.cache()), unread.address(), why.words()));
      return;
    }
    findings.add(
        finding(
            kernel,
            unread,
            Cause.METADATA_OVERWRITTEN,
            "%s of cache %s at 0x%x is %s"
                .formatted(
                    unread.words(),
                    Words.name(unread.cache()),
                    unread.address(),
                    unread.why().words()),
            Evidence.UNKNOWN,
            Evidence.UNKNOWN));
  }

  /// A pointer of a cache that cannot be followed: into a page that the dump lacks a gap, else
  /// damage.
  private void wild(Kernel kernel, SlabFault.Wild wild, List<Finding> findings, List<String> gaps) {
    if (wild.why() instanceof MemoryRead.Missing(long _, long _, PageRead why)) {
      gaps.add(
          "kmem_cache.%s of cache %s leads to 0x%x, and there is no %s: its page is %s"
              .formatted(
                  wild.member(), Words.name(wild.cache()), wild.raw(), wild.target(), why.words()));
      return;
    }
    findings.add(
        finding(
            kernel,
            wild,
            Cause.METADATA_OVERWRITTEN,
            "kmem_cache.%s of cache %s is 0x%x and leads to no %s: %s"
                .formatted(
                    wild.member(),
                    Words.name(wild.cache()),
                    wild.raw(),
                    wild.target(),
                    wild.why().words()),
            wild.raw(),
            Evidence.UNKNOWN));
  }

  /// What slabs name as their cache.
  ///
  /// @param cache whose they are; null if that cannot be told
  private record Strange(SlabCache cache, long slabCache) {}

  /// Slabs that name the same wrong cache: one finding, however many they are. None where the cache
  /// is on slab_caches and only its page is missing from the dump.
  private void owner(
      Kernel kernel,
      Strange strange,
      List<SlabFault.Owner> slabs,
      List<Finding> findings,
      List<String> gaps) {
    SlabFault.Owner first = slabs.getFirst();
    String count = Words.plural(slabs.size(), "slab", "slabs");
    for (StructRead.Unread cache : SlabCaches.of(kernel).unread()) {
      if (cache.vaddr() == strange.slabCache()
          && cache.why() instanceof MemoryRead.Missing(long _, long _, PageRead why)) {
        gaps.add(
            "%s of the cache at 0x%x: the page of its kmem_cache is %s"
                .formatted(count, cache.vaddr(), why.words()));
        return;
      }
    }
    long right = strange.cache() == null ? Evidence.UNKNOWN : strange.cache().address();
    String named =
        slabs.stream()
            .limit(MAX_NAMED)
            .map(slab -> "0x%x".formatted(slab.slab()))
            .collect(Collectors.joining(", "));
    findings.add(
        finding(
            kernel,
            first,
            strange.cache() != null
                    && FlippedBit.isTelling(strange.slabCache(), right, cacheBytes(kernel))
                    && !SlabCaches.of(kernel).byAddress().containsKey(strange.slabCache())
                ? Cause.BIT_FLIP
                : Cause.METADATA_OVERWRITTEN,
            slabs.size() == 1
                ? "slab_cache of the slab at 0x%x is 0x%x: %s"
                    .formatted(first.slab(), strange.slabCache(), first.why())
                : "slab_cache of %s is 0x%x (those at %s%s): %s"
                    .formatted(
                        count,
                        strange.slabCache(),
                        named,
                        slabs.size() > MAX_NAMED
                            ? " and %d more".formatted(slabs.size() - MAX_NAMED)
                            : "",
                        first.why()),
            strange.slabCache(),
            right,
            first.slab()));
  }

  /// Bytes of a `kmem_cache` as it is allocated: a pointer that is off by less leads into it.
  private static long cacheBytes(Kernel kernel) {
    return SlabCaches.of(kernel).caches().stream()
        .filter(cache -> cache.name().equals("kmem_cache"))
        .mapToLong(SlabCache::size)
        .findFirst()
        .orElse(LEAST_CACHE);
  }

  /// A member of a cache that cannot be right.
  private Finding member(Kernel kernel, SlabCache cache, CacheMembers.Wrong wrong) {
    Cause cause = wrong.isOneBit() ? Cause.BIT_FLIP : Cause.METADATA_OVERWRITTEN;
    long physical = kernel.memory().physicalAddress(wrong.address());
    String value = CacheNumbers.number(wrong.name(), wrong.value());
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.WordAt(
            wrong.address(),
            physical,
            wrong.value(),
            wrong.expected().orElse(Evidence.UNKNOWN),
            "kmem_cache.%s at 0x%x is %s: %s"
                .formatted(wrong.name(), wrong.address(), value, wrong.why())));
    if (wrong.expected().isPresent()) {
      long right = wrong.expected().getAsLong();
      evidence.add(
          new Evidence.WhatIf(
              "kmem_cache." + wrong.name(),
              "with %s nothing contradicts; %s"
                  .formatted(
                      CacheNumbers.number(wrong.name(), right),
                      FlippedBit.words(wrong.value(), right, physical))));
    }
    evidence.add(
        HexWindow.around(kernel, wrong.address(), wrong.byteCount(), "the cache's members"));
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        "kmem_cache.%s of cache %s cannot be right: it is %s"
            .formatted(wrong.name(), Words.name(cache), value),
        Subject.cache(Words.name(cache))
            .withAddress(wrong.address(), physical)
            .withWord(wrong.value(), Evidence.UNKNOWN),
        evidence,
        List.of(),
        Fingerprint.of(id(), cause, Words.name(cache), "kmem_cache." + wrong.name()));
  }

  private Finding links(Kernel kernel, SlabFault.Links links) {
    ListWalk walk = links.walk();
    String end =
        switch (walk.end()) {
          case ListWalk.End.Closed() -> "is whole";
          case ListWalk.End.Unreadable(long from, long to, MemoryRead why) ->
              "leads from 0x%x to 0x%x: %s".formatted(from, to, why.words());
          case ListWalk.End.PrevMismatch(long from, long to, long prev) ->
              "leads from 0x%x to 0x%x, whose prev is 0x%x".formatted(from, to, prev);
          case ListWalk.End.Overwritten(long from, long node, long behind, long next, long prev) ->
              ("leads from 0x%x and, read backwards, from 0x%x to 0x%x, both of whose words are"
                      + " wrong: next 0x%x, prev 0x%x")
                  .formatted(from, behind, node, next, prev);
          case ListWalk.End.Circle(long from, String member, long to) ->
              "runs in a circle: %s of 0x%x leads back to 0x%x, which was met before"
                  .formatted(member, from, to);
          case ListWalk.End.TooLong(long _, int bound) -> "has more than " + bound + " nodes";
        };
    long raw = walk.bad().map(ListWalk.BadLink::value).orElse(Evidence.UNKNOWN);
    String blame =
        walk.bad()
            .filter(bad -> bad.expected() != 0)
            .map(
                bad ->
                    "; the word %s at 0x%x must be 0x%x for the list to be whole"
                        .formatted(bad.member(), bad.address(), bad.expected()))
            .orElse("");
    long right = walk.bad().map(ListWalk.BadLink::expected).orElse(0L);
    boolean isOneBit = right != 0 && FlippedBit.isTelling(raw, right, NODE_BYTES);
    return finding(
        kernel,
        links,
        isOneBit ? Cause.BIT_FLIP : Cause.LIST_BROKEN,
        "%s%s %s%s"
            .formatted(
                links.list(),
                links.cache() == null ? "" : " of cache " + Words.name(links.cache()),
                end,
                blame),
        raw,
        right == 0 ? Evidence.UNKNOWN : right,
        Evidence.UNKNOWN);
  }

  private Finding finding(
      Kernel kernel, SlabFault fault, Cause cause, String claim, long raw, long slab) {
    return finding(kernel, fault, cause, claim, raw, Evidence.UNKNOWN, slab);
  }

  /// @param right what the word must hold, if that is known
  private Finding finding(
      Kernel kernel, SlabFault fault, Cause cause, String claim, long raw, long right, long slab) {
    List<Evidence> evidence = new ArrayList<>();
    if (raw != Evidence.UNKNOWN) {
      evidence.add(
          new Evidence.WordAt(
              fault.address(),
              kernel.memory().physicalAddress(fault.address()),
              raw,
              right,
              "the word at 0x%x is 0x%016x (%s)%s"
                  .formatted(
                      fault.address(),
                      raw,
                      WordShape.of(kernel, raw).words(),
                      right == Evidence.UNKNOWN
                          ? ""
                          : "; 0x%x belongs there, %s"
                              .formatted(
                                  right,
                                  FlippedBit.words(
                                      raw,
                                      right,
                                      kernel.memory().physicalAddress(fault.address()))))));
    }
    evidence.add(HexWindow.around(kernel, fault.address(), 8, "the bytes around it"));
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        claim,
        Subject.cache(Words.name(fault.cache()))
            .withSlab(slab)
            .withAddress(fault.address(), kernel.memory().physicalAddress(fault.address()))
            .withWord(raw, Evidence.UNKNOWN),
        evidence,
        List.of(),
        Fingerprint.of(id(), cause, Words.name(fault.cache()), place(fault)));
  }

  /// The place of a fault by the kernel's names.
  private static String place(SlabFault fault) {
    return Words.place(
        switch (fault) {
          case SlabFault.Links links ->
              links.list() + links.walk().bad().map(bad -> " " + bad.member()).orElse("");
          case SlabFault.Stray stray -> stray.list();
          case SlabFault.Owner _ -> "slab_cache";
          case SlabFault.Place contradicting -> contradicting.rule().id();
          case SlabFault.Insane insane -> insane.member();
          case SlabFault.Entry entry -> entry.array();
          case SlabFault.Sheaf sheaf -> sheaf.sheaf() + " " + sheaf.member();
          case SlabFault.Unread unread -> unread.what();
          case SlabFault.Wild wild -> "kmem_cache." + wild.member();
          case SlabFault.Broken broken -> broken.listName();
          case SlabFault.Count count -> count.counter();
          case SlabFault.Pattern pattern -> pattern.zone().words();
          case SlabFault.Overlap _ -> "slab in a slab";
          case SlabFault.Descriptor descriptor -> descriptor.member();
          case SlabFault.Absent _ -> "pages";
        });
  }
}
