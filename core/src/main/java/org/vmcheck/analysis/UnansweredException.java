package org.vmcheck.analysis;

/// A question that this dump cannot answer; the message says what is missing.
public final class UnansweredException extends Exception {
  private static final long serialVersionUID = 1L;

  public UnansweredException(String message) {
    super(message);
  }
}
