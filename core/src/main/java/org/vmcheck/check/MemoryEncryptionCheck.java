package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.arch.Architectures;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.lowmem.MemoryEncryption;
import org.vmcheck.lowmem.PageStatistics;
import org.vmcheck.memory.RepagedMemory;

/// Is the whole dump ciphertext: a confidential guest dumped from its host, or a capture kernel
/// without the crashed kernel's memory encryption?
final class MemoryEncryptionCheck implements Check {
  private static final int SAMPLES = 512;
  private static final int IMAGE_SAMPLES = 64;
  private static final int MIN_SAMPLES = 64;
  private static final int MIN_IMAGE = 16;

  @Override
  public String id() {
    return "memory.encryption";
  }

  @Override
  public String question() {
    return "Is the dumped memory encrypted as a whole?";
  }

  @Override
  public String explanation() {
    return """
    Samples pages all over the dump, and pages of the kernel image where VMCOREINFO says where it
    lies. Kernel code and data never look random; in a dump made from outside a confidential guest,
    or by a capture kernel that did not decrypt, all private pages do. One such image, or a dump
    that holds next to nothing but random-looking pages, is encrypted.
    Compares what the page tables, VMCOREINFO and the log say about memory encryption.

    It can mislead: where nothing is known of the kernel, a dump of nothing but compressed or
    encrypted user data would look the same; nine pages of a hundred in the clear are enough to
    say no.
    Next: dump the guest from inside; give the capture kernel the same mem_encrypt= setting.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  /// Pages looked at, and how many look random.
  private record Sample(int pages, int zero, int random) {
    boolean isCiphertext(int atLeast) {
      return pages >= atLeast && zero * 100 <= pages && random * 100 >= pages * 99;
    }
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    PhysicalMemory memory = pieces(context.dump().memory());
    Sample all = sample(memory);
    Sample image = image(context, memory);
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("pages sampled", Integer.toString(all.pages));
    facts.put("sampled pages that look random", Integer.toString(all.random));
    facts.put("pages of the kernel image sampled", Integer.toString(image.pages));
    facts.put("pages of the kernel image that look random", Integer.toString(image.random));
    Optional<MemoryEncryption> encryption = context.kernel().map(MemoryEncryption::of);
    encryption.ifPresent(
        known -> {
          facts.put("memory encryption", known.state().words());
          facts.put("known from", String.join(", ", known.reasons()));
        });
    if (all.pages + image.pages == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(), "no page of the dump could be read", facts, List.of(), Coverage.NONE);
    }
    boolean found = context.kernel().isPresent();
    boolean ciphertext = isEncrypted(found, all, image);
    List<Finding> findings = ciphertext ? List.of(finding(context.dump(), all, image)) : List.of();
    List<Note> notes = new ArrayList<>();
    context.kernel().ifPresent(kernel -> unnamedBit(kernel, facts, notes));
    String answer;
    if (ciphertext) {
      answer = "encrypted as a whole";
    } else if (found || all.pages - all.random > all.pages / 10) {
      answer =
          encryption
              .filter(known -> known.state() == MemoryEncryption.State.SME)
              .map(
                  _ ->
                      "no; the kernel encrypts its memory, and what was sampled of the dump is in"
                          + " the clear")
              .orElse("no");
    } else {
      answer = "cannot tell";
    }
    return new CheckOutcome.Ran(
        id(),
        answer,
        facts,
        findings,
        notes,
        new Coverage(Map.of("pages sampled", (long) all.pages + image.pages), Map.of(), List.of()));
  }

  /// Whether the dump is ciphertext all over.
  static boolean isEncrypted(CheckContext context) {
    PhysicalMemory memory = pieces(context.dump().memory());
    return isEncrypted(context.kernel().isPresent(), sample(memory), image(context, memory));
  }

  private static boolean isEncrypted(boolean found, Sample all, Sample image) {
    return image.isCiphertext(MIN_IMAGE) || (!found && all.isCiphertext(MIN_SAMPLES));
  }

  /// The page tables carry a bit that VMCOREINFO does not name: vmcheck strips it, other tools lose
  /// their way in the tables.
  private static void unnamedBit(Kernel kernel, Map<String, String> facts, List<Note> notes) {
    long bit = kernel.memory().paging().encryptionMask();
    if (bit == 0) {
      return;
    }
    facts.put("encryption bit in page-table entries", "0x%x".formatted(bit));
    OptionalLong told = kernel.vmcoreinfo().number("sme_mask");
    if (told.orElse(0) != bit) {
      notes.add(
          new Note(
              "memory encryption",
              "page-table entries carry the encryption bit 0x%x; %s: a reader that does not strip it cannot follow them"
                  .formatted(
                      bit,
                      told.isPresent()
                          ? "VMCOREINFO says NUMBER(sme_mask)=0x%x".formatted(told.getAsLong())
                          : "VMCOREINFO has no NUMBER(sme_mask)")));
    }
  }

  /// In the pieces that the limits of [PageStatistics] are for, whatever the container's blocks
  /// are.
  private static PhysicalMemory pieces(PhysicalMemory memory) {
    return RepagedMemory.of(memory, PageStatistics.SAMPLE_BYTES);
  }

  /// Stored pages at even distances over the whole dump.
  private static Sample sample(PhysicalMemory memory) {
    long step = Math.max(1, memory.endPfn() / SAMPLES);
    int pages = 0;
    int zero = 0;
    int random = 0;
    long next = 0;
    for (int i = 0; i < SAMPLES; i++) {
      long pfn = memory.nextStored(Math.max(next, i * step));
      if (pfn < 0) {
        break;
      }
      next = pfn + 1;
      if (memory.read(pfn) instanceof PageRead.Present(MemorySegment page)) {
        PageStatistics bytes = PageStatistics.of(page);
        pages++;
        zero += bytes.isZero() ? 1 : 0;
        random += bytes.looksRandom() ? 1 : 0;
      }
    }
    return new Sample(pages, zero, random);
  }

  /// Pages of the kernel image, from where VMCOREINFO says that it lies.
  private static Sample image(CheckContext context, PhysicalMemory memory) {
    OptionalLong base = OptionalLong.empty();
    Optional<Kernel> kernel = context.kernel();
    if (kernel.isPresent()) {
      base =
          OptionalLong.of(
              kernel.get().memory().map().imagePhysical(kernel.get().memory().map().imageStart()));
    } else if (context.dump().vmcoreinfo().isPresent()) {
      OptionalLong text = context.dump().vmcoreinfo().get().symbol("_stext");
      Vmcoreinfo info = context.dump().vmcoreinfo().get();
      OptionalLong offset =
          Architectures.of(context.dump().container(), info)
              .map(architecture -> architecture.imageOffset(info, List.of()))
              .orElse(OptionalLong.empty());
      if (text.isPresent() && offset.isPresent()) {
        base = OptionalLong.of(text.getAsLong() - offset.getAsLong());
      }
    }
    int pages = 0;
    int zero = 0;
    int random = 0;
    for (int i = 0; base.isPresent() && i < IMAGE_SAMPLES; i++) {
      long pfn = base.getAsLong() / memory.pageSize() + i * 8L;
      if (pfn >= 0 && memory.read(pfn) instanceof PageRead.Present(MemorySegment page)) {
        PageStatistics bytes = PageStatistics.of(page);
        pages++;
        zero += bytes.isZero() ? 1 : 0;
        random += bytes.looksRandom() ? 1 : 0;
      }
    }
    return new Sample(pages, zero, random);
  }

  private Finding finding(Dump dump, Sample all, Sample image) {
    List<Evidence> evidence = new ArrayList<>();
    // The dump's own note is written in the clear; the kernel put its mask there.
    OptionalLong told =
        dump.vmcoreinfo().map(info -> info.number("sme_mask")).orElse(OptionalLong.empty());
    String claim;
    if (told.orElse(0) != 0) {
      claim =
          "the memory in this dump is encrypted as a whole: the crashed kernel encrypted its memory"
              + " and whoever wrote the dump read it without the key";
      evidence.add(
          new Evidence.CountMismatch(
              "sme_mask",
              0,
              told.getAsLong(),
              "VMCOREINFO says NUMBER(sme_mask)=0x%x: memory encryption was active (SME, or SEV in a guest)"
                  .formatted(told.getAsLong())));
    } else if (dump.vmcoreinfo().isEmpty()) {
      claim =
          "the memory in this dump is encrypted as a whole: it looks like a confidential guest"
              + " (SEV, TDX) dumped from its host";
    } else {
      claim =
          "the memory in this dump is encrypted as a whole: nothing can be said about the kernel";
    }
    if (image.isCiphertext(MIN_IMAGE)) {
      evidence.add(
          new Evidence.CountMismatch(
              "random-looking pages of the kernel image",
              0,
              image.random,
              "%d of %d sampled pages of the kernel image look like random bytes"
                  .formatted(image.random, image.pages)));
    }
    evidence.add(
        new Evidence.CountMismatch(
            "random-looking pages",
            0,
            all.random,
            "%d of %d pages sampled all over the dump look like random bytes, %d are zero"
                .formatted(all.random, all.pages, all.zero)));
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.ENCRYPTED_MEMORY,
        claim,
        Subject.NONE,
        evidence,
        List.of(),
        id() + "/encrypted-memory");
  }
}
