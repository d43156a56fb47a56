package org.vmcheck.memory;

/// What the bits of a page-table entry that are no address say: those that few entries of a kernel
/// have, and those that guard its text.
///
/// @param rareInLeaf bits that a kernel sets in few of its leaves, if in any
/// @param usualInLeaf bits that it sets in nearly all
/// @param rareInTable bits that it sets in few of the entries that lead to tables
/// @param writable bits of which one makes memory writable
/// @param writableIfClear those of [#writable] that do so by being 0
/// @param noExecute forbids the kernel to run what is there
public record EntryFlags(
    long rareInLeaf,
    long usualInLeaf,
    long rareInTable,
    long writable,
    long writableIfClear,
    long noExecute) {}
