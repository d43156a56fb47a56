package org.vmcheck.archive;

import java.io.IOException;
import java.util.Optional;

/// The claims of one scan, kept alive while it runs. Several scans of one catalogue share its work
/// by them: none judges what another is at.
final class Claims implements AutoCloseable {
  private static final long RENEW_MILLIS = Claimant.LEASE_MILLIS / 4;

  private final Catalogue catalogue;
  private final Claimant claimant = Claimant.ofThisScan();
  private final Thread renewer;

  Claims(Catalogue catalogue) {
    this.catalogue = catalogue;
    renewer = Thread.ofPlatform().daemon().name("claims").start(this::renew);
  }

  private void renew() {
    try {
      while (true) {
        Thread.sleep(RENEW_MILLIS);
        try {
          catalogue.renew(claimant);
        } catch (IOException _) {
          // The next time may do; until then another scan may judge the same, and lose nothing.
        }
      }
    } catch (InterruptedException _) {
      // The scan is over.
    }
  }

  boolean take(Incident incident, String origin) throws IOException {
    return catalogue.claim(
        new IncidentKey(origin, incident.location()), incident.bytes(), claimant);
  }

  Optional<Catalogue.Queued> next() throws IOException {
    return catalogue.next(claimant);
  }

  void release(Incident incident, String origin) throws IOException {
    catalogue.release(new IncidentKey(origin, incident.location()), claimant);
  }

  /// Gives back what was not judged.
  @Override
  public void close() throws IOException {
    renewer.interrupt();
    catalogue.releaseAll(claimant);
  }
}
