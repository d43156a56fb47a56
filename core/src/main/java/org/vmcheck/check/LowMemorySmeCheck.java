package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
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
import org.vmcheck.kernel.Kernel;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.lowmem.MemoryEncryption;
import org.vmcheck.lowmem.PageStatistics;
import org.vmcheck.memory.PageMask;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.Words;

/// Does the low 640 KiB of the dump hold ciphertext where the kernel kept plain data?
final class LowMemorySmeCheck implements Check {
  private static final int MAX_EXAMPLES = 4;

  @Override
  public String id() {
    return "lowmem.sme";
  }

  @Override
  public String question() {
    return "Was the low 640 KiB saved through the wrong memory-encryption key?";
  }

  @Override
  public String explanation() {
    return """
    AMD SME encrypts each block of 16 bytes under a key and its physical address. Before Linux
    6f599d84231f the crash kernel's purgatory copied the low 640 KiB as raw ciphertext to another
    address, and the capture kernel decrypted it for that address. The dump then holds, for the low
    range only, bytes that look random (a two-sided cipher, or no decryption at all) or, on
    first-generation hardware, the old plaintext under one 16-byte mask a page.

    In detail: it looks at each page of the range: what is stored, what the kernel used it for, and what its
    bytes are. Random-looking: chi-square of the byte counts against the finite-sample null, no
    repeated 16-byte block, serial correlation. Masked: a broken freelist that closes under a mask
    taken from the page's commonest block, or one that fits its links; the same mask on pages of
    different use; without types, a range without one block of zeros in which dozens of pages are
    one block all over. Each fact weighs by how rarely a healthy kernel shows it in a page of that
    use: free pages and page cache may hold packed data and weigh nothing. Known before: whether
    this kernel encrypts its memory (NUMBER(sme_mask), else sme_me_mask; page tables and log where
    both are absent). A thousand to one is enough; between the limits the answer is "cannot tell".

    The range is copied as a whole, so what is in the clear there weighs against it, and where
    freelists close in the clear, or the kernel says that it does not encrypt, random bytes are at
    most "cannot tell": slabs that they broke are the kernel's trouble. Slabs under a recovered
    mask are surveyed through it: what is still broken there is a finding of its own.

    It can mislead: the real-mode trampoline is kept unencrypted and reads as random in any dump
    of a kernel with SME; where its place is known it is passed over. Half a mask that no free
    pointer lies over is taken from the page's commonest word, a guess that read --unmask marks.
    Next: see lowmem.reserved for whether this kernel can suffer it, lowmem.backup for the copy;
    read recovered pages with --unmask; repeat with mem_encrypt=off.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Optional<String> lacks = context.lacksLowMemory();
    if (lacks.isPresent()) {
      return new CheckOutcome.NothingToLookAt(id(), lacks.get());
    }
    LowMemoryReading reading = context.lowMemory();
    Map<String, Integer> states = new LinkedHashMap<>();
    Map<String, Integer> looks = new LinkedHashMap<>();
    for (LowMemoryReading.Frame frame : reading.frames()) {
      boolean isPart = frame.bytes() != null && !(frame.read() instanceof PageRead.Present);
      states.merge(isPart ? "stored in part" : frame.read().words(), 1, Integer::sum);
      if (frame.bytes() != null) {
        looks.merge(frame.bytes().looks().words(), 1, Integer::sum);
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
    states.forEach((state, count) -> facts.put("pages " + state, count.toString()));
    looks.forEach((look, count) -> facts.put("pages that are " + look, count.toString()));
    facts.put("memory encryption", reading.encryption().words());
    facts.put("slabs in the range", Integer.toString(reading.lists().slabs()));
    facts.put("freelists in the range", Integer.toString(reading.lists().all()));
    facts.put("freelists broken", Integer.toString(reading.lists().broken()));
    if (reading.lists().broken() > 0) {
      facts.put("freelists in the clear", Integer.toString(reading.lists().clear()));
    }
    facts.put("weight before", String.format(Locale.ROOT, "%.1f", reading.before()));
    if (!reading.witnesses().isEmpty()) {
      facts.put("weight", String.format(Locale.ROOT, "%.1f", reading.weight()));
    }
    if (!reading.masks().isEmpty()) {
      facts.put("pages with a mask", Integer.toString(reading.masks().size()));
      facts.put("masks", String.join(", ", masks(reading)));
      if (!reading.guessed().isEmpty()) {
        facts.put("halves of masks that are guessed", Integer.toString(reading.guessed().size()));
      }
    }
    List<Note> notes = new ArrayList<>();
    boolean isWhole =
        context.kernel().isEmpty()
            && reading.answer() == LowMemoryReading.Answer.CANNOT_TELL
            && MemoryEncryptionCheck.isEncrypted(context);
    if (isWhole) {
      notes.add(new Note("low memory", "the whole dump is ciphertext (memory.encryption)"));
    } else if (reading.answer() == LowMemoryReading.Answer.CANNOT_TELL) {
      notes.add(new Note("low memory", reading.why()));
      for (LowMemoryReading.Witness witness : strongest(reading)) {
        notes.add(new Note("low memory", witness.words()));
      }
    }
    boolean byDesign =
        reading.stored() == 0 && states.getOrDefault("not in dump", 0) == reading.frames().size();
    if (reading.stored() == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          byDesign
              ? "the low 640 KiB are left out of the dump by design"
              : "no page of the low 640 KiB is in the dump",
          facts,
          notes,
          new Coverage(Map.of(), Map.of(), gaps(reading)));
    }
    return new CheckOutcome.Ran(
        id(),
        reading.answer().words(),
        facts,
        findings(context, reading),
        notes,
        new Coverage(Map.of("low pages", reading.stored()), Map.of(), gaps(reading)));
  }

  private List<Finding> findings(CheckContext context, LowMemoryReading reading) {
    List<Finding> findings = new ArrayList<>();
    if (reading.answer().isCiphertext()) {
      findings.add(finding(context, reading));
    }
    for (LowMemoryReading.Lost lost : reading.lists().lost()) {
      if (lost.underAll()) {
        findings.add(brokenUnderAll(lost));
      }
    }
    return findings;
  }

  /// What is more likely ciphertext than not, and not proven, leaves the whole answer open, and so
  /// do lists that cannot be read.
  private static List<String> gaps(LowMemoryReading reading) {
    List<String> gaps = new ArrayList<>();
    if (reading.answer() == LowMemoryReading.Answer.CANNOT_TELL && reading.weight() > 0) {
      gaps.add("the low 640 KiB may be ciphertext: " + reading.why());
    }
    long lost = reading.lists().lost().stream().filter(list -> !list.underAll()).count();
    if (lost > 0) {
      gaps.add(
          "%s of the low 640 KiB not judged: the masks of their pages are not recovered"
              .formatted(Words.plural(lost, "freelist", "freelists")));
    }
    return gaps;
  }

  /// A list on a page whose mask is not known, which no mask at all makes whole.
  private Finding brokenUnderAll(LowMemoryReading.Lost lost) {
    Slab slab = lost.head().slab();
    String cache = Words.name(slab.cache());
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.UNKNOWN,
        "a freelist of a slab of cache %s is broken under every mask that its page can lie under"
            .formatted(cache),
        Subject.cache(cache).withSlab(slab.address()),
        List.of(
            new Evidence.PageLooksLike(
                lost.pfn(),
                "masked",
                "page frame 0x%x has no recovered mask; each mask that leads from the list's first link to an object of slab 0x%x, or ends the list there, was tried, and under none does the list end as it should"
                    .formatted(lost.pfn(), slab.address()))),
        List.of(),
        Fingerprint.of(id(), Cause.UNKNOWN, cache, "broken under every mask"));
  }

  private static Set<String> masks(LowMemoryReading reading) {
    Set<String> masks = new LinkedHashSet<>();
    for (PageMask mask : reading.masks().values()) {
      masks.add(mask.hex() + (mask.hasPeriod32() ? " (repeats every 32 bits)" : ""));
    }
    return masks;
  }

  private static List<LowMemoryReading.Witness> strongest(LowMemoryReading reading) {
    return reading.witnesses().stream()
        .sorted((a, b) -> Double.compare(Math.abs(b.weight()), Math.abs(a.weight())))
        .limit(MAX_EXAMPLES)
        .toList();
  }

  private Finding finding(CheckContext context, LowMemoryReading reading) {
    List<Evidence> evidence = new ArrayList<>();
    LowMemoryReading.Lists lists = reading.lists();
    boolean masked = reading.answer() == LowMemoryReading.Answer.MASKED;
    if (masked && lists.closedUnmasked() > 0) {
      evidence.add(rewalk(reading));
    }
    if (masked && !reading.guessed().isEmpty()) {
      evidence.add(
          new Evidence.CountMismatch(
              "halves of masks that are guessed",
              0,
              reading.guessed().size(),
              "%d of %d halves of masks rest on no free pointer: bytes read through these are a guess"
                  .formatted(reading.guessed().size(), 2 * reading.masks().size())));
    }
    Subject subject = Subject.NONE;
    if (lists.first() != null) {
      LowMemoryReading.Bad bad = lists.first();
      evidence.add(word(bad, masked));
      Slab slab = bad.head().slab();
      int holder = slab.indexHolding(bad.slot());
      subject =
          Subject.cache(Words.name(slab.cache()))
              .withSlab(slab.address())
              .withObject(holder < 0 ? Evidence.UNKNOWN : slab.object(holder))
              .withAddress(bad.slot(), bad.physical())
              .withWord(bad.raw(), bad.recovered());
    }
    gathered(context, evidence);
    if (masked) {
      evidence.add(
          new Evidence.BytesAt(
              Evidence.UNKNOWN,
              Evidence.UNKNOWN,
              "",
              0,
              0,
              "%s of the range can be read again, through %s: %s"
                  .formatted(
                      Words.plural(reading.masks().size(), "page", "pages"),
                      Words.plural(masks(reading).size(), "mask", "masks"),
                      String.join(", ", masks(reading).stream().limit(MAX_EXAMPLES).toList()))));
    } else {
      evidence.add(counts(reading));
    }
    for (LowMemoryReading.Witness witness : strongest(reading)) {
      evidence.add(
          new Evidence.PageLooksLike(witness.pfn(), masked ? "masked" : "random", witness.words()));
    }
    List<Evidence> against = new ArrayList<>();
    reading
        .against()
        .forEach(sentence -> against.add(new Evidence.CountMismatch("pages", 0, 0, sentence)));
    context.kernel().ifPresent(kernel -> encryption(kernel, evidence, against));
    long stored = reading.stored();
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.SME_CIPHERTEXT,
        "the low 640 KiB of the dump holds %s: %d of %d stored pages"
            .formatted(
                masked ? "the old plaintext under " + maskWords(reading) : "ciphertext",
                reading.ciphertext().size(),
                stored),
        subject,
        evidence,
        against,
        id() + "/sme-ciphertext/" + (masked ? "masked" : "random"));
  }

  private static Evidence rewalk(LowMemoryReading reading) {
    LowMemoryReading.Lists lists = reading.lists();
    String slabs = Words.plural(lists.slabs(), "slab", "slabs");
    String sentence;
    if (lists.closedUnmasked() < lists.broken()) {
      sentence =
          "with the mask removed %d of %d broken freelists of %s in the range close%s"
              .formatted(lists.closedUnmasked(), lists.broken(), slabs, open(lists));
    } else {
      sentence =
          lists.broken() == 1
              ? "with the mask removed the one broken freelist of %s in the range closes"
                  .formatted(slabs)
              : "with the mask removed all %d broken freelists of %s in the range close"
                  .formatted(lists.broken(), slabs);
    }
    return new Evidence.WhatIf(Evidence.MASK_REMOVED, sentence);
  }

  /// Names the lists that do not close.
  private static String open(LowMemoryReading.Lists lists) {
    List<String> open = new ArrayList<>();
    for (LowMemoryReading.Bad bad : lists.still()) {
      open.add(
          "that of slab 0x%x (%s) does not, at 0x%x, where %016x stands under the mask"
              .formatted(
                  bad.head().slab().address(),
                  Words.name(bad.head().slab().cache()),
                  bad.slot(),
                  bad.raw()));
    }
    for (LowMemoryReading.Lost lost : lists.lost()) {
      open.add(
          "that of slab 0x%x (%s) lies on page frame 0x%x, whose mask is not recovered"
              .formatted(
                  lost.head().slab().address(),
                  Words.name(lost.head().slab().cache()),
                  lost.pfn()));
    }
    int more = open.size() - MAX_EXAMPLES;
    return open.isEmpty()
        ? ""
        : "; "
            + String.join("; ", open.stream().limit(MAX_EXAMPLES).toList())
            + (more > 0 ? "; and %d more".formatted(more) : "");
  }

  /// Where the kernel says that it does not encrypt, what lies over the pages is a mask all the
  /// same.
  private static String maskWords(LowMemoryReading reading) {
    return reading.encryption() == MemoryEncryption.State.OFF
        ? "a mask of 16 bytes a page"
        : "an encryption mask";
  }

  private static Evidence word(LowMemoryReading.Bad bad, boolean masked) {
    Slab slab = bad.head().slab();
    String place =
        "the free pointer at 0x%x (physical 0x%x, slab 0x%x of cache %s) reads %016x"
            .formatted(
                bad.slot(), bad.physical(), slab.address(), Words.name(slab.cache()), bad.raw());
    return new Evidence.WordAt(
        bad.slot(),
        bad.physical(),
        bad.raw(),
        bad.recovered(),
        masked && bad.recovered() != bad.decoded()
            ? place
                + (bad.recovered() == 0
                    ? "; without the mask it ends the list"
                    : "; without the mask it is %016x, an object of the slab"
                        .formatted(bad.recovered()))
            : place + ", which leads to no object of the slab");
  }

  /// How many findings elsewhere these pages explain.
  private static void gathered(CheckContext context, List<Evidence> evidence) {
    if (!context.unmetForSlabs().isEmpty()) {
      return;
    }
    List<SlabFault> faults = context.ciphertextFaults();
    long lists = faults.stream().filter(SlabFault.Broken.class::isInstance).count();
    Set<Long> slabs = new LinkedHashSet<>();
    Set<String> caches = new LinkedHashSet<>();
    for (SlabFault fault : faults) {
      if (fault instanceof SlabFault.Broken broken) {
        slabs.add(broken.slab().address());
        caches.add(Words.name(broken.cache()));
      }
    }
    if (lists > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "broken freelists",
              0,
              lists,
              "%s of %s %s on these pages%s (%s)"
                  .formatted(
                      Words.plural(lists, "freelist", "freelists"),
                      Words.plural(slabs.size(), "slab", "slabs"),
                      lists == 1 ? "breaks" : "break",
                      context.soundFaults().stream().anyMatch(SlabFault.Broken.class::isInstance)
                          ? ""
                          : " and nowhere else",
                      String.join(", ", caches.stream().limit(MAX_EXAMPLES).toList()))));
    }
    long others = faults.size() - lists;
    if (others > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "other findings",
              0,
              others,
              "%s about slabs and lists rest on these pages too"
                  .formatted(Words.plural(others, "other alarm", "other alarms"))));
    }
  }

  private static Evidence counts(LowMemoryReading reading) {
    int random = 0;
    int narrow = 0;
    double sum = 0;
    double entropy = 0;
    for (LowMemoryReading.Frame frame : reading.frames()) {
      if (reading.ciphertext().contains(frame.pfn())) {
        random++;
        sum += frame.bytes().chiSquare();
        entropy += frame.bytes().entropy();
      }
    }
    for (LowMemoryReading.Frame frame : reading.frames()) {
      if (reading.ciphertext().contains(frame.pfn())) {
        narrow += frame.bytes().looksRandom(random, 1e-3) ? 1 : 0;
      }
    }
    return new Evidence.CountMismatch(
        "random-looking pages",
        0,
        random,
        ("%d of %d stored pages cannot be told from random bytes; %d lie within the limits that all"
                + " of them together leave once in a thousand; their chi-squares sum to %.0f, %+.1f"
                + " standard deviations from what random bytes give; their entropy is %.4f bits a"
                + " byte (random pages: 7.9546)")
            .formatted(
                random,
                reading.stored(),
                narrow,
                sum,
                PageStatistics.deviation(sum, Math.max(1, random)),
                entropy / Math.max(1, random)));
  }

  private static void encryption(Kernel kernel, List<Evidence> evidence, List<Evidence> against) {
    MemoryEncryption encryption = MemoryEncryption.of(kernel);
    String why = encryption.why();
    switch (encryption.state()) {
      case SME ->
          evidence.add(
              encryption.line() == null
                  ? new Evidence.CountMismatch(
                      "sme_mask",
                      0,
                      encryption.mask(),
                      "the kernel ran with memory encryption (SME)" + why)
                  : new Evidence.LogLineSays(
                      encryption.line().timestampNanos(),
                      encryption.line().text(),
                      "the kernel ran with memory encryption (SME)" + why));
      case SEV ->
          against.add(
              new Evidence.CountMismatch(
                  "sme_mask",
                  0,
                  encryption.mask(),
                  "the kernel was an encrypted guest (SEV), where kexec copies rightly" + why));
      case OFF ->
          against.add(
              new Evidence.CountMismatch(
                  "sme_mask", 0, 0, "the kernel says that memory encryption is off" + why));
      case UNKNOWN, REALM -> {}
    }
  }
}
