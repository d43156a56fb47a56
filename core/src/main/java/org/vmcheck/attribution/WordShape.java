package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.memory.AddressMap;

/// What a 64-bit word looks like to someone who wonders who wrote it.
///
/// @param words for example `text "admin;us"`
/// @param known whether it fits a known shape at all
public record WordShape(String words, boolean known) {

  public static WordShape of(Kernel kernel, long word) {
    if (word == 0) {
      return new WordShape("zero", true);
    }
    if (word == -1L) {
      return new WordShape("all ones", true);
    }
    String poison = poison(word);
    if (poison != null) {
      return new WordShape(poison, true);
    }
    if (isRepeatedByte(word)) {
      return new WordShape("one byte repeated (0x%02x)".formatted(word & 0xff), true);
    }
    int printable = 0;
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < 8; i++) {
      int b = (int) (word >>> (8 * i)) & 0xff;
      boolean isText = (b >= 0x20 && b < 0x7f) || b == '\n' || b == '\t';
      printable += isText ? 1 : 0;
      text.append(b >= 0x20 && b < 0x7f ? (char) b : '.');
    }
    if (printable >= 7) {
      return new WordShape("text \"" + text + "\"", true);
    }
    AddressMap map = kernel.memory().map();
    if (map.isImage(word)) {
      return new WordShape("kernel address " + kernel.describe(word), true);
    }
    if (map.isDirectMap(word)) {
      return new WordShape("pointer into the direct map (" + target(kernel, word) + ")", true);
    }
    if (kernel.memory().paging().isCanonical(word)
        && word < 0
        && kernel.memory().physicalAddress(word) != -1) {
      return new WordShape("pointer to mapped kernel memory", true);
    }
    if (word > 0 && word < 1L << 32) {
      return new WordShape("small number (" + word + ")", true);
    }
    return new WordShape("not recognised", false);
  }

  private static String target(Kernel kernel, long word) {
    long pfn = kernel.memory().directMapPfn(word);
    String role = LowMemory.role(Optional.of(kernel), pfn);
    return role.isEmpty() ? "page frame 0x%x".formatted(pfn) : role;
  }

  private static boolean isRepeatedByte(long word) {
    return word == (word & 0xff) * 0x0101010101010101L;
  }

  /// Values that the kernel writes on purpose (Linux `include/linux/poison.h`).
  private static String poison(long word) {
    if (word == 0xdead000000000100L || word == 0xdead000000000122L) {
      return "list poison (the element was deleted from its list)";
    }
    if (!isRepeatedByte(word)) {
      return (word & 0x00ff_ffff_ffff_ffffL) == 0x006b6b6b6b6b6b6bL && word >>> 56 == 0xa5
          ? "end of slab poison (0x6b..a5)"
          : null;
    }
    return switch ((int) word & 0xff) {
      case 0x6b -> "slab poison of a free object (0x6b)";
      case 0x5a -> "slab padding (0x5a)";
      case 0xa5 -> "end of slab poison (0xa5)";
      case 0xbb -> "inactive red zone (0xbb)";
      case 0xcc -> "active red zone or freed init memory (0xcc)";
      case 0xaa -> "poison of a free page (0xaa)";
      default -> null;
    };
  }
}
