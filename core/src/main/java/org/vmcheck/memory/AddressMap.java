package org.vmcheck.memory;

/// Where the kernel's regions lie in this boot; addresses in bytes, ends exclusive.
///
/// The image and the direct map are translated by arithmetic: their bytes are in the dump even
/// where the kernel unmapped them on purpose (KFENCE, hwpoison). A region that is not known is
/// empty (start = end).
///
/// @param codeStart the lowest address that code of the kernel or of a module can have
/// @param codeEnd ends what code can have; 0 if nothing but the end of all addresses does
public record AddressMap(
    Image image,
    long codeStart,
    long codeEnd,
    DirectMap directMap,
    long vmemmapStart,
    long vmallocStart) {

  /// The kernel image.
  ///
  /// @param base an address that the image is counted from: where it is linked to on x86_64, its
  ///   first byte elsewhere
  /// @param physBase physical address that `base` would map to; may be negative
  public record Image(long start, long end, long base, long physBase) {}

  /// The kernel's map of all memory.
  ///
  /// @param zero the address of physical 0, even if there is no memory and nothing is mapped there
  /// @param start the first address that can be of the map
  public record DirectMap(long zero, long start, long end) {
    /// Where it is not known.
    public static final DirectMap UNKNOWN = new DirectMap(0, 0, 0);
  }

  public boolean isImage(long vaddr) {
    return isWithin(vaddr, image.start, image.end);
  }

  public long imageStart() {
    return image.start;
  }

  public long imageEnd() {
    return image.end;
  }

  public long physBase() {
    return image.physBase;
  }

  /// Whether code of the kernel or of a module may be there.
  public boolean mayBeCode(long vaddr) {
    return Long.compareUnsigned(vaddr, codeStart) >= 0
        && (codeEnd == 0 || Long.compareUnsigned(vaddr, codeEnd) < 0);
  }

  public boolean isDirectMap(long vaddr) {
    return isWithin(vaddr, directMap.start, directMap.end);
  }

  public boolean knowsDirectMap() {
    return directMap.start != directMap.end;
  }

  /// Physical address of an address in the image.
  public long imagePhysical(long vaddr) {
    return vaddr - image.base + image.physBase;
  }

  /// What an address in the image is more than its physical address.
  public long imageOffset() {
    return image.base - image.physBase;
  }

  /// Physical address of an address in the direct map.
  public long directMapPhysical(long vaddr) {
    return vaddr - directMap.zero;
  }

  /// Address in the direct map of a physical address.
  public long directMapAddress(long paddr) {
    return directMap.zero + paddr;
  }

  private static boolean isWithin(long vaddr, long start, long end) {
    return Long.compareUnsigned(vaddr, start) >= 0 && Long.compareUnsigned(vaddr, end) < 0;
  }
}
