package org.vmcheck.analysis;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.task.Moments;

/// Recognises a dump whose parts are from different moments, and gathers what follows from that
/// into one finding.
///
/// The rule: the kernel had not panicked (a live snapshot: no panic line, no panic CPU, no crash
/// time), and one of two things shows several moments.
/// - Words that no instant has together ([Moments]): ticks, clocks, current tasks. Two in different
///   pages are a proof, whatever the slab checks say.
/// - The slab checks disagree in many caches at once, in as many places that are far from each
///   other, and in more than one way: pointers as well as counters or lists. One fault, however
///   bad, damages one cache, its neighbours, or one run of pages; only time damages the busiest
///   caches all together. So a run of neighbouring frames counts for one cache, whoever else has a
///   bad word on it: a wiped page of `kmem_cache_node`s breaks the lists of 64 caches and is one
///   fault.
///
/// What no two moments explain is never gathered: one bit in a word that the kernel never wrote so,
/// or one member of a `kmem_cache`, that put back makes all whole again; a page of the allocator's
/// own structures, or a slab's, that holds one value; text in a page descriptor, or in a free
/// object of a list that is whole but for it, where no object of the cache that is in use has text.
/// A slab's page of zeros is gathered with the rest, for it may have been given back and cleared
/// for its next user between the moments; so may any bytes be a later user's, text too. Of the
/// lab's first three torn dumps two have such pages, six together.
final class TornSnapshot {
  /// Caches that must disagree, each in a place of its own. The lab's torn dumps have 14, 20 and
  /// 21.
  private static final int MIN_CACHES = 8;

  private static final int MIN_KINDS = 2;

  /// Checks that hold words of different pages against each other, besides those of slabs.
  private static final Set<String> ALSO_TORN =
      Set.of(
          "kfence.canaries",
          "list.known",
          "memory.tables",
          "page.buddy",
          "page.descriptors",
          "task.stacks");

  /// What has to be known of the dump's pages.
  interface Pages {
    /// The first frame of the block of pages that a frame is part of; itself if of none.
    long head(long pfn);

    /// The frame that holds a physical address.
    long pfn(long physical);

    /// Whether the page at a physical address holds one byte, and what byte; -1 if several.
    int onlyByte(long physical);
  }

  /// What has to be known of the word that a finding is about.
  interface Words {
    /// Whether no object of the cache that is in use has text where it is.
    boolean usersHaveNoText(Finding finding);

    /// Whether the kernel may have written it as it is, at another moment: a free pointer to an
    /// object of the slab, or a link to where a link can lead.
    boolean mayBeOlder(Finding finding);
  }

  /// The outcomes with the findings of the slab checks gathered, if the dump is torn; else
  /// unchanged.
  static List<CheckOutcome> gather(List<CheckOutcome> outcomes, KernelFacts facts, Kernel kernel) {
    return gather(outcomes, facts, () -> of(kernel));
  }

  /// @param torn what is known of the dump; asked of a kernel that had not panicked
  static List<CheckOutcome> gather(
      List<CheckOutcome> outcomes, KernelFacts facts, Supplier<TornSnapshot> torn) {
    return facts.panic().hasPanicked() ? outcomes : torn.get().gather(outcomes);
  }

  private static TornSnapshot of(Kernel kernel) {
    List<Moments.Disagreement> moments = Moments.disagreements(kernel);
    return new TornSnapshot(
        pages(kernel),
        new DumpedWords(kernel),
        Moments.prove(moments, kernel.memory().pageSize()) ? moments : List.of(),
        KernelDescription.notPanicked(kernel));
  }

  private final Pages pages;
  private final Words words;
  private final List<Moments.Disagreement> proof;
  private final String notPanicked;

  /// @param proof what no instant has together; empty if that does not prove two moments
  /// @param notPanicked that and how it is known that the kernel had not panicked
  TornSnapshot(Pages pages, Words words, List<Moments.Disagreement> proof, String notPanicked) {
    this.pages = pages;
    this.words = words;
    this.proof = List.copyOf(proof);
    this.notPanicked = notPanicked;
  }

