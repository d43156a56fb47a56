package org.vmcheck.debuginfo;

/// A kernel symbol.
///
/// @param name as the kernel stores it
/// @param type the letter of nm: `T` text, `D` data, `A` absolute; lower case is local
/// @param address run-time address; for a per-CPU symbol of a kernel before 6.15 the offset in the
///   per-CPU area
public record Symbol(String name, char type, long address) {}
