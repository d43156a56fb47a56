package org.vmcheck.check;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.attribution.LoggedDamage;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.KernelMessage;
import org.vmcheck.kernel.KernelReports;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.KfenceObjects;
import org.vmcheck.slab.KfenceObjects.KfenceObject;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;

/// Makes a finding of what the kernel reported itself, and ties it to the object that it is about.
final class ReportFindings {
  private static final int MAX_QUOTES = 6;
  private static final int MAX_CHARS = 200;

  /// Functions in which set_freepointer is inlined where objects are freed.
  private static final Pattern FREEING =
      Pattern.compile(
          "(set_freepointer|_*slab_free\\w*|do_slab_free|_*cache_free|kv?z?free\\w*"
              + "|_*kmem_cache_free\\w*|build_detached_freelist)(\\.\\w+)*\\+.*");

  /// What refcount_warn_saturate leaves in a counter before it prints: REFCOUNT_SATURATED.
  private static final int SATURATED = 0xc000_0000;

  private static final int MAX_OBJECT_BYTES = 4096;

  /// Where in its object a copy to or from user space began.
  private static final Pattern OFFSET = Pattern.compile("\\(offset (\\d{1,7}), size \\d+\\)!?$");

  private static final Pattern LIST =
      Pattern.compile(
          "^list_(add|del) corruption\\. (?<link>next->prev|prev->next) should be (?:next |prev )?"
              + "\\(?(?<right>[0-9a-f]{16})\\)?, but was (?<wrong>[0-9a-f]{16})"
              + "(?:\\. \\((?:next|prev)=(?<holder>[0-9a-f]{16})\\))?");

  private final String check;
  private final Kernel kernel;
  private final SlabObjects objects;

  ReportFindings(String check, CheckContext context) {
    this.check = check;
    this.kernel = context.kernel().orElseThrow();
    this.objects = new SlabObjects(context);
  }

  /// An object and how the report leads to it.
  private record Tie(SlabObjects.Found object, String how) {}

