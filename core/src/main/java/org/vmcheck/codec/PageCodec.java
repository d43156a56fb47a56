package org.vmcheck.codec;

/// Decompresses one page of a kdump-compressed dump.
///
/// Input is hostile. A decoder reads nothing outside the first `inLength` bytes of `in`, writes
/// nothing outside the first `outLength` bytes of `out`, and succeeds only if it fills exactly
/// these. Safe for use by several threads at once.
public interface PageCodec {
  /// Name as makedumpfile spells it.
  String name();

  /// The bit in `page_desc.flags` (makedumpfile, `diskdump_mod.h`).
  int flag();

  /// A small stream that a foreign encoder would make of [Codecs#sample]: what shows that this
  /// codec works on this machine.
  byte[] packedSample();

  /// Decodes the page in the first `inLength` bytes of `in`.
  ///
  /// @throws CorruptPageException if they do not hold exactly one page of `outLength` bytes
  void decode(byte[] in, int inLength, byte[] out, int outLength) throws CorruptPageException;
}
