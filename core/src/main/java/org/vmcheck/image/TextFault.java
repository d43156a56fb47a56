package org.vmcheck.image;

/// Bytes of text or read-only data that differ from the kernel's file where nothing may change
/// them.
///
/// @param section of the file
/// @param address of the first byte
/// @param byteCount up to the last byte that differs
/// @param word the 8-byte word that holds the first byte
/// @param value of that word in memory
/// @param expected of that word, as the file has it at this place
/// @param bits how many bits differ in all
public record TextFault(
    String section,
    long address,
    long byteCount,
    long word,
    long value,
    long expected,
    long bits) {}
