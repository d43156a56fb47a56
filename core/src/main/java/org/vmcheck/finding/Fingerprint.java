package org.vmcheck.finding;

/// What names a fault, so that the same fault in two dumps has the same name: the check, the cause,
/// and names of the kernel's own (a cache, a member, a list). Never a sentence, a number that is
/// counted, or an address: sentences are reworded, and numbers and addresses differ from dump to
/// dump.
public final class Fingerprint {
  private Fingerprint() {}

  /// @param check id of the check that reports
  /// @param names from the largest to the smallest; a `/` in one of them would look like two
  /// @return the parts with `/` between them
  public static String of(String check, Cause cause, String... names) {
    StringBuilder text = new StringBuilder(check).append('/').append(cause.id());
    for (String name : names) {
      text.append('/').append(name.replace('/', ' '));
    }
    return text.toString();
  }
}
