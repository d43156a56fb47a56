package org.vmcheck.check;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import org.vmcheck.arch.Architecture;
import org.vmcheck.arch.Architectures;
import org.vmcheck.attribution.CacheMembers;
import org.vmcheck.attribution.Diagnosis;
import org.vmcheck.attribution.FreelistDiagnosis;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PageSweep;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.lowmem.CaptureKernel;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.PageMask;
import org.vmcheck.memory.UnmaskedMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// What the checks look at: one open dump, the kernel in it, and the one pass over its slabs that
/// several checks share.
public final class CheckContext {
  /// Beyond these a counter that disagrees is reported as it stands.
  private static final int MAX_WRONG_LENGTHS = 256;

  /// Bytes a second of a pass over words, and of zlib: of a slow machine.
  private static final double LOOKED_AT = 200e6;

  private static final double DECODED = 150e6;

  private final Dump dump;
  private final KernelSearch search;
  private final int threads;
  private final boolean full;
  private final BooleanSupplier isOver;
  private PageSweep sweep;
  private SlabSurvey survey;
  private LowMemoryReading lowMemory;
  private CheckContext unmasked;
  private CaptureKernel captureKernel;
  private Map<SlabFault.Count, Diagnosis> wrongLengths;
  private Map<SlabCache, List<CacheMembers.Wrong>> wrongMembers;

  /// @param threads how many threads a check may use
  /// @param full whether every stored page is to be decoded
  /// @param isOver true once the deadline has passed
  public CheckContext(
      Dump dump, KernelSearch search, int threads, boolean full, BooleanSupplier isOver) {
    this.dump = dump;
    this.search = search;
    this.threads = threads;
    this.full = full;
    this.isOver = isOver;
  }

  public Dump dump() {
    return dump;
  }

  public KernelSearch search() {
    return search;
  }

  public Optional<Kernel> kernel() {
    return search instanceof KernelSearch.Found(Kernel kernel)
        ? Optional.of(kernel)
        : Optional.empty();
  }

  public int threads() {
    return threads;
  }

  public boolean isFull() {
    return full;
  }

  /// What it takes to go through memory once, in seconds of one processor: bytes that are looked at
  /// word by word, and decoded where the dump is packed.
  OptionalDouble secondsFor(long bytes) {
    return OptionalDouble.of(bytes / LOOKED_AT + (dump.memory().isPacked() ? bytes / DECODED : 0));
  }

  public boolean isOver() {
    return isOver.getAsBoolean();
  }

  /// The decoding of the stored pages that has begun already, beside whatever else is read. Whoever
  /// began it ends it before the dump is closed.
  public synchronized void decodingBegan(PageSweep begun) {
    sweep = begun;
  }

  /// What came of decoding the stored pages.
  synchronized PageSweep.Result decoding() {
    if (full) {
      return PageSweep.over(dump, threads, (what, done, total) -> {}, isOver);
    }
    PageSweep begun = sweep == null ? ContainerPagesCheck.decode(dump, 0, isOver) : sweep;
    return begun.finish(threads);
  }

  /// Why the slabs cannot be walked; empty if they can.
  public List<String> unmetForSlabs() {
    return Needs.SLAB.unmet(this);
  }

  /// The pass over all slabs, made when first asked for. Only for checks that need [Needs#SLAB].
  public synchronized SlabSurvey survey() {
    if (survey == null) {
      Kernel kernel = kernel().orElseThrow();
      MemMap memMap = MemMap.of(kernel).orElseThrow();
      survey = SlabSurvey.run(kernel, memMap, threads, isOver);
    }
    return survey;
  }

  /// That the machine has no low memory that firmware or kexec use, in words; empty if it may have.
  public Optional<String> lacksLowMemory() {
    List<Architecture> architectures =
        kernel()
            .map(found -> List.of(found.architecture()))
            .orElseGet(() -> Architectures.candidates(dump.container()));
    return architectures.isEmpty() || architectures.stream().anyMatch(Architecture::hasLowMemory)
        ? Optional.empty()
        : Optional.of(
            "%s has no low 640 KiB: neither firmware nor kexec uses them"
                .formatted(architectures.getFirst().name()));
  }

  /// How the low 640 KiB came into the dump, found out when first asked for.
  public synchronized LowMemoryReading lowMemory() {
    if (lowMemory == null && lacksLowMemory().isPresent()) {
      lowMemory = LowMemoryReading.none(lacksLowMemory().get());
    }
    if (lowMemory == null) {
      Optional<FreelistDecoder> decoder =
          unmetForSlabs().isEmpty() ? Optional.of(survey().vote().decoder()) : Optional.empty();
      lowMemory = LowMemoryReading.of(dump.memory(), kernel(), decoder);
    }
    return lowMemory;
  }

  /// Masks over pages of the low 640 KiB whose plaintext is recovered, by page frame.
  public Map<Long, PageMask> masks() {
    return lowMemory().masks();
  }

