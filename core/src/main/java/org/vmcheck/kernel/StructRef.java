package org.vmcheck.kernel;

import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// A structure of the dumped kernel: its bytes, read once, under its layout.
///
/// Asking for a member that the layout lacks is a mistake of the caller, who tests [#has] first
/// where kernels differ.
public final class StructRef implements StructRead {
  private final StructLayout layout;
  private final ByteView bytes;
  private final long vaddr;

  private StructRef(StructLayout layout, ByteView bytes, long vaddr) {
    this.layout = layout;
    this.bytes = bytes;
    this.vaddr = vaddr;
  }

  /// Reads the whole structure.
  public static StructRead read(VirtualMemory memory, StructLayout layout, long vaddr) {
    return read(memory, layout, vaddr, (int) Math.min(layout.size(), 1 << 20));
  }

  /// Reads the first `byteCount` bytes: allocations may be shorter than their type.
  public static StructRead read(
      VirtualMemory memory, StructLayout layout, long vaddr, int byteCount) {
    MemoryRead read = memory.read(vaddr, byteCount);
    return read instanceof MemoryRead.Bytes(ByteView view)
        ? new StructRef(layout, view, vaddr)
        : new Unread(vaddr, read);
  }

  public StructLayout layout() {
    return layout;
  }

  public long vaddr() {
    return vaddr;
  }

  public boolean has(String path) {
    return layout.has(path);
  }

  /// Address of a member.
  public long addressOf(String path) {
    return vaddr + member(path).offset();
  }

  /// The value of an integer, pointer or bit field, zero-extended.
  public long get(String path) {
    return get(member(path));
  }

  /// The value of a member found earlier.
  public long get(Member member) {
    if (member.isBitField()) {
      int bits = member.bitInByte() + member.bitFieldSize();
      long value = 0;
      for (int i = 0; i * 8 < bits; i++) {
        value |= (long) bytes.u8(member.offset() + i) << (8 * i);
      }
      return value >>> member.bitInByte() & ((1L << member.bitFieldSize()) - 1);
    }
    return bytes.unsigned(member.offset(), (int) member.elementSize());
  }

  /// An `int` member with its sign.
  public int signed32(String path) {
    return (int) get(path);
  }

  /// The `index`th element of an array of words.
  public long word(String path, int index) {
    return bytes.u64(member(path).offset() + 8L * index);
  }

  public ByteView bytes() {
    return bytes;
  }

  private Member member(String path) {
    return layout
        .member(path)
        .orElseThrow(
            () -> new IllegalArgumentException("struct " + layout.name() + " has no " + path));
  }
}
