package org.vmcheck.slab;

/// Something that breaks a rule and is legal for an instant: a CPU was stopped in the middle.
///
/// @param cache null if it is not known
/// @param what the state, a clause
/// @param why what allows it, a clause
/// @param isLegal false for what a fault that is reported has led to
public record TransientState(SlabCache cache, String what, String why, boolean isLegal) {
  TransientState(SlabCache cache, String what, String why) {
    this(cache, what, why, true);
  }
}
