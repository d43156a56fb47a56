package org.vmcheck.check;

import org.vmcheck.io.Printable;
import org.vmcheck.kernel.SlabCache;

/// How the checks spell things.
final class Words {
  private Words() {}

  static String hex(long value) {
    return "0x" + Long.toHexString(value);
  }

  static String name(SlabCache cache) {
    return cache == null ? "" : Printable.of(cache.name(), 60);
  }

  static String plural(long count, String one, String many) {
    return count + " " + (count == 1 ? one : many);
  }
}
