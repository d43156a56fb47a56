package org.vmcheck.dump;

import java.util.Optional;

/// Which values of VMCOREINFO can be: a bit of the page flags lies in 64 bits, a member within its
/// structure, a symbol in the kernel's half. What cannot be is not to be used.
///
/// The bounds are wide: none depends on the kernel's version.
final class VmcoreinfoRules {
  /// Where the kernel's half begins on any machine that is read here, with most levels of paging.
  private static final long KERNEL_HALF = 0xff00_0000_0000_0000L;

  private static final long MAX_STRUCT = 16 << 20;
  private static final long MAX_LENGTH = 1 << 26;
  private static final long MAX_PHYSICAL = 1L << 52;

  /// `KTIME_SEC_MAX` (Linux `include/linux/ktime.h`): where the kernel's clock ends.
  private static final long MAX_SECONDS = Long.MAX_VALUE / 1_000_000_000;

  private VmcoreinfoRules() {}

  /// Why a value cannot be; empty if it can, or nothing is known of the key.
  ///
  /// @param key for example `NUMBER(PG_slab)`
  /// @param sizeOf the value of `SIZE(structure)`, as text; null if there is none
  static Optional<String> refusal(String key, String value, String sizeOf) {
    if (key.equals("CRASHTIME")) {
      return Optional.ofNullable(range(value, 1, MAX_SECONDS, "a time before the year 2262"));
    }
    int open = key.indexOf('(');
    if (open < 0 || !key.endsWith(")")) {
      return Optional.empty();
    }
    String name = key.substring(open + 1, key.length() - 1);
    String why =
        switch (key.substring(0, open)) {
          case "SYMBOL" -> symbol(value);
          case "SIZE" -> range(value, 1, MAX_STRUCT, "the size of a structure");
          case "LENGTH" -> range(value, 1, MAX_LENGTH, "a number of elements");
          case "OFFSET" -> offset(value, sizeOf);
          case "NUMBER" -> number(name, value);
          default -> null;
        };
    return Optional.ofNullable(why);
  }

  /// The structure of `OFFSET(structure.member)`; null for other keys.
  static String structOf(String key) {
    int dot = key.indexOf('.');
    return key.startsWith("OFFSET(") && dot > 0 ? key.substring(7, dot) : null;
  }

  private static String symbol(String value) {
    try {
      return Long.compareUnsigned(Long.parseUnsignedLong(value, 16), KERNEL_HALF) >= 0
          ? null
          : "no address of the kernel";
    } catch (NumberFormatException _) {
      return "no address";
    }
  }

  private static String offset(String value, String sizeOf) {
    long size = MAX_STRUCT;
    if (sizeOf != null && range(sizeOf, 1, MAX_STRUCT, "") == null) {
      size = Long.parseLong(sizeOf);
    }
    return range(value, 0, size - 1, "an offset in a structure of %d bytes".formatted(size));
  }

  private static String number(String name, String value) {
    return switch (name) {
      case "PG_head_mask" -> oneBit(value, 0, 63);
      case "phys_base" -> physBase(value);
      case "sme_mask" -> value.equals("0") ? null : oneBit(value, 32, 62);
      case "pgtable_l5_enabled" -> range(value, 0, 1, "0 or 1");
      case "KERNEL_IMAGE_SIZE" -> range(value, 1 << 20, 1L << 31, "the room for a kernel image");
      case "SECTION_SIZE_BITS" -> range(value, 18, 36, "the bits of a section of memory");
      case "VMALLOC_START" ->
          value.startsWith("0x")
              ? symbol(value.substring(2))
              : range(value, KERNEL_HALF, -1, "an address of the kernel");
      default -> {
        if (name.startsWith("PG_")) {
          yield range(value, 0, 63, "a bit of the page flags");
        }
        yield name.endsWith("_MAPCOUNT_VALUE") ? pageType(value) : null;
      }
    };
  }

  /// It lies over `_mapcount`, where counts are not negative and -1 says "not mapped".
  private static String pageType(String value) {
    try {
      long type = Long.parseLong(value);
      boolean isWord = type >= Integer.MIN_VALUE && type < 1L << 32;
      return isWord && (int) type < -1 ? null : "no type of a page: these are negative words";
    } catch (NumberFormatException _) {
      return "no number";
    }
  }

  private static String physBase(String value) {
    try {
      long base = Long.parseLong(value);
      return Math.abs(base) < MAX_PHYSICAL && (base & 4095) == 0
          ? null
          : "no distance of pages within 2^52 bytes";
    } catch (NumberFormatException _) {
      return "no number";
    }
  }

  private static String oneBit(String value, int from, int to) {
    try {
      long mask = value.startsWith("0x") ? Long.decode(value) : Long.parseLong(value);
      int bit = Long.numberOfTrailingZeros(mask);
      return Long.bitCount(mask) == 1 && bit >= from && bit <= to
          ? null
          : "no mask of one bit of %d to %d".formatted(from, to);
    } catch (NumberFormatException _) {
      return "no number";
    }
  }

  private static String range(String value, long from, long to, String what) {
    try {
      long number = Long.parseLong(value);
      return number >= from && number <= to ? null : "not %s, %d to %d".formatted(what, from, to);
    } catch (NumberFormatException _) {
      return "no number";
    }
  }
}
