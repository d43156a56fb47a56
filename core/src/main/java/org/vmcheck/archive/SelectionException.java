package org.vmcheck.archive;

/// Words that select nothing, or that make no sense as a selection.
public final class SelectionException extends Exception {
  private static final long serialVersionUID = 1L;

  SelectionException(String message) {
    super(message);
  }
}
