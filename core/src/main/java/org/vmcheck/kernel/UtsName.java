package org.vmcheck.kernel;

import java.util.OptionalLong;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;

/// The kernel's name (`struct new_utsname`: six strings of 65 bytes) in `init_uts_ns`.
///
/// VMCOREINFO says where it lies from 5.11 on. Before, a reference count of 4 bytes may come first:
/// the memory tells, since the first string is fixed.
public final class UtsName {
  public static final int BYTES = 6 * 65;

  /// How memory is read: null if it cannot be.
  @FunctionalInterface
  public interface Reader {
    ByteView read(long address, int byteCount);
  }

  private UtsName() {}

  /// The six strings; null if they cannot be read.
  ///
  /// @param uts address of `init_uts_ns`, in the reader's terms
  public static ByteView read(Reader reader, Vmcoreinfo info, long uts) {
    OptionalLong told = info.offset("uts_namespace.name");
    if (told.isPresent()) {
      return reader.read(uts + told.getAsLong(), BYTES);
    }
    ByteView counted = reader.read(uts + 4, BYTES);
    if (counted != null && isName(counted)) {
      return counted;
    }
    ByteView bare = reader.read(uts, BYTES);
    return bare != null && isName(bare) ? bare : counted;
  }

  private static boolean isName(ByteView names) {
    return names.string(0, 65).equals("Linux");
  }

  public static String release(ByteView names) {
    return names.string(130, 65);
  }
}