  Finding of(KernelReports.Report report) {
    List<Evidence> evidence = new ArrayList<>();
    for (LogBuffer.Line line : report.quotes(MAX_QUOTES)) {
      evidence.add(says("the kernel's own log", line));
    }
    Optional<Link> link = link(report);
    Optional<Tie> tie = tie(report, link);
    Subject subject = subject(report, tie);
    tie.ifPresent(found -> evidence.add(word(found.object.address(), found.how)));
    guarded(report)
        .ifPresent(
            object ->
                evidence.add(
                    word(
                        object.address(),
                        "%s, %d bytes, is %s in the dump"
                            .formatted(object.words(), object.size(), object.state().words()))));
    Optional<Owner> owner = owner(report);
    if (owner.isPresent()) {
      evidence.add(owner.get().evidence());
      subject = subject.cache().isEmpty() ? owner.get().subject(subject) : subject;
    }
    Optional<StackReport> stack = StackReport.of(report, kernel);
    if (stack.isPresent()) {
      evidence.addAll(stack.get().evidence());
      subject = stack.get().subject();
    }
    Fate fate = report.fate();
    Optional<LoggedDamage> logged = LoggedDamage.of(kernel, report.lines());
    logged.ifPresent(damage -> evidence.addAll(damage.evidence()));
    Cause cause =
        logged.flatMap(LoggedDamage::cause).orElseGet(() -> cause(report, tie.isPresent()));
    if (link.isPresent()) {
      subject = link.get().subject(subject, kernel);
      evidence.add(link.get().evidence());
      fate = link.get().isLeft() ? Fate.LEFT : fate;
    }
    panic(report).ifPresent(line -> evidence.add(says("the kernel panicked over it", line)));
    List<Evidence> against = new ArrayList<>();
    if (report.lkdtm() != null) {
      against.add(says("LKDTM, which does damage on purpose, had been told to", report.lkdtm()));
    }
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        claim(report, subject, tie, stack.map(StackReport::claim), owner, cause, fate),
        subject,
        evidence,
        against,
        fate,
        Fingerprint.of(
            check,
            cause,
            report.message().name().toLowerCase(java.util.Locale.ROOT),
            Printable.of(subject.cache(), 60)));
  }

  /// The cause that the report itself tells.
  private static Cause cause(KernelReports.Report report, boolean isTied) {
    return report.message() == KernelMessage.SLUB_BUG
            && isTied
            && FREEING.matcher(report.function()).matches()
        ? Cause.DOUBLE_FREE
        : report.cause();
  }

  // ---- the object

  private Optional<Tie> tie(KernelReports.Report report, Optional<Link> link) {
    if (link.isPresent()) {
      // The report names both sides of a link; the object that holds the wrong one is broken.
      return objects
          .at(link.get().slot)
          .map(found -> new Tie(found, "the wrong link is in this object"));
    }
    for (long address : report.addresses()) {
      Optional<SlabObjects.Found> found = objects.at(address);
      if (found.isPresent() && isNamed(report, found.get())) {
        return Optional.of(new Tie(found.get(), "the log names the object"));
      }
    }
    return switch (report.message()) {
      case SLUB_BUG, WRONG_CACHE, USERCOPY -> byRegisters(report);
      case REFCOUNT -> byCounter(report);
      default -> Optional.empty();
    };
  }

  private static boolean isNamed(KernelReports.Report report, SlabObjects.Found found) {
    return report.cache().isEmpty() || found.cache().equals(Printable.of(report.cache(), 60));
  }

  /// The object whose first byte, or whose byte that the report names, most registers point to. A
  /// register may hold the `kmem_cache`, which is an object, too. Where the log names a cache only
  /// its objects count.
  private Optional<Tie> byRegisters(KernelReports.Report report) {
    if (report.cache().isEmpty() && report.message() != KernelMessage.SLUB_BUG) {
      return Optional.empty();
    }
    Matcher place = OFFSET.matcher(report.first().text());
    long offset =
        report.message() == KernelMessage.USERCOPY && place.find()
            ? Long.parseLong(place.group(1))
            : 0;
    Map<Long, List<String>> holders = new HashMap<>();
    report
        .registers()
        .forEach((name, word) -> holders.computeIfAbsent(word, _ -> new ArrayList<>()).add(name));
    Tie best = null;
    int most = 0;
    for (Map.Entry<Long, List<String>> entry : holders.entrySet()) {
      Optional<SlabObjects.Found> found = objects.at(entry.getKey());
      if (found.isPresent()
          && (found.get().address() == entry.getKey()
              || found.get().address() + offset == entry.getKey())
          && isNamed(report, found.get())
          && !found.get().cache().equals("kmem_cache")
          && entry.getValue().size() > most) {
        most = entry.getValue().size();
        best =
            new Tie(
                found.get(),
                "the object's address%s is in %s of the report"
                    .formatted(
                        found.get().address() == entry.getKey()
                            ? ""
                            : " + %d, the offset that the report tells,".formatted(offset),
                        String.join(", ", entry.getValue())));
      }
    }
    return Optional.ofNullable(best);
  }

  /// The object that a register points into and that holds a counter as the kernel leaves it before
  /// it reports.
  private Optional<Tie> byCounter(KernelReports.Report report) {
    for (Map.Entry<String, Long> register : report.registers().entrySet()) {
      long word = register.getValue();
      Optional<SlabObjects.Found> found = objects.at(word);
      if (found.isEmpty()) {
        continue;
      }
      long object = found.get().address();
      int size =
          Math.min(MAX_OBJECT_BYTES, Math.max(0, found.get().view().slab().cache().objectSize()));
      if (kernel.memory().read(object, size) instanceof MemoryRead.Bytes(ByteView bytes)) {
        for (int at = 0; at + 4 <= size; at += 4) {
          if ((int) bytes.u32(at) == SATURATED && (word == object || word == object + at)) {
            return Optional.of(
                new Tie(
                    found.get(),
                    ("likely: %s of the report points to it, and its word at +0x%x is 0xc0000000,"
                            + " which the kernel leaves in a counter that it reports")
                        .formatted(register.getKey(), at)));
          }
        }
      }
    }
    return Optional.empty();
  }

  private Subject subject(KernelReports.Report report, Optional<Tie> tie) {
    Subject subject = Subject.cache(Printable.of(report.cache(), 60));
    Optional<KfenceObject> guarded = guarded(report);
    if (guarded.isPresent()) {
      subject =
          Subject.cache(KfenceCanariesCheck.cache(kernel, guarded.get()))
              .withObject(guarded.get().address());
    } else if (tie.isPresent()) {
      SlabObjects.Found object = tie.get().object;
      subject =
          Subject.cache(object.cache())
              .withSlab(object.view().slab().address())
              .withObject(object.address());
    }
    return subject;
  }

  /// The object that KFENCE's report names by its number: its address there is a hash.
  private Optional<KfenceObject> guarded(KernelReports.Report report) {
    return KfenceObjects.of(kernel).objects().stream()
        .filter(object -> object.index() == report.kfence())
        .findFirst();
  }

  private Evidence word(long address, String how) {
    return new Evidence.WordAt(
        address,
        kernel.memory().physicalAddress(address),
        Evidence.UNKNOWN,
        Evidence.UNKNOWN,
        "0x%x: %s".formatted(address, how));
  }

  // ---- the page

  /// Whose the page of a report is in the dump, by its descriptor. A page changes hands: after the
  /// report it may have got another owner.
  ///
  /// @param use in words
  /// @param cache whose slab it is of, safe to print; empty if of none
  /// @param slab address of that one's descriptor
  private record Owner(long pfn, PageState.Kind kind, String use, String cache, long slab) {
    Subject subject(Subject subject) {
      return cache.isEmpty() ? subject : Subject.cache(cache).withSlab(slab);
    }

    Evidence evidence() {
      return new Evidence.PageLooksLike(
          pfn,
          kind.words(),
          "by its page descriptor, page frame 0x%x is %s in the dump".formatted(pfn, use));
    }
  }

  private Optional<Owner> owner(KernelReports.Report report) {
    Optional<MemMap> map = MemMap.of(kernel);
    if (report.pfn() < 0 || map.isEmpty()) {
      return Optional.empty();
    }
    PageState page = map.get().state(report.pfn());
    SlabCache cache =
        page.kind() == PageState.Kind.SLAB
            ? SlabCaches.of(kernel).byAddress().get(page.slabCache())
            : null;
    String name = cache == null ? "" : Printable.of(cache.name(), 60);
    String use =
        switch (page.kind()) {
          case SLAB -> name.isEmpty() ? "a page of a slab" : "a page of a slab of cache " + name;
          case BUDDY -> "a free page";
          case FREE -> "a page that nobody refers to";
          case KERNEL -> "a page of the kernel's own";
          case RESERVED -> "a reserved page";
          case PAGE_TABLE -> "a page table";
          case ANONYMOUS -> "an anonymous page of a process";
          case PAGE_CACHE -> "a page of the page cache";
          case HWPOISON -> "a page that the hardware gave up";
          case UNKNOWN -> "";
        };
    return use.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Owner(report.pfn(), page.kind(), use, name, map.get().descriptor(page.headPfn())));
  }

  // ---- the link of a list

  /// A link that the kernel found wrong, and what it is in the dump.
  ///
  /// @param slot address of the word
  /// @param now the word there; empty if it cannot be read
  private record Link(long slot, long right, long wrong, OptionalLong now, long physical) {
    boolean isLeft() {
      return now.isPresent() && now.getAsLong() == wrong;
    }

    Subject subject(Subject subject, Kernel kernel) {
      return now.isEmpty()
          ? subject
          : subject
              .withAddress(slot, kernel.memory().physicalAddress(slot))
              .withWord(now.getAsLong(), Evidence.UNKNOWN);
    }

    Evidence evidence() {
      String is =
          now.isEmpty()
              ? "cannot be read in the dump"
              : now.getAsLong() == wrong
                  ? "is still 0x%x in the dump".formatted(wrong)
                  : now.getAsLong() == right
                      ? "is 0x%x in the dump, as it should be".formatted(right)
                      : "is 0x%x in the dump, neither the right nor the wrong value"
                          .formatted(now.getAsLong());
      return new Evidence.WordAt(
          slot,
          physical,
          now.orElse(Evidence.UNKNOWN),
          Evidence.UNKNOWN,
          "the link at 0x%x, which should be 0x%x and was 0x%x, %s"
              .formatted(slot, right, wrong, is));
    }
  }

  private Optional<Link> link(KernelReports.Report report) {
    Matcher told = LIST.matcher(report.first().text());
    if (report.message() != KernelMessage.LIST_BROKEN || !told.find()) {
      return Optional.empty();
    }
    long right = Long.parseUnsignedLong(told.group("right"), 16);
    boolean isPrev = told.group("link").equals("next->prev");
    long holder;
    if (told.group("holder") != null) {
      holder = Long.parseUnsignedLong(told.group("holder"), 16);
    } else {
      // Before 6.1 the neighbour is not told; the entry that was to be deleted leads there.
      holder = kernel.word(isPrev ? right : right + 8).orElse(0);
    }
    if (holder == 0) {
      return Optional.empty();
    }
    long slot = isPrev ? holder + 8 : holder;
    return Optional.of(
        new Link(
            slot,
            right,
            Long.parseUnsignedLong(told.group("wrong"), 16),
            kernel.word(slot),
            kernel.memory().physicalAddress(slot)));
  }

  // ---- words

  private static String claim(
      KernelReports.Report report,
      Subject subject,
      Optional<Tie> tie,
      Optional<String> stack,
      Optional<Owner> owner,
      Cause cause,
      Fate fate) {
    StringBuilder words = new StringBuilder(160);
    String where =
        tie.map(
                found ->
                    "object %d at 0x%x of cache %s"
                        .formatted(
                            found.object.index(), found.object.address(), found.object.cache()))
            .or(() -> stack)
            .orElse(
                (report.kfence() < 0 ? "" : "KFENCE object #%d ".formatted(report.kfence()))
                    + ((report.cache().isEmpty() && owner.isPresent()) || subject.cache().isEmpty()
                        ? ""
                        : "cache " + subject.cache()));
    if (report.message() == KernelMessage.SLUB_BUG && cause == Cause.DOUBLE_FREE) {
      words.append("an object was about to be freed twice in a row: ").append(where);
    } else {
      words.append("the kernel reports that ").append(report.message().words());
      if (!where.isEmpty()) {
        words.append(": ").append(where);
      }
    }
    if (!report.other().isEmpty()) {
      words.append(", freed to cache ").append(Printable.of(report.other(), 60));
    }
    if (report.pfn() >= 0) {
      words.append(", page frame 0x%x".formatted(report.pfn()));
      owner.ifPresent(found -> words.append(", in the dump ").append(found.use));
    }
    words.append(" (").append(report.message().source());
    if (!report.caller().isEmpty()) {
      words.append(", called by ").append(Printable.of(report.caller(), 80));
    } else if (!report.function().isEmpty()) {
      words.append(", in ").append(Printable.of(report.function(), 80));
    }
    words.append("); ").append(fate.words());
    if (report.times() > 1) {
      words.append("; reported %d times".formatted(report.times()));
    }
    return words.toString();
  }

  /// The line by which the kernel panicked right behind its report.
  private Optional<LogBuffer.Line> panic(KernelReports.Report report) {
    return report.lines().stream()
        .filter(line -> !line.equals(report.first()))
        .filter(line -> line.text().startsWith("Kernel panic - not syncing"))
        .findFirst();
  }

  private static Evidence says(String words, LogBuffer.Line line) {
    String text =
        line.text().length() <= MAX_CHARS ? line.text() : line.text().substring(0, MAX_CHARS);
    return new Evidence.LogLineSays(line.timestampNanos(), text, words + ": " + text);
  }
}
