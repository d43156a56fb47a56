package org.vmcheck.archive;

import java.io.IOException;

/// A catalogue that cannot be used: corrupt, not one, read-only, busy or without space. The message
/// names the file and says which.
public final class CatalogueException extends IOException {
  private static final long serialVersionUID = 1L;

  public CatalogueException(String message, Throwable cause) {
    super(message, cause);
  }
}
