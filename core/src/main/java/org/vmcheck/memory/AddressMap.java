package org.vmcheck.memory;

/// Where the kernel's regions lie in this boot; addresses in bytes, ends exclusive.
///
/// The image and the direct map are translated by arithmetic: their bytes are in the dump even
/// where the kernel unmapped them on purpose (KFENCE, hwpoison). A region that is not known is
/// empty (start = end).
///
/// @param imageBase an address that the image is counted from: where it is linked to on x86_64, its
///   first byte elsewhere
/// @param physBase physical address that `imageBase` would map to; may be negative
/// @param codeStart the lowest address that code of the kernel or of a module can have
/// @param codeEnd ends what code can have; 0 if nothing but the end of all addresses does
public record AddressMap(
    long imageStart,
    long imageEnd,
    long imageBase,
    long physBase,
    long codeStart,
    long codeEnd,
    long directMapStart,
    long directMapEnd,
    long vmemmapStart,
    long vmallocStart) {
  public boolean isImage(long vaddr) {
    return isWithin(vaddr, imageStart, imageEnd);
  }

  /// Whether code of the kernel or of a module may be there.
  public boolean mayBeCode(long vaddr) {
    return Long.compareUnsigned(vaddr, codeStart) >= 0
        && (codeEnd == 0 || Long.compareUnsigned(vaddr, codeEnd) < 0);
  }

  public boolean isDirectMap(long vaddr) {
    return isWithin(vaddr, directMapStart, directMapEnd);
  }

  public boolean knowsDirectMap() {
    return directMapStart != directMapEnd;
  }

  /// Physical address of an address in the image.
  public long imagePhysical(long vaddr) {
    return vaddr - imageBase + physBase;
  }

  /// What an address in the image is more than its physical address.
  public long imageOffset() {
    return imageBase - physBase;
  }

  /// Address in the direct map of a physical address.
  public long directMapAddress(long paddr) {
    return directMapStart + paddr;
  }

  private static boolean isWithin(long vaddr, long start, long end) {
    return Long.compareUnsigned(vaddr, start) >= 0 && Long.compareUnsigned(vaddr, end) < 0;
  }
}
