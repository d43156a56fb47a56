package org.vmcheck.debuginfo;

import java.util.Optional;
import java.util.function.Supplier;

/// A member of a structure, found by name at any depth of anonymous members.
public final class Member {
  private final String name;
  private final long bitOffset;
  private final int bitFieldSize;
  private final long byteSize;
  private final long elementCount;
  private final Supplier<Optional<StructLayout>> struct;
  private final String pointee;
  private final boolean isBool;

  /// @param bitOffset from the start of the outermost structure
  /// @param bitFieldSize width of a bit field; 0 for an ordinary member
  /// @param byteSize bytes of the member's type; of an array, of the whole array
  /// @param elementCount elements of an array; -1 if the member is none
  /// @param struct the structure that it is, or that its elements are
  public Member(
      String name,
      long bitOffset,
      int bitFieldSize,
      long byteSize,
      long elementCount,
      Supplier<Optional<StructLayout>> struct) {
    this(name, bitOffset, bitFieldSize, byteSize, elementCount, struct, "", false);
  }

  /// @param pointee what it or its elements point to, if that is a structure, a function, or
  ///   another such pointer; else empty
  /// @param isBool whether it is a `bool`, of which one bit is used
  public Member(
      String name,
      long bitOffset,
      int bitFieldSize,
      long byteSize,
      long elementCount,
      Supplier<Optional<StructLayout>> struct,
      String pointee,
      boolean isBool) {
    this.name = name;
    this.bitOffset = bitOffset;
    this.bitFieldSize = bitFieldSize;
    this.byteSize = byteSize;
    this.elementCount = elementCount;
    this.struct = struct;
    this.pointee = pointee;
    this.isBool = isBool;
  }

  public String name() {
    return name;
  }

  /// Bytes from the start of the outermost structure.
  public int offset() {
    return (int) (bitOffset >>> 3);
  }

  public long bitOffset() {
    return bitOffset;
  }

  /// First bit within the byte at [#offset]; 0 for an ordinary member.
  public int bitInByte() {
    return (int) (bitOffset & 7);
  }

  /// Width in bits; 0 if it is no bit field.
  public int bitFieldSize() {
    return bitFieldSize;
  }

  public boolean isBitField() {
    return bitFieldSize != 0;
  }

  public long byteSize() {
    return byteSize;
  }

  /// -1 if it is no array.
  public long elementCount() {
    return elementCount;
  }

  /// Bytes of one element; of the whole if it is no array.
  public long elementSize() {
    return elementCount > 0 ? byteSize / elementCount : byteSize;
  }

  public Optional<StructLayout> struct() {
    return struct.get();
  }

  /// What it or its elements point to, as in `struct inode`; empty if it is no pointer, or one to
  /// plain bytes or numbers, or if that is not known (DWARF).
  public String pointee() {
    return pointee;
  }

  /// Whether it is a `bool`, of which one bit is used; false if that is not known (DWARF).
  public boolean isBool() {
    return isBool;
  }

  /// This member seen from a structure in which it lies `moreBits` further on.
  Member shifted(String newName, long moreBits) {
    return new Member(
        newName,
        bitOffset + moreBits,
        bitFieldSize,
        byteSize,
        elementCount,
        struct,
        pointee,
        isBool);
  }
}
