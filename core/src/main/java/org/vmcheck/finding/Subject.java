package org.vmcheck.finding;

/// What a finding is about; a part that does not apply is `""` or [Evidence#UNKNOWN].
///
/// @param cache name of the kmem_cache
/// @param slab address of the slab's descriptor (`struct slab`, or the `struct page` before 5.17)
/// @param object address of the object that holds the bad bytes
/// @param address address of the first bad byte: the slot of a bad word
/// @param physical physical address of the same byte
/// @param raw the word found there
/// @param decoded the word after the freelist decoding, where that applies
public record Subject(
    String cache, long slab, long object, long address, long physical, long raw, long decoded) {
  public static final Subject NONE =
      new Subject(
          "",
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN,
          Evidence.UNKNOWN);

  public static Subject cache(String cache) {
    return NONE.withCache(cache);
  }

  public Subject withCache(String newCache) {
    return new Subject(newCache, slab, object, address, physical, raw, decoded);
  }

  public Subject withSlab(long newSlab) {
    return new Subject(cache, newSlab, object, address, physical, raw, decoded);
  }

  public Subject withObject(long newObject) {
    return new Subject(cache, slab, newObject, address, physical, raw, decoded);
  }

  public Subject withAddress(long newAddress, long newPhysical) {
    return new Subject(cache, slab, object, newAddress, newPhysical, raw, decoded);
  }

  public Subject withWord(long newRaw, long newDecoded) {
    return new Subject(cache, slab, object, address, physical, newRaw, newDecoded);
  }
}
