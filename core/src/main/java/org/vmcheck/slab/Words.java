package org.vmcheck.slab;

import org.vmcheck.io.Printable;

/// How the checks spell things.
public final class Words {
  private Words() {}

  public static String hex(long value) {
    return "0x" + Long.toHexString(value);
  }

  public static String name(SlabCache cache) {
    return cache == null ? "" : Printable.of(cache.name(), 60);
  }

  /// A place in the allocator as a part of a fingerprint: the same in every dump of the same fault,
  /// so without the CPU, the node and the address.
  public static String place(String words) {
    return words
        .replaceAll(" of (cpu|node) \\d+", "")
        .replaceAll("0x[0-9a-f]+|\\b\\d+\\b", "#")
        .replace('/', ' ');
  }

  /// Why nothing can be said of slabs where none was met.
  public static String noSlabs(SlabSurvey survey) {
    if (!survey.finished()) {
      return "no slab was met before the deadline";
    }
    return survey.unreadableDescriptors() > 0
        ? "no slab was met; %s cannot be read"
            .formatted(
                plural(survey.unreadableDescriptors(), "page descriptor", "page descriptors"))
        : "no page descriptor is marked as a slab";
  }

  public static String plural(long count, String one, String many) {
    return "%,d %s".formatted(count, count == 1 ? one : many);
  }
}
