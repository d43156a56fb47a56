package org.vmcheck.report;

import java.util.Map;

/// What some checks' answers are the answers to, where they do not say it themselves: `no` is not
/// read by someone who does not know the question.
final class CheckTopics {
  private static final Map<String, String> TOPICS =
      Map.of(
          "container.complete", "the file",
          "memory.translation", "address translation",
          "memory.encryption", "whole-dump encryption",
          "lowmem.sme", "low 640 KiB under AMD SME",
          "lowmem.reserved", "low 1 MiB reserved for the crash kernel",
          "lowmem.backup", "backup copy of the low 640 KiB",
          "slab.counts", "slabs, nodes and caches",
          "slab.lists", "lists of slabs",
          "log.witness", "the kernel's own log");

  private CheckTopics() {}

  /// A check's answer behind what it is about.
  static String answer(String check, String answer) {
    String topic = TOPICS.get(check);
    return topic == null ? answer : topic + ": " + answer;
  }
}
