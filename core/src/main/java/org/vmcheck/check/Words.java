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

  /// A place in the allocator as a part of a fingerprint: the same in every dump of the same fault,
  /// so without the CPU, the node and the address.
  static String place(String words) {
    return words
        .replaceAll(" of (cpu|node) \\d+", "")
        .replaceAll("0x[0-9a-f]+|\\b\\d+\\b", "#")
        .replace('/', ' ');
  }

  static String plural(long count, String one, String many) {
    return count + " " + (count == 1 ? one : many);
  }
}
