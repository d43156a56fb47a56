package org.vmcheck.dump;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;

/// Formats that are recognised so as to be named, and not read here.
final class ForeignFormats {
  /// @param offset where the magic stands
  /// @param magic a byte a character
  /// @param advice what reads it
  private record Foreign(long offset, String magic, String name, String advice) {}

  private static final List<Foreign> KNOWN =
      List.of(
          hex("ed238f61731019a8", "an LKCD dump", "crash reads it"),
          hex("cd238f61731019a8", "a live LKCD dump", "crash reads it"),
          hex("a8190173618f23ed", "an LKCD dump of a big-endian machine", "crash reads it"),
          hex("a8190173618f23cd", "a live LKCD dump of a big-endian machine", "crash reads it"),
          hex("a8190173618f23fd", "an s390 stand-alone dump", "zgetdump converts it to ELF"),
          hex("ddcc8b9a", "an MCLX dump", "crash reads it"),
          hex(
              "736164756d70",
              "a sadump (stand-alone dump) partition",
              "crash and makedumpfile read it"),
          hex("75646173" + "0000706d", "a sadump partition", "crash and makedumpfile read it"),
          new Foreign(
              4096,
              "sadump\0\0",
              "a medium of a sadump (stand-alone dump)",
              "crash and makedumpfile read it"),
          hex("edeb0ff0", "an old Xen core", "crash reads it"),
          hex("eeeb0ff0", "an old Xen HVM core", "crash reads it"),
          text(0, "LinuxGuestRecord", "a saved Xen guest", "restore it, then xl dump-core"),
          text(0, "QEVM", "a QEMU migration stream (savevm)", "dump with virsh dump --memory-only"),
          text(
              0,
              "LibvirtQemudSave",
              "a libvirt save file",
              "dump again with virsh dump --memory-only"),
          text(
              0,
              "LibvirtQemudPart",
              "an unfinished libvirt save file",
              "dump again with virsh dump --memory-only"),
          hex("d0bed0be", "a VMware suspend file", "crash reads it with its .vmem"),
          hex("d2bed2be", "a VMware snapshot file", "crash reads it with its .vmem"),
          hex("d3bed3be", "a VMware snapshot file", "crash reads it with its .vmem"),
          hex("d1bad1ba", "a VMware suspend file", "crash reads it with its .vmem"),
          hex("d2bad2ba", "a VMware snapshot file", "crash reads it with its .vmem"),
          text(0, "EMiL", "a LiME memory image", "volatility reads it"),
          text(0, "PAGEDU64", "a Windows crash dump", "WinDbg reads it"),
          text(0, "PAGEDUMP", "a Windows crash dump", "WinDbg reads it"),
          hex("514649fb", "a qcow2 disk image", "qemu-img convert -O raw, then give the raw image"),
          hex("4c5a4950", "an lzip file", "unpack it with lzip -d"),
          hex(FileMagic.LZOP.digits(), "an lzop file", "unpack it with lzop -d"),
          hex(FileMagic.SEVEN_ZIP.digits(), "a 7z archive", "unpack it with 7z x"),
          hex("1f9d", "a file of compress(1)", "unpack it with gzip -d"),
          hex(
              FileMagic.LZ4_LEGACY.digits(),
              "an lz4 file of the legacy format",
              "unpack it with lz4 -d"),
          hex(FileMagic.LZMA.digits(), "an LZMA file", "unpack it with xz -d"),
          text(0, "!<arch>", "an ar or .deb archive", "unpack it first"),
          hex("edabeedb", "an RPM package", "unpack it first"),
          text(0, "070701", "a cpio archive", "unpack it first"));

  private ForeignFormats() {}

  private static Foreign hex(String digits, String name, String advice) {
    byte[] bytes = HexFormat.of().parseHex(digits);
    return new Foreign(0, new String(bytes, StandardCharsets.ISO_8859_1), name, advice);
  }

  private static Foreign text(long offset, String magic, String name, String advice) {
    return new Foreign(offset, magic, name, advice);
  }

  /// The sentence that names the format and the tool that reads it.
  static Optional<String> recognise(ByteSource source) throws IOException {
    ByteView start = source.view("start of file", 0, Math.min(source.size(), 8192), false);
    for (Foreign foreign : KNOWN) {
      if (matches(start, foreign)) {
        return Optional.of(
            "looks like " + foreign.name + ", which is not supported: " + foreign.advice);
      }
    }
    return FlatMemory.recognise(source);
  }

  private static boolean matches(ByteView start, Foreign foreign) {
    if (start.size() < foreign.offset + foreign.magic.length()) {
      return false;
    }
    for (int i = 0; i < foreign.magic.length(); i++) {
      if (start.u8(foreign.offset + i) != foreign.magic.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