  List<CheckOutcome> gather(List<CheckOutcome> outcomes) {
    List<Finding> torn = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      for (Finding finding : outcome.findingsIfRan()) {
        if (finding.check().startsWith("slab.")
            && !finding.cause().isArtefact()
            && mayBeTorn(finding)) {
          torn.add(finding);
        }
      }
    }
    long kinds = torn.stream().map(Finding::check).distinct().count();
    if (proof.isEmpty() && (kinds < MIN_KINDS || cachesApart(torn, pages) < MIN_CACHES)) {
      return outcomes;
    }
    Set<Finding> gone = new HashSet<>(torn);
    for (CheckOutcome outcome : outcomes) {
      if (ALSO_TORN.contains(outcome.id())) {
        gone.addAll(outcome.findingsIfRan()); // The word and its witness may be of two moments.
      }
    }
    return gone.isEmpty() ? alone(outcomes) : gathered(outcomes, torn, gone);
  }

  /// The outcomes with the finding itself where nothing else was found.
  private List<CheckOutcome> alone(List<CheckOutcome> outcomes) {
    List<CheckOutcome> all = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      if (outcome instanceof CheckOutcome.Ran ran && ran.id().equals("slab.lists")) {
        List<Finding> findings = new ArrayList<>(ran.findings());
        findings.add(finding(ran.id(), List.of()));
        all.add(ran.withFindings(findings, ran.notes()));
      } else {
        all.add(outcome);
      }
    }
    return all;
  }

  private List<CheckOutcome> gathered(
      List<CheckOutcome> outcomes, List<Finding> torn, Set<Finding> gone) {
    List<CheckOutcome> gathered = new ArrayList<>();
    boolean first = true;
    for (CheckOutcome outcome : outcomes) {
      List<Finding> rest = new ArrayList<>(outcome.findingsIfRan());
      if (!(outcome instanceof CheckOutcome.Ran ran) || !rest.removeIf(gone::contains)) {
        gathered.add(outcome);
        continue;
      }
      int here = ran.findings().size() - rest.size();
      if (first) {
        rest.add(finding(ran.id(), torn));
        first = false;
      }
      List<Note> notes = new ArrayList<>(ran.notes());
      notes.add(
          new Note(
              "torn snapshot",
              "%d %s put down to the torn snapshot"
                  .formatted(here, here == 1 ? "finding is" : "findings are")));
      gathered.add(ran.withFindings(rest, notes));
    }
    return gathered;
  }

  /// Whether parts from two moments can look like that.
  private boolean mayBeTorn(Finding finding) {
    // That a list would close elsewhere is no proof: its halves may be from different moments.
    boolean isWholeOtherwise =
        finding.evidence().stream()
            .anyMatch(
                one ->
                    one instanceof Evidence.WhatIf(String change, String _)
                        && change.startsWith("kmem_cache."));
    // A list's head changes with each allocation, and two objects of a slab often differ in a bit:
    // an older head is not told from a flipped one.
    boolean isHead =
        finding.check().equals("slab.freelist")
            && finding.subject().slab() != Evidence.UNKNOWN
            && finding.subject().object() == Evidence.UNKNOWN;
    // A pointer to an object is often one bit away from that to another, and a link too.
    boolean isFlip = finding.cause() == Cause.BIT_FLIP && !words.mayBeOlder(finding);
    if (!isHead && (isFlip || isWholeOtherwise)) {
      return false;
    }
    if (LivingObjects.isText(finding.subject().raw())
        && (isHead || (closes(finding) && words.usersHaveNoText(finding)))) {
      return false;
    }
    long physical = finding.subject().physical();
    int only = physical == Evidence.UNKNOWN ? -1 : pages.onlyByte(physical);
    return only < 0 || (only == 0 && finding.check().equals("slab.freelist"));
  }

  /// Whether a freelist is whole but for the finding's word.
  private static boolean closes(Finding finding) {
    return finding.check().equals("slab.freelist")
        && finding.evidence().stream().anyMatch(Evidence.WhatIf.class::isInstance);
  }

  /// How many caches can be told apart by places: the most that can be given a run of frames each,
  /// with a bad word of theirs and no other cache's.
  private static int cachesApart(List<Finding> findings, Pages pages) {
    SortedSet<Long> frames = new TreeSet<>();
    for (Finding finding : findings) {
      if (finding.subject().physical() != Evidence.UNKNOWN) {
        frames.add(pages.pfn(finding.subject().physical()));
      }
    }
    Map<Long, Integer> runs = new HashMap<>();
    long previous = -2;
    int run = 0;
    for (long frame : frames) {
      run += pages.head(frame) - previous > 1 ? 1 : 0;
      runs.put(frame, run);
      previous = frame;
    }
    Map<String, Set<Integer>> places = new LinkedHashMap<>();
    for (Finding finding : findings) {
      if (finding.subject().physical() != Evidence.UNKNOWN) {
        places
            .computeIfAbsent(finding.subject().cache(), _ -> new LinkedHashSet<>())
            .add(runs.get(pages.pfn(finding.subject().physical())));
      }
    }
    Map<Integer, String> taken = new HashMap<>();
    int apart = 0;
    for (String cache : places.keySet()) {
      apart += take(cache, places, taken, new HashSet<>()) ? 1 : 0;
      if (apart == MIN_CACHES) {
        break; // Enough, and a bound for the depth below.
      }
    }
    return apart;
  }

  /// Gives a cache a run, moving those that have one to another of theirs where needed (augmenting
  /// paths, at most as long as caches have runs).
  private static boolean take(
      String cache,
      Map<String, Set<Integer>> places,
      Map<Integer, String> taken,
      Set<Integer> tried) {
    for (int run : places.get(cache)) {
      if (tried.add(run)) {
        String owner = taken.get(run);
        if (owner == null || take(owner, places, taken, tried)) {
          taken.put(run, cache);
          return true;
        }
      }
    }
    return false;
  }

  static Pages pages(Kernel kernel) {
    return new Pages() {
      @Override
      public long head(long pfn) {
        long head = MemMap.of(kernel).map(memMap -> memMap.head(pfn)).orElse(pfn);
        return head < 0 || head > pfn ? pfn : head;
      }

      @Override
      public long pfn(long physical) {
        return kernel.memory().pfn(physical);
      }

      @Override
      public int onlyByte(long physical) {
        return kernel.memory().physical().read(pfn(physical))
                instanceof PageRead.Present(MemorySegment page)
            ? ByteView.onlyByte(page)
            : -1;
      }
    };
  }

  private Finding finding(String check, List<Finding> torn) {
    List<Evidence> evidence = new ArrayList<>();
    for (Moments.Disagreement one : proof) {
      evidence.add(new Evidence.CountMismatch("moments", 1, 2, one.sentence()));
    }
    int caches = (int) torn.stream().map(f -> f.subject().cache()).distinct().count();
    if (caches > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "caches that disagree",
              0,
              caches,
              "%s between page descriptors, lists and objects in %s"
                  .formatted(
                      count(torn.size(), "disagreement", "disagreements"),
                      count(caches, "cache", "caches"))));
    }
    evidence.add(new Evidence.CountMismatch("panic", 1, 0, notPanicked));
    if (caches > 0) {
      evidence.add(new Evidence.LogLineSays(0, "", "for example: " + torn.getFirst().claim()));
    }
    return new Finding(
        check,
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.TORN_SNAPSHOT,
        "the dump mixes moments: %s, and no panic is known"
            .formatted(
                proof.isEmpty()
                    ? "%d caches disagree with themselves".formatted(caches)
                    : "it holds words that were never in memory together"),
        Subject.NONE,
        evidence,
        List.of(),
        "torn-snapshot");
  }

  private static String count(int number, String one, String many) {
    return "%d %s".formatted(number, number == 1 ? one : many);
  }
}
