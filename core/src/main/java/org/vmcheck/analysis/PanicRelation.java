package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.vmcheck.arch.RegisterSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.Oops;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.task.CallStacks;

/// Says of each finding whether the panic had to do with it. The words that are compared are the
/// registers of the last oops in the log with the address that faulted, and each CPU's registers
/// and stack; those of the CPU that panicked come first and alone make a finding related.
///
/// Related: a word that is the address of the bad word or of its object, points into the object, or
/// is the bad word or what it decodes to; or a fault within a page behind the latter, which is how
/// a structure's member is reached through a bad pointer. Maybe related: the same on another CPU; a
/// word that points only into the slab, to its descriptor or the kmem_cache; a fault in the
/// allocator's own code.
final class PanicRelation {
  private static final int PID_AT = 32;
  private static final int MAX_CPUS = 512;
  private static final int MAX_UNREAD_NAMED = 3;
  private static final int MAX_WORDS = 1 << 17;

  /// Words that point into one thing, of which the best is named: a stack holds a few.
  private static final int MAX_WORDS_INTO = 256;

  /// Functions of mm/slub.c, mm/slab.c and mm/slab_common.c that follow freelists and lists.
  private static final Pattern ALLOCATOR =
      Pattern.compile(
          "_*(slab_|kmem_cache_|kmalloc|kfree|kzalloc|kvfree|get_freepointer|deactivate_slab"
              + "|(un)?freeze_|put_cpu_partial|get_partial|get_any_partial|new_slab|alloc_single"
              + "|free_block|cache_|refill_|transfer_objects|drain_|list_(add|del)|check_slab"
              + "|check_object|on_freelist|free_debug|alloc_debug|setup_object|discard_slab).*");

  private final Kernel kernel;
  private final CallStacks stacks;
  private final Extents extents;
  private final RegisterSet registers;

  /// Words by value, each with its best place.
  private final TreeMap<Long, Place> words = new TreeMap<>(Long::compareUnsigned);

  private final List<Place> faults = new ArrayList<>();

  /// Stacks of which words were read, and what was not read, one sentence a stack; a CPU in user
  /// space has none.
  private int stacksRead;

  private final List<String> unread = new ArrayList<>();
  private final Optional<Oops> oops;

  /// Where a word stands.
  ///
  /// @param register empty for a word of the stack
  /// @param base the stack pointer by its name
  /// @param offset of a word of the stack from that
  /// @param who the CPU in words, or the oops
  /// @param isPanicking whether it is the panicking task's
  private record Place(
      long word, String register, String base, int offset, String who, boolean isPanicking) {
    String words() {
      return (register.isEmpty() ? "the stack word at %s+0x%x".formatted(base, offset) : register)
          + " of "
          + who;
    }
  }

  /// How one finding relates.
  ///
  /// @param strength 0 is the strongest; under [#WEAK] related
  private record Relation(int strength, Place place, String how) {
    static final int WEAK = 4;

    boolean isRelated() {
      return strength < WEAK && place.isPanicking;
    }

    /// The panicking task's weak words come before another's strong ones.
    int rank() {
      return strength + (place.isPanicking ? 0 : 16);
    }
  }

  private PanicRelation(Kernel kernel, List<LogBuffer.Line> log) {
    this.kernel = kernel;
    this.stacks = CallStacks.of(kernel);
    this.extents = new Extents(kernel);
    this.registers = kernel.architecture().registers();
    List<Oops> all = Oops.of(log);
    this.oops = all.isEmpty() ? Optional.empty() : Optional.of(all.getLast());
    oops.ifPresent(this::readOops);
    readNotes();
  }

