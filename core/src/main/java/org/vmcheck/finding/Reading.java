package org.vmcheck.finding;

import java.util.Optional;

/// One thing that a word can be.
///
/// @param what a clause, unescaped
/// @param why what speaks for it, and how often chance would give it; a sentence, may be empty
/// @param place what it leads to, if it leads anywhere
public record Reading(Kind kind, Grade grade, String what, String why, Optional<Place> place) {
  /// Kinds of reading.
  public enum Kind {
    NULL,
    POISON,
    ERROR,
    POINTER,
    USER_POINTER,
    TAGGED_POINTER,
    FREE_POINTER,
    FLIPPED_POINTER,
    HASHED_POINTER,
    STACK_CANARY,
    TEXT,
    PER_CPU_OFFSET,
    NUMBER,
    UNKNOWN
  }

  /// How sure it is.
  public enum Grade {
    /// Two independent sources agree.
    PROVEN,
    LIKELY,
    GUESS
  }
}
