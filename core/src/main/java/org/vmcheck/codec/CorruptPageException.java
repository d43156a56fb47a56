package org.vmcheck.codec;

/// Compressed bytes that do not decode to exactly one page.
///
/// Carries no stack trace: a damaged dump raises it once a page.
public final class CorruptPageException extends Exception {
  private static final long serialVersionUID = 1L;

  /// @param reason what is wrong, naming the offset in the compressed bytes where that is known
  public CorruptPageException(String reason) {
    super(reason, null, false, false);
  }
}