  /// The outcomes with one more piece of evidence a finding: how the panic relates to it.
  static List<CheckOutcome> attach(
      List<CheckOutcome> outcomes,
      Kernel kernel,
      List<LogBuffer.Line> log,
      KernelFacts.PanicFacts panic) {
    if (outcomes.stream().allMatch(outcome -> outcome.findingsIfRan().isEmpty())) {
      return outcomes;
    }
    PanicRelation relation = panic.hasPanicked() ? new PanicRelation(kernel, log) : null;
    List<CheckOutcome> attached = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      attached.add(
          outcome instanceof CheckOutcome.Ran ran && !ran.findings().isEmpty()
              ? ran.withFindings(
                  ran.findings().stream()
                      .map(f -> f.cause().isArtefact() ? f : with(f, kernel, relation))
                      .toList())
              : outcome);
    }
    return attached;
  }

  /// What happened to the dump happened after the panic: only real damage comes here.
  private static Finding with(Finding finding, Kernel kernel, PanicRelation relation) {
    if (isReportOfPanic(finding, relation) || isOfNoPlace(finding)) {
      return finding;
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    evidence.add(
        relation == null
            ? new Evidence.WhatIf("panic", KernelDescription.notPanicked(kernel))
            : relation.relate(finding));
    return finding.withEvidence(evidence);
  }

  /// Whether it is a report of the kernel that names nothing that a register could point to.
  private static boolean isOfNoPlace(Finding finding) {
    return KernelsReports.isOne(finding)
        && finding.subject().object() == Evidence.UNKNOWN
        && finding.subject().address() == Evidence.UNKNOWN;
  }

  /// Whether it is the kernel's own report of what it stopped at: it is the panic then.
  private static boolean isReportOfPanic(Finding finding, PanicRelation relation) {
    return KernelsReports.isOne(finding)
        && finding.evidence().stream()
            .anyMatch(
                one ->
                    one instanceof Evidence.LogLineSays(long at, String line, String _)
                        && (line.startsWith("Kernel panic - not syncing")
                            || (relation != null
                                && relation.oops.isPresent()
                                && relation.oops.get().line().timestampNanos() == at
                                && relation.oops.get().line().text().equals(line))));
  }

  // ---- the words

  private void readOops(Oops last) {
    last.registers()
        .forEach(
            (name, word) -> {
              Place place =
                  new Place(
                      word,
                      Oops.isFaultAddress(name) ? "the address that faulted" : name,
                      "",
                      0,
                      "the oops",
                      true);
              put(place);
              if (Oops.isFaultAddress(name)) {
                faults.add(place);
              }
            });
  }

  private void readNotes() {
    List<ElfNote> notes = new ArrayList<>();
    List<ElfNote> states = new ArrayList<>();
    for (ElfNote note : kernel.notes()) {
      boolean isStatus = registers.isIn(note);
      boolean isState = kernel.architecture().isCpuState(note);
      (isStatus ? notes : states).addAll(isStatus || isState ? List.of(note) : List.of());
    }
    List<Integer> cpus = cpus(notes.size());
    int panicking = panicking(notes, cpus);
    List<Integer> order = new ArrayList<>();
    if (panicking >= 0) {
      order.add(panicking);
    }
    for (int i = 0; i < Math.min(notes.size(), MAX_CPUS); i++) {
      if (i != panicking) {
        order.add(i);
      }
    }
    for (int i : order) {
      String who =
          (cpus.isEmpty() ? "register note " + i : "cpu " + cpus.get(i))
              + (i == panicking ? ", which panicked," : "");
      read(notes.get(i).desc(), who, i == panicking);
      OptionalLong fault =
          states.size() == notes.size()
              ? kernel.architecture().faultAddress(states.get(i))
              : OptionalLong.empty();
      if (fault.isPresent()) {
        Place cr2 = new Place(fault.getAsLong(), "cr2", "", 0, who, i == panicking);
        put(cr2);
        faults.add(cr2);
      }
    }
  }

  /// The CPUs that wrote the notes, which stand in their order without those that are offline;
  /// empty if that does not fit.
  private List<Integer> cpus(int notes) {
    List<Integer> online = kernel.perCpu().onlineCpus();
    List<Integer> possible = kernel.perCpu().cpus();
    return online.size() == notes ? online : possible.size() == notes ? possible : List.of();
  }

  /// Index of the note of the CPU that panicked: by its number, else by the task of the oops; -1 if
  /// neither tells.
  private int panicking(List<ElfNote> notes, List<Integer> cpus) {
    int cpu = kernel.identity().panicCpu();
    int found = cpus.indexOf(cpu >= 0 ? cpu : oops.map(Oops::cpu).orElse(-1));
    if (found >= 0) {
      return found;
    }
    // Every idle CPU's task is 0.
    int pid = oops.map(Oops::pid).orElse(0);
    for (int i = 0; i < notes.size() && pid > 0; i++) {
      if ((int) notes.get(i).desc().u32(PID_AT) == pid) {
        return i;
      }
    }
    return notes.size() == 1 ? 0 : -1;
  }

  private void read(ByteView status, String who, boolean isPanicking) {
    for (String name : registers.names()) {
      put(new Place(registers.word(status, name), name, "", 0, who, isPanicking));
    }
    long stack = registers.word(status, registers.sp());
    if (stack < 0 && (stack & 7) == 0) {
      readStack(stack, who, isPanicking);
    } else if (isPanicking) {
      unread.add("the stack of %s for %s is 0x%x".formatted(who, registers.sp(), stack));
    }
  }

  private void readStack(long stack, String who, boolean isPanicking) {
    long end = stacks.stackEnd(stack);
    String why = "";
    int read = 0;
    for (long page = stack; page != end; ) {
      long next = Math.min(end, (page | (kernel.memory().pageSize() - 1)) + 1);
      switch (kernel.memory().read(page, (int) (next - page))) {
        case MemoryRead.Bytes(ByteView view) -> {
          read++;
          for (long at = 0; at < next - page; at += 8) {
            put(
                new Place(
                    view.u64(at), "", registers.sp(), (int) (page + at - stack), who, isPanicking));
          }
        }
        case MemoryRead.Missing(long _, long _, PageRead missing) -> why = missing.words();
        case MemoryRead.NotMapped _ -> {
          // Behind the end of a stack that is shorter there is nothing.
          why = page == stack ? "not mapped" : why;
          next = end;
        }
      }
      page = next;
    }
    stacksRead += read > 0 ? 1 : 0;
    if (!why.isEmpty()) {
      unread.add(
          "%s stack of %s for its page is %s"
              .formatted(read > 0 ? "a part of the" : "the", who, why));
    }
  }

  private void put(Place place) {
    if (isTelling(place.word) && words.size() < MAX_WORDS) {
      words.putIfAbsent(place.word, place);
    }
  }

  /// Whether a word stands for something: small numbers, -1 and error numbers are everywhere.
  private static boolean isTelling(long word) {
    return word >>> 32 != 0 && (word >= 0 || word < -(1 << 16));
  }

  // ---- one finding

  private Evidence relate(Finding finding) {
    if (words.isEmpty()) {
      return new Evidence.WhatIf(
          "panic", "whether the panic is related is not known: no register of a CPU was found");
    }
    Relation best = best(finding);
    if (best != null) {
      String words = best.place.words() + " " + best.how;
      return new Evidence.WordAt(
          best.place.word,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          (best.isRelated()
                  ? "the panic is related: "
                  : best.place.isPanicking
                      ? "the panic may be related, but only this says so: "
                      : "the panic may be related, but not by the task that panicked: ")
              + words);
    }
    if (finding.check().startsWith("slab.")
        && oops.isPresent()
        && ALLOCATOR.matcher(oops.get().function().replaceFirst("\\+.*", "")).matches()) {
      return new Evidence.LogLineSays(
          oops.get().line().timestampNanos(),
          oops.get().line().text(),
          "the panic may be related: it is a fault in %s, which works on the allocator's lists"
              .formatted(oops.get().function()));
    }
    return new Evidence.WhatIf("panic", unrelated());
  }

  /// That nothing was found, said of no more than was read.
  private String unrelated() {
    String what = "the corrupt word or points to the object, its slab or its cache";
    String notRead =
        String.join("; ", unread.subList(0, Math.min(MAX_UNREAD_NAMED, unread.size())))
            + (unread.size() > MAX_UNREAD_NAMED
                ? "; and %d more".formatted(unread.size() - MAX_UNREAD_NAMED)
                : "");
    if (stacksRead == 0) {
      return "whether the panic is related is not known: no register holds %s, and no stack was read%s"
          .formatted(what, unread.isEmpty() ? "" : " (" + notRead + ")");
    }
    if (!unread.isEmpty() || words.size() >= MAX_WORDS) {
      return "no sign that the panic is related in what was read: no register and no word of %d %s holds %s; not read: %s"
          .formatted(
              stacksRead,
              stacksRead == 1 ? "stack" : "stacks",
              what,
              unread.isEmpty() ? "more than %d words".formatted(MAX_WORDS) : notRead);
    }
    return "no sign that the panic is related: no register and no stack word holds " + what;
  }

  private Relation best(Finding finding) {
    Subject subject = finding.subject();
    Extents.Of extent = extents.of(subject);
    List<Relation> found = new ArrayList<>();
    exact(found, subject.address(), 0, "holds the address of the corrupt word");
    Set<Long> values = new HashSet<>();
    if (isTelling(subject.raw())) {
      values.add(subject.raw());
      // One byte over and over is what buffers are filled with.
      boolean isFiller = subject.raw() == (subject.raw() & 0xff) * 0x0101010101010101L;
      exact(found, subject.raw(), isFiller ? Relation.WEAK : 1, "holds the corrupt value itself");
    }
    if (subject.decoded() != Evidence.UNKNOWN && isTelling(subject.decoded())) {
      values.add(subject.decoded());
      exact(found, subject.decoded(), 1, "holds what the corrupt word decodes to");
      exact(
          found,
          subject.decoded() + extent.freePointerAt(),
          1,
          "is where the free pointer of what the corrupt word decodes to would be");
    }
    for (Place fault : faults) {
      for (long value : values) {
        if (fault.word - value > 0 && fault.word - value < kernel.memory().pageSize()) {
          found.add(
              new Relation(
                  2,
                  fault,
                  "is 0x%x bytes behind what the corrupt word points to"
                      .formatted(fault.word - value)));
        }
      }
    }
    into(found, extent.object(), 3, "holds the address of the object", "points into the object");
    into(
        found,
        extent.slab(),
        Relation.WEAK,
        "points to the slab, not to the object",
        "points into the slab, not into the object");
    into(
        found,
        extent.descriptor(),
        Relation.WEAK + 1,
        "holds the address of the slab's descriptor",
        "points into the slab's descriptor");
    into(
        found,
        extent.cache(),
        Relation.WEAK + 2,
        "holds the address of the cache's kmem_cache, as for any use of the cache",
        "points into the cache's kmem_cache");
    Relation best = null;
    for (Relation relation : found) {
      // What another CPU holds of the slab or the cache says nothing: all CPUs use them.
      if ((relation.place.isPanicking || relation.strength < Relation.WEAK)
          && (best == null || relation.rank() < best.rank())) {
        best = relation;
      }
    }
    return best;
  }

  private void exact(List<Relation> found, long word, int strength, String how) {
    Place place = word == Evidence.UNKNOWN ? null : words.get(word);
    if (place != null) {
      found.add(new Relation(strength, place, how));
    }
  }

  /// The first word of the panicking task, else of any other, that points into a range; one to its
  /// start before the rest.
  private void into(
      List<Relation> found, Extents.Range range, int strength, String start, String within) {
    if (range.isEmpty()) {
      return;
    }
    Place other = null;
    int seen = 0;
    for (Map.Entry<Long, Place> entry : words.subMap(range.from(), range.to()).entrySet()) {
      Place place = entry.getValue();
      if (place.isPanicking || other == null) {
        other = place;
      }
      if (place.isPanicking || ++seen == MAX_WORDS_INTO) {
        break;
      }
    }
    if (other != null) {
      found.add(
          new Relation(
              strength,
              other,
              other.word == range.from()
                  ? start
                  : within + " at +0x%x".formatted(other.word - range.from())));
    }
  }
}
