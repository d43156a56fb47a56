package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.memory.MemoryRead;

/// Says of each finding whether the panic had to do with it: registers and stack words of the CPUs
/// are matched with the bad word, the object and its slot, and log lines with the cache's name.
final class PanicRelation {
  /// `struct elf_prstatus` of x86_64: the registers start at 112 in this order.
  private static final List<String> REGISTERS =
      List.of(
          "r15",
          "r14",
          "r13",
          "r12",
          "rbp",
          "rbx",
          "r11",
          "r10",
          "r9",
          "r8",
          "rax",
          "rcx",
          "rdx",
          "rsi",
          "rdi",
          "orig_rax",
          "rip",
          "cs",
          "eflags",
          "rsp");

  private static final int REGISTERS_AT = 112;
  private static final int RSP = 19;
  private static final int STACK_WORDS = 1024;
  private static final int MAX_CPUS = 512;

  private PanicRelation() {}

  /// The outcomes with one more piece of evidence a finding: how the panic relates to it.
  static List<CheckOutcome> attach(List<CheckOutcome> outcomes, Kernel kernel) {
    if (outcomes.stream().allMatch(outcome -> outcome.findingsIfRan().isEmpty())) {
      return outcomes;
    }
    Map<String, Long> words = words(kernel);
    List<CheckOutcome> attached = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      attached.add(
          outcome instanceof CheckOutcome.Ran ran && !ran.findings().isEmpty()
              ? ran.withFindings(
                  ran.findings().stream().map(f -> relate(f, words, kernel)).toList())
              : outcome);
    }
    return attached;
  }

  /// Registers by name and stack words by place, those that are no kernel addresses left out.
  private static Map<String, Long> words(Kernel kernel) {
    Map<String, Long> words = new LinkedHashMap<>();
    int cpu = -1;
    for (ElfNote note : kernel.dump().notes()) {
      if (!note.name().equals("CORE")
          || note.type() != ElfNote.NT_PRSTATUS
          || note.desc().size() < 336
          || cpu >= MAX_CPUS) {
        continue;
      }
      cpu++;
      for (int i = 0; i < REGISTERS.size(); i++) {
        put(
            words,
            REGISTERS.get(i) + " of register note " + cpu,
            note.desc().u64(REGISTERS_AT + 8L * i));
      }
      long stack = note.desc().u64(REGISTERS_AT + 8L * RSP);
      for (int i = 0; i < STACK_WORDS && stack < 0; i++) {
        if (!(kernel.memory().read(stack + 8L * i, 8) instanceof MemoryRead.Bytes(ByteView word))) {
          break;
        }
        put(
            words,
            "the stack word at rsp+0x%x of register note %d".formatted(8 * i, cpu),
            word.u64(0));
        if ((stack + 8L * (i + 1) & 0x3fff) == 0) {
          break;
        }
      }
    }
    return words;
  }

  private static void put(Map<String, Long> words, String place, long word) {
    if (word < 0 && word != -1) {
      words.put(place, word);
    }
  }

  private static Finding relate(Finding finding, Map<String, Long> words, Kernel kernel) {
    if (finding.cause().isArtefact()) {
      return finding; // What happened to the dump happened after the panic.
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    Subject subject = finding.subject();
    boolean isPointer = subject.raw() < 0 && subject.raw() != -1;
    for (Map.Entry<String, Long> word : words.entrySet()) {
      String how = null;
      if (word.getValue() == subject.address()) {
        how = "holds the address of the bad word";
      } else if (isPointer && word.getValue() == subject.raw()) {
        how = "holds the bad word itself";
      } else if (subject.object() != Evidence.UNKNOWN && word.getValue() == subject.object()) {
        how = "holds the address of the object";
      }
      if (how != null) {
        evidence.add(
            new Evidence.WordAt(
                word.getValue(),
                Evidence.UNKNOWN,
                Evidence.UNKNOWN,
                Evidence.UNKNOWN,
                "the panic is related: %s %s".formatted(word.getKey(), how)));
        return finding.withEvidence(evidence);
      }
    }
    if (!subject.cache().isEmpty()) {
      for (LogBuffer.Line line : kernel.log().records()) {
        if (line.text().contains("BUG " + subject.cache() + " ")
            || line.text().contains("Slab corruption: " + subject.cache())) {
          evidence.add(
              new Evidence.LogLineSays(
                  line.timestampNanos(),
                  line.text(),
                  "the kernel's log reports this cache: " + line.text()));
          return finding.withEvidence(evidence);
        }
      }
    }
    evidence.add(
        new Evidence.WhatIf(
            "panic",
            words.isEmpty()
                ? "whether the panic is related is not known: the dump has no registers"
                : "no sign that the panic is related: no register and no stack word holds the bad"
                    + " word or the object"));
    return finding.withEvidence(evidence);
  }
}
