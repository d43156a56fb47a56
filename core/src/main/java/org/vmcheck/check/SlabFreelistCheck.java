package org.vmcheck.check;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.attribution.CacheDiagnosis;
import org.vmcheck.attribution.CacheMembers;
import org.vmcheck.attribution.Diagnosis;
import org.vmcheck.attribution.FreelistDiagnosis;
import org.vmcheck.attribution.MissingSlabs;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
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
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.Words;

/// Does every freelist end, within the slab it belongs to?
public final class SlabFreelistCheck implements Check {
  @Override
  public String id() {
    return "slab.freelist";
  }

  @Override
  public String question() {
    return "Does every freelist end, within the slab it belongs to?";
  }

  @Override
  public String explanation() {
    return """
    Walks the freelist of every slab of every cache: those of the CPUs, of the CPUs' partial lists,
    of the nodes' lists and of full slabs found through the page descriptors, and reads the slot of
    every object on no list. Each pointer must be an object of the slab on its stride; no object may
    come twice.

    In detail: the encoding of the pointers is chosen once, by a vote of all slabs. After a break the
    walk goes on behind it if bits flipped back lead on, and with the next slab. Where the list and inuse disagree, the word is to blame that,
    led elsewhere, makes the list as long as inuse says: the head, the last pointer, or the one that
    led to an object which is not free; else the counter is (slab.counts). A list that ends with the
    encoded null pointer at an object and has lost what was behind it was cut by a second free that a
    debug cache refused; objects on no list that lead back to it show a second free in one go
    (kfree_bulk, a sheaf that was flushed). A head is a flipped bit only if it leads out of the slab
    and to no object of the cache.

    It can mislead: a list cut short by a pointer that decodes to null breaks no rule on a CPU's own
    list, whose length the kernel records nowhere.
    Next: look at the object that holds the corrupt word, and at the one before it.\
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
    List<Finding> found = new ArrayList<>();
    Map<Long, List<SlabFault.Broken>> byCache = new LinkedHashMap<>();
    // An ELF core does not tell why a page is left out: a page of zeros is, from dump level 1 on.
    boolean mayLeaveOutZeros = context.dump().container().dumpLevel() < 0;
    long leftOut = 0;
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Broken broken) {
        if (mayLeaveOutZeros && endsInZeros(survey, broken)) {
          leftOut++;
          continue;
        }
        byCache.computeIfAbsent(broken.cache().address(), _ -> new ArrayList<>()).add(broken);
      }
    }
    Set<Long> wipedPages = new HashSet<>();
    SlabDrawing drawing = SlabDrawing.of(kernel, context.soundFaults());
    List<String> gaps = new ArrayList<>();
    for (List<SlabFault.Broken> broken : byCache.values()) {
      SlabCache cache = broken.getFirst().cache();
      Optional<CacheMembers.Wrong> misleading =
          context.wrongMembers().getOrDefault(cache, List.of()).stream()
              .filter(CacheMembers.Wrong::isStride)
              .findFirst();
      if (misleading.isPresent()) {
        // One fault is one finding: slab.lists has it, at the member.
        gaps.add(
            "%s of cache %s not judged: kmem_cache.%s, which says where the objects lie, is wrong"
                .formatted(
                    Words.plural(broken.size(), "broken freelist", "broken freelists"),
                    Words.name(cache),
                    misleading.get().name()));
        continue;
      }
      Optional<CacheDiagnosis> whole =
          CacheDiagnosis.ofBroken(kernel, survey.vote().decoder(), broken);
      if (whole.isPresent()) {
        found.add(whole.get().finding(kernel, id()));
      } else {
        for (SlabFault.Broken one : broken) {
          for (Diagnosis result : FreelistDiagnosis.of(kernel, survey.vote().decoder(), one)) {
            // A slab has two lists, and one page of it that was wiped breaks both.
            if (result.cause() != Cause.PAGE_WIPED
                || wipedPages.add(kernel.memory().pageStart(result.word().slot()))) {
              found.add(finding(kernel, drawing, one, result));
            }
          }
        }
      }
    }
    context
        .wrongLengths()
        .forEach(
            (count, result) ->
                found.add(
                    finding(
                        kernel,
                        drawing,
                        new SlabFault.Broken(
                            count.slab(),
                            -1,
                            count.slab().freelist(),
                            new Freelist(0, new Freelist.End.Closed())),
                        result)));
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Absent absent) {
        if (mayLeaveOutZeros && absent.why() instanceof PageRead.Excluded) {
          leftOut++;
        } else {
          found.add(MissingSlabs.finding(kernel, id(), absent));
        }
      }
    }
    List<Finding> findings = MissingSlabs.fold(found, context.dump().container());
    if (!survey.finished()) {
      gaps.add("the walk was ended by the deadline");
    }
    if (survey.droppedFaults() > 0) {
      gaps.add(survey.droppedFaults() + " more faults are not listed");
    }
    if (survey.unreadableDescriptors() > 0) {
      gaps.add(
          survey.unreadableDescriptors()
              + " page descriptors cannot be read: slabs there are not seen");
    }
    if (survey.slabs() == 0 && findings.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          Words.noSlabs(survey),
          Map.of("caches", Integer.toString(survey.tallies().size())),
          List.of(),
          new Coverage(Map.of(), Map.of(), gaps));
    }
    FreelistDecoder.Vote vote = survey.vote();
    if (!vote.isClear()) {
      gaps.add("the encoding of free pointers is not certain: " + voteWords(vote));
    }
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("caches", Integer.toString(survey.tallies().size()));
    facts.put("slabs", Long.toString(survey.slabs()));
    facts.put("objects", Long.toString(survey.objects()));
    if (SlabCaches.of(kernel).layout().isPresent()) {
      facts.put("objects read", Long.toString(survey.slots()));
    }
    facts.put("free pointers", Long.toString(survey.freePointers()));
    facts.put("bytes", Long.toString(survey.freePointers() * Long.BYTES));
    facts.put("decoder", vote.decoder().words());
    facts.put("vote", voteWords(vote));
    if (survey.kfencePages() > 0) {
      facts.put("KFENCE pages passed over", Long.toString(survey.kfencePages()));
    }
    Map<String, Long> looked = new LinkedHashMap<>();
    looked.put("slabs", survey.slabs());
    looked.put(
        "objects", SlabCaches.of(kernel).layout().isPresent() ? survey.slots() : survey.objects());
    looked.put("free pointers", survey.freePointers());
    Map<String, Long> notRead = new TreeMap<>();
    survey.unreadableSlabPages().forEach((why, count) -> notRead.put("slab pages " + why, count));
    long ciphertext =
        context.ciphertextFaults().stream().filter(SlabFault.Broken.class::isInstance).count();
    if (ciphertext > 0) {
      notRead.merge("freelists on ciphertext pages", ciphertext, Long::sum);
      facts.put("freelists lost to ciphertext", Long.toString(ciphertext));
    }
    long overwritten =
        context.overwrittenFaults().stream().filter(SlabFault.Broken.class::isInstance).count();
    if (overwritten > 0) {
      notRead.merge("freelists on pages overwritten by the capture kernel", overwritten, Long::sum);
      facts.put("freelists lost to the capture kernel", Long.toString(overwritten));
    }
    long doubtful =
        context.doubtfulFaults().stream().filter(SlabFault.Broken.class::isInstance).count();
    if (doubtful > 0) {
      notRead.merge("freelists on pages that are ciphertext, or destroyed", doubtful, Long::sum);
    }
    long masked = context.listsThroughMasks();
    if (masked > 0) {
      facts.put("freelists read through a mask", Long.toString(masked));
    }
    List<String> but = new ArrayList<>();
    survey
        .unreadableSlabPages()
        .forEach(
            (why, count) ->
                but.add("%s %s".formatted(Words.plural(count, "slab page", "slab pages"), why)));
    long unreached = context.unreachedLists();
    if (unreached > 0) {
      but.add(
          "what hangs on %s (slab.lists)"
              .formatted(Words.plural(unreached, "list of the allocator", "of its lists")));
    }
    if (doubtful > 0) {
      but.add("%d on pages that are ciphertext, or destroyed (lowmem.sme)".formatted(doubtful));
    }
    if (ciphertext > 0) {
      but.add("%d on ciphertext pages (lowmem.sme)".formatted(ciphertext));
    }
    if (overwritten > 0) {
      but.add("%d on pages that the capture kernel used (lowmem.backup)".formatted(overwritten));
    }
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? (but.isEmpty()
                ? "every freelist of %s ends as it should%s"
                    .formatted(
                        Counted.of(survey.slabs(), "slabs"),
                        masked > 0
                            ? ", %d of them read through a mask (lowmem.sme)".formatted(masked)
                            : "")
                : "every freelist of %s that could be read ends as it should; not read: %s"
                    .formatted(Counted.of(survey.slabs(), "slabs"), String.join(" and ", but)))
            : answer(findings),
        facts,
        findings,
        notes(leftOut),
        new Coverage(looked, notRead, gaps));
  }

  /// Slabs of which pages are missing are one finding, and no freelist of theirs is known to be
  /// broken.
  private static String answer(List<Finding> findings) {
    List<String> parts = new ArrayList<>();
    long broken = findings.stream().filter(finding -> !MissingSlabs.isOf(finding)).count();
    if (broken > 0) {
      parts.add(Words.plural(broken, "freelist is broken", "freelists are broken"));
    }
    findings.stream().filter(MissingSlabs::isOf).map(Finding::claim).forEach(parts::add);
    return String.join("; ", parts);
  }

  private static List<Note> notes(long leftOut) {
    List<Note> notes = new ArrayList<>();
    if (leftOut > 0) {
      notes.add(
          new Note(
              "zeros",
              "%s not whole in the dump: the writer leaves out pages of zeros, and no list breaks if these are"
                  .formatted(Words.plural(leftOut, "slab is", "slabs are"))));
    }
    return notes;
  }

  /// Whether a list ends well if the page that was left out holds zeros: a plain null pointer.
  private static boolean endsInZeros(SlabSurvey survey, SlabFault.Broken broken) {
    Slab slab = broken.slab();
    return survey.vote().decoder() == FreelistDecoder.PLAIN
        && broken.list().end() instanceof Freelist.End.Unreadable(int _, long _, PageRead why)
        && why instanceof PageRead.Excluded
        && (broken.cpu() >= 0 || broken.list().length() == slab.objects() - slab.inuse());
  }

  private static String voteWords(FreelistDecoder.Vote vote) {
    return vote.decoder() == FreelistDecoder.PLAIN
        ? "not needed"
        : vote.votes() + " of " + vote.slabs() + " slabs, runner-up " + vote.runnerUp();
  }

  private Finding finding(
      Kernel kernel, SlabDrawing drawing, SlabFault.Broken broken, Diagnosis result) {
    Slab slab = broken.slab();
    boolean head = result.word().holder() == Freelist.HEAD;
    List<Evidence> evidence = new ArrayList<>(result.evidence());
    evidence.add(
        HexWindow.around(
            kernel,
            result.word().slot(),
            8,
            head ? "the word that holds the head" : "the object around its free pointer"));
    evidence.addAll(drawing.picture(broken));
    String where =
        head
            ? "its head"
            : "object %d (0x%x)"
                .formatted(result.word().holder(), slab.object(result.word().holder()));
    Subject subject =
        Subject.cache(Words.name(slab.cache()))
            .withSlab(slab.address())
            .withObject(head ? Evidence.UNKNOWN : slab.object(result.word().holder()))
            .withAddress(
                result.word().slot(), kernel.memory().physicalAddress(result.word().slot()))
            .withWord(result.word().raw(), result.word().decoded());
    return new Finding(
        id(),
        result.cause().isArtefact() ? Layer.CONTAINER : Layer.KERNEL,
        Severity.CORRUPT,
        result.cause(),
        "the %s of a slab of cache %s is broken at %s"
            .formatted(broken.listName(), Words.name(slab.cache()), where),
        subject,
        evidence,
        result.against(),
        Fingerprint.of(
            id(),
            result.cause(),
            Words.name(slab.cache()),
            head ? Words.place(broken.listName()) + " head" : "offset " + slab.cache().offset()));
  }
}