  /// Whether the byte at a physical address lies under a part of a mask that rests on no free
  /// pointer: what is read through it is a guess.
  public boolean isGuessed(long paddr) {
    return lowMemory().isGuessed(LowMemory.pfn(paddr), paddr);
  }

  /// The same dump with the pages of the low 640 KiB read through their masks, if any were
  /// recovered: what is still broken there is the kernel's own.
  public synchronized CheckContext unmasked() {
    if (unmasked == null) {
      unmasked = this;
      if (search instanceof KernelSearch.Found(Kernel kernel) && !masks().isEmpty()) {
        unmasked =
            new CheckContext(
                dump,
                new KernelSearch.Found(
                    kernel.over(new UnmaskedMemory(kernel.memory().physical(), masks()))),
                threads,
                full,
                isOver);
        unmasked.captureKernel = captureKernel();
        unmasked.lowMemory = lowMemory.unmasked();
        unmasked.unmasked = unmasked;
      }
    }
    return unmasked;
  }

  /// What a capture kernel left in the low 640 KiB. Only for checks that need a kernel.
  public synchronized CaptureKernel captureKernel() {
    if (captureKernel == null && lacksLowMemory().isPresent()) {
      captureKernel = CaptureKernel.none(lacksLowMemory().get());
    }
    if (captureKernel == null) {
      captureKernel =
          CaptureKernel.of(
              kernel().orElseThrow(),
              unmetForSlabs().isEmpty() ? Optional.of(survey().vote().decoder()) : Optional.empty(),
              lowMemory().ciphertext());
    }
    return captureKernel;
  }

  /// Freelists that are read through masks here, those that break there too.
  long listsThroughMasks() {
    LowMemoryReading reading = lowMemory();
    return reading.masks().isEmpty()
        ? reading.lists().closedUnmasked() + reading.lists().still().size()
        : 0;
  }

  /// What is wrong with slabs and rests on pages that the dump holds as they were: the kernel's own
  /// trouble.
  public List<SlabFault> soundFaults() {
    return survey().faults().stream()
        .filter(fault -> !isOnCiphertext(fault))
        .filter(fault -> !isOn(lowMemory().doubtful(), fault))
        .filter(fault -> !isOn(captureKernel().overwritten(), fault))
        .filter(fault -> !isUnread(fault))
        .toList();
  }

  /// Members of caches that cannot be right, of the caches that have such and lie on sound pages;
  /// found out when first asked for.
  public synchronized Map<SlabCache, List<CacheMembers.Wrong>> wrongMembers() {
    if (wrongMembers == null) {
      wrongMembers = new LinkedHashMap<>();
      Kernel kernel = kernel().orElseThrow();
      for (SlabCache cache : SlabCaches.of(kernel).caches()) {
        long paddr = kernel.memory().physicalAddress(cache.address());
        List<CacheMembers.Wrong> wrong =
            paddr < 0 || isSpoiled(kernel.memory().pfn(paddr))
                ? List.of()
                : CacheMembers.wrong(kernel, cache);
        if (!wrong.isEmpty()) {
          wrongMembers.put(cache, wrong);
        }
      }
    }
    return wrongMembers;
  }

  /// Whether it rests on a page that the system could not deliver: nothing is known of it then.
  private boolean isUnread(SlabFault fault) {
    Set<Long> unreadable = dump.unreadablePages();
    return !unreadable.isEmpty()
        && (isOn(unreadable, fault)
            || (fault instanceof SlabFault.Unread unread && isUnreadable(unread.why()))
            || (fault instanceof SlabFault.Wild wild && isUnreadable(wild.why()))
            || (fault instanceof SlabFault.Links links
                && links.walk().end() instanceof ListWalk.End.Unreadable(_, _, MemoryRead why)
                && isUnreadable(why)));
  }

  /// Slabs whose `inuse` disagrees with a list that ends well, of which the list is wrong: the
  /// counters are right if one word of it leads elsewhere. By the fault of the counter.
  synchronized Map<SlabFault.Count, Diagnosis> wrongLengths() {
    if (wrongLengths == null) {
      wrongLengths = new LinkedHashMap<>();
      List<SlabFault.Count> counts = new ArrayList<>();
      for (SlabFault fault : soundFaults()) {
        if (fault instanceof SlabFault.Count count
            && count.slab() != null
            && count.counter().equals("slab.inuse")
            && counts.size() < MAX_WRONG_LENGTHS) {
          counts.add(count);
        }
      }
      Kernel kernel = kernel().orElseThrow();
      if (counts.isEmpty() || SlabCaches.of(kernel).layout().isEmpty()) {
        return wrongLengths;
      }
      Set<Long> listed = new HashSet<>();
      Map<Long, BitSet> held = new HashMap<>();
      for (SlabView view :
          SlabSurvey.views(
              kernel,
              MemMap.of(kernel).orElseThrow(),
              counts.stream().map(count -> count.slab().pfn()).toList())) {
        if (!view.places().isEmpty()) {
          listed.add(view.slab().address());
        }
        held.put(view.slab().address(), heldElsewhere(view));
      }
      for (SlabFault.Count count : counts) {
        FreelistDiagnosis.ofLength(
                kernel,
                survey().vote().decoder(),
                count.slab(),
                listed.contains(count.slab().address()),
                held.getOrDefault(count.slab().address(), new BitSet()))
            .ifPresent(result -> wrongLengths.put(count, result));
      }
    }
    return wrongLengths;
  }

