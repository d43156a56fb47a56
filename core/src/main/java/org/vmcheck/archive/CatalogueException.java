package org.vmcheck.archive;

import java.io.IOException;

/// A catalogue that cannot be used: corrupt, not one, read-only, busy or without space. The message
/// names the file and says which.
public final class CatalogueException extends IOException {
  private static final long serialVersionUID = 1L;

  private final boolean foreign;

  public CatalogueException(String message, Throwable cause) {
    this(message, cause, false);
  }

  /// @param foreign whether what the file holds is to blame, so that another try ends the same
  CatalogueException(String message, Throwable cause, boolean foreign) {
    super(message, cause);
    this.foreign = foreign;
  }

  /// Whether it is another program's, of another schema or corrupt: nothing of this machine.
  public boolean isForeign() {
    return foreign;
  }
}
