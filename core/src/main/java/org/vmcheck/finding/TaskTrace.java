package org.vmcheck.finding;

import java.util.Optional;

/// What one task was doing.
///
/// @param cpu the CPU that was in it when the dump was taken; -1 if none was
/// @param registers those of that CPU, where it left any
public record TaskTrace(Task task, int cpu, Optional<Registers> registers, Backtrace backtrace) {}
