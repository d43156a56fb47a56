package org.vmcheck.memory;

/// Where the kernel's regions lie in this boot; addresses in bytes, ends exclusive.
///
/// The image and the direct map are translated by arithmetic: their bytes are in the dump even
/// where the kernel unmapped them on purpose (KFENCE, hwpoison). A region that is not known is
/// empty (start = end).
///
/// @param physBase physical address that [#IMAGE_BASE] would map to; may be negative
public record AddressMap(
    long imageStart,
    long imageEnd,
    long physBase,
    long directMapStart,
    long directMapEnd,
    long vmemmapStart,
    long vmallocStart) {
  /// `__START_KERNEL_map`.
  public static final long IMAGE_BASE = 0xffff_ffff_8000_0000L;

  public boolean isImage(long vaddr) {
    return isWithin(vaddr, imageStart, imageEnd);
  }

  public boolean isDirectMap(long vaddr) {
    return isWithin(vaddr, directMapStart, directMapEnd);
  }

  public boolean knowsDirectMap() {
    return directMapStart != directMapEnd;
  }

  /// Physical address of an address in the image.
  public long imagePhysical(long vaddr) {
    return vaddr - IMAGE_BASE + physBase;
  }

  /// Address in the direct map of a physical address.
  public long directMapAddress(long paddr) {
    return directMapStart + paddr;
  }

  private static boolean isWithin(long vaddr, long start, long end) {
    return Long.compareUnsigned(vaddr, start) >= 0 && Long.compareUnsigned(vaddr, end) < 0;
  }
}
