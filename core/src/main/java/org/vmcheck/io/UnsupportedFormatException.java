package org.vmcheck.io;

import java.io.IOException;

/// A file that may be sound but that this program does not read; the message says what it is taken
/// for.
public final class UnsupportedFormatException extends IOException {
  private static final long serialVersionUID = 1L;

  public UnsupportedFormatException(String message) {
    super(message);
  }
}
