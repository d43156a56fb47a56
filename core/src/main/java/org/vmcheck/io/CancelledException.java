package org.vmcheck.io;

/// Work was ended by its deadline before it had an answer; the message says by which.
public final class CancelledException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  CancelledException(String message) {
    super(message, null, false, false);
  }

  /// The same, with what was left undone, as in `memory from 0x1000 on was not searched`.
  public CancelledException leaving(String undone) {
    return new CancelledException(getMessage() + "; " + undone);
  }
}
