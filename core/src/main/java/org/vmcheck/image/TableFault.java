package org.vmcheck.image;

/// An entry of the kernel's page tables that cannot be.
///
/// @param level of its table; 1 is the last, 4 or 5 the top
/// @param vaddr the first address that it maps
/// @param physical address of the entry
/// @param value what it holds
/// @param expected what it must hold; 0 if that cannot be told, or is nothing
public record TableFault(
    Kind kind, int level, long vaddr, long physical, long value, long expected) {
  /// What is wrong with it.
  public enum Kind {
    /// One bit, and nothing else: no kernel writes that.
    STRAY_BIT,
    /// It is not in use, and holds a frame that is neither its own nor of this machine.
    STRAY_WORD,
    /// It maps another frame than arithmetic says.
    FRAME,
    /// It leads to a page that is no table.
    TABLE,
    /// It has a bit that no other entry of its kind has.
    FLAG,
    /// It lets the kernel's text or read-only data be written.
    WRITABLE,
    /// It forbids that text is run.
    NO_EXECUTE
  }
}