  /// Objects of a slab that are on a CPU's list or in sheaves.
  private static BitSet heldElsewhere(SlabView view) {
    BitSet held = new BitSet();
    for (SlabView.FreeObjects list : view.lists()) {
      if (!list.name().equals("slab.freelist")) {
        list.objects().forEach(held::set);
      }
    }
    return held;
  }

  /// Lists and structures of the allocator that could not be followed for want of a page;
  /// slab.lists names them.
  long unreachedLists() {
    return soundFaults().stream()
        .map(
            fault ->
                switch (fault) {
                  case SlabFault.Unread unread -> unread.why();
                  case SlabFault.Wild wild -> wild.why();
                  case SlabFault.Links links
                      when links.walk().end() instanceof ListWalk.End.Unreadable(_, _, var why) ->
                      why;
                  default -> null;
                })
        .filter(MemoryRead.Missing.class::isInstance)
        .count();
  }

  private static boolean isUnreadable(MemoryRead read) {
    return read instanceof MemoryRead.Missing(_, _, PageRead why)
        && why instanceof PageRead.Unreadable;
  }

  /// What seems wrong with slabs because pages of them are ciphertext.
  List<SlabFault> ciphertextFaults() {
    return survey().faults().stream().filter(this::isOnCiphertext).toList();
  }

  /// What seems wrong with slabs on pages that may as well be ciphertext as destroyed.
  List<SlabFault> doubtfulFaults() {
    return survey().faults().stream().filter(fault -> isOn(lowMemory().doubtful(), fault)).toList();
  }

  /// Whether it rests on bytes that are not the kernel's: ciphertext, or what comes out under a
  /// part of a mask that was guessed.
  private boolean isOnCiphertext(SlabFault fault) {
    LowMemoryReading reading = lowMemory();
    if (isOn(reading.ciphertext(), fault)) {
      return true;
    }
    if (reading.guessed().isEmpty() || !reading.masks().isEmpty()) {
      return false;
    }
    long paddr = kernel().orElseThrow().memory().physicalAddress(address(fault));
    return paddr >= 0
        && (fault instanceof SlabFault.Broken
            ? reading.isGuessed(LowMemory.pfn(paddr), paddr)
            : reading.isGuessed(LowMemory.pfn(paddr), 0)
                || reading.isGuessed(LowMemory.pfn(paddr), 8));
  }

  /// What seems wrong with slabs because the capture kernel wrote over pages of them.
  List<SlabFault> overwrittenFaults() {
    return unmetForSlabs().isEmpty()
        ? survey().faults().stream()
            .filter(fault -> isOn(captureKernel().overwritten(), fault))
            .toList()
        : List.of();
  }

  /// Whether a page frame of the low range holds other bytes than the kernel left there.
  public boolean isSpoiled(long pfn) {
    return lowMemory().ciphertext().contains(pfn)
        || (kernel().isPresent() && captureKernel().overwritten().contains(pfn));
  }

  /// Names of caches that have a slab on such a page.
  ///
  /// @param recovered frames that are read rightly all the same
  public List<String> spoiledCaches(Set<Long> recovered) {
    Set<String> names = new TreeSet<>();
    for (long pfn = 0; pfn < LowMemory.BACKUP_END_PFN; pfn++) {
      PageState state = MemMap.of(kernel().orElseThrow()).orElseThrow().state(pfn);
      SlabCache cache = SlabCaches.of(kernel().get()).byAddress().get(state.slabCache());
      if (state.kind() == PageState.Kind.SLAB
          && cache != null
          && !recovered.contains(pfn)
          && isSpoiled(pfn)) {
        names.add(cache.name());
      }
    }
    return List.copyOf(names);
  }

  private boolean isOn(Set<Long> frames, SlabFault fault) {
    if (frames.isEmpty()) {
      return false;
    }
    long paddr = kernel().orElseThrow().memory().physicalAddress(address(fault));
    return paddr >= 0 && frames.contains(kernel().orElseThrow().memory().pfn(paddr));
  }

  /// Where the bytes lie that a fault rests on.
  private static long address(SlabFault fault) {
    return fault instanceof SlabFault.Broken broken ? broken.list().end().slot() : fault.address();
  }

  /// The pass, if some check asked for it; the one through masks, if there is one.
  public synchronized Optional<SlabSurvey> surveyIfMade() {
    return unmasked != null && unmasked != this
        ? unmasked.surveyIfMade().or(() -> Optional.ofNullable(survey))
        : Optional.ofNullable(survey);
  }
}
