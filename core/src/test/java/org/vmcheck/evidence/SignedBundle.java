package org.vmcheck.evidence;

import java.time.Instant;
import java.util.List;
import java.util.TreeMap;
import org.vmcheck.testing.Identity;

/// A bundle without a report, signed at any time: what the command line signs is of now.
public final class SignedBundle {
  private SignedBundle() {}

  public static byte[] of(Identity by, Instant time) throws Exception {
    return Bundle.seal(
        new TreeMap<>(),
        new StringBuilder(),
        List.of(new Bundle.Signing(by.key(), List.of(by.certificate()))),
        time);
  }
}
