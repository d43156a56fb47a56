package org.vmcheck.finding;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;
import java.util.SequencedMap;

/// The registers of one moment, by the kernel's own names for them and in its order of printing
/// them.
///
/// Where only a part was saved (on x86_64 the five words that the processor pushes by itself) the
/// others are not known.
///
/// @param ip where the processor was (`RIP`, `pc`)
/// @param sp the stack pointer
/// @param isUser whether the processor was in a user's program
public record Registers(SequencedMap<String, Long> words, long ip, long sp, boolean isUser) {
  public Registers {
    words = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(words));
  }

  /// Of words whose names tell what they are for; 0 stands for those that are missing.
  public static Registers of(Map<String, Long> words) {
    LinkedHashMap<String, Long> ordered = new LinkedHashMap<>(words);
    return new Registers(
        ordered, first(ordered, "RIP", "pc"), first(ordered, "RSP", "sp"), isUser(ordered));
  }

  private static long first(Map<String, Long> words, String one, String other) {
    return words.getOrDefault(one, words.getOrDefault(other, 0L));
  }

  /// By the privilege level of `CS`, or the exception level of `pstate`.
  private static boolean isUser(Map<String, Long> words) {
    Long pstate = words.get("pstate");
    return pstate == null ? (words.getOrDefault("CS", 0L) & 3) != 0 : (pstate & 0xf) == 0;
  }

  /// A register by the kernel's name for it; empty if it was not saved.
  public OptionalLong get(String name) {
    Long word = words.get(name);
    return word == null ? OptionalLong.empty() : OptionalLong.of(word);
  }
}
