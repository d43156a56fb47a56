package org.vmcheck.evidence;

/// A bundle, key or certificate that is refused, with the reason.
public final class BundleException extends Exception {
  private static final long serialVersionUID = 1L;

  BundleException(String message) {
    super(message);
  }
}
