package org.vmcheck.lowmem;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;

/// What the loaded crash kernel was told about the low range: where it lies and where purgatory
/// copies it.
///
/// @param start physical address of the range
/// @param byteCount of the range; at most 640 KiB
/// @param copy physical address of the copy
/// @param source what says so
public record BackupRegion(long start, long byteCount, long copy, String source) {
  private static final int MAX_SEGMENTS = 16;
  private static final int MAX_HEADERS = 4096;
  private static final int HEADER_BYTES = 56;
  private static final long LOW_END = LowMemory.BACKUP_END_PFN << 12;

  /// What became of the search.
  public sealed interface Search {
    record Found(BackupRegion region) implements Search {}

    /// There is none, for a reason that is known.
    record None(String why) implements Search {}

    /// It cannot be told.
    record Unknown(String why) implements Search {}
  }

  /// First by the members of `kimage.arch` (kexec_file_load, to 5.4), then by the program header
  /// whose offset is not its address (kexec_load) in the ELF core header among the segments.
  static Search find(Kernel kernel) {
    if (kernel.symbol("kexec_crash_image").isEmpty()) {
      return new Search.Unknown("no symbol kexec_crash_image");
    }
    OptionalLong pointer = kernel.variable64("kexec_crash_image");
    if (pointer.isEmpty()) {
      return new Search.Unknown("kexec_crash_image cannot be read");
    }
    if (pointer.getAsLong() == 0) {
      return new Search.None("no crash kernel was loaded");
    }
    Optional<StructLayout> layout = kernel.struct("kimage", "nr_segments", "segment");
    if (layout.isEmpty()) {
      return new Search.Unknown("a crash kernel was loaded, but the layout of kimage is not known");
    }
    if (!(StructRef.read(kernel.memory(), layout.get(), pointer.getAsLong())
        instanceof StructRef image)) {
      return new Search.Unknown("kimage at 0x%x cannot be read".formatted(pointer.getAsLong()));
    }
    if (image.has("arch.backup_src_start")
        && image.has("arch.backup_src_sz")
        && image.has("arch.backup_load_addr")
        && image.get("arch.backup_src_sz") != 0) {
      return checked(
          image.get("arch.backup_src_start"),
          image.get("arch.backup_src_sz"),
          image.get("arch.backup_load_addr"),
          "kimage.arch.backup_*");
    }
    boolean isFromUserSpace = !image.has("file_mode") || image.get("file_mode") == 0;
    if (!isFromUserSpace && !image.has("arch.backup_src_start")) {
      return new Search.None("the kernel's own loader loaded the crash kernel and makes no backup");
    }
    return fromHeaders(kernel, image);
  }

  private static Search checked(long start, long byteCount, long copy, String source) {
    boolean sane =
        start >= 0
            && byteCount > 0
            && start + byteCount <= LOW_END
            && copy >= LOW_END
            && copy < 1L << 52;
    return sane
        ? new Search.Found(new BackupRegion(start, byteCount, copy, source))
        : new Search.Unknown(
            "%s says 0x%x + 0x%x at 0x%x, which cannot be"
                .formatted(source, start, byteCount, copy));
  }

  private static Search fromHeaders(Kernel kernel, StructRef image) {
    StructLayout kimage = kernel.struct("kimage", "segment").orElseThrow();
    Member array = kimage.member("segment").orElseThrow();
    StructLayout segment =
        array.struct().or(() -> kernel.struct("kexec_segment", "mem")).orElse(null);
    int memAt = segment == null ? -1 : segment.member("mem").map(Member::offset).orElse(-1);
    if (memAt < 0 || array.elementSize() < 8) {
      return new Search.Unknown("the layout of kexec_segment is not known");
    }
    long count = Math.min(MAX_SEGMENTS, image.get("nr_segments"));
    PhysicalMemory memory = kernel.memory().physical();
    List<String> unread = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      long at = array.offset() + array.elementSize() * i + memAt;
      if (at + 8 > image.bytes().size()) {
        break;
      }
      long mem = image.bytes().u64(at);
      Optional<ByteView> header = physical(memory, mem, 64);
      if (header.isEmpty()) {
        unread.add("0x%x".formatted(mem));
        continue;
      }
      if (header.get().u32(0) == 0x464c457fL && header.get().u8(4) == 2) {
        return fromElf(memory, mem, header.get());
      }
    }
    return new Search.Unknown(
        unread.isEmpty()
            ? "no segment of the crash kernel is an ELF core header"
            : "where the low range was saved to, for user space loaded the crash kernel"
                + " (kexec_load) and its segments are not in the dump; what is stored of the low"
                + " range is that copy");
  }

  private static Search fromElf(PhysicalMemory memory, long base, ByteView header) {
    long at = header.u64(32);
    int count = Math.min(MAX_HEADERS, header.u16(56));
    if (at < 0 || at > 1 << 20 || header.u16(54) != HEADER_BYTES) {
      return new Search.Unknown("the ELF core header at 0x%x is damaged".formatted(base));
    }
    for (int i = 0; i < count; i++) {
      Optional<ByteView> program =
          physical(memory, base + at + (long) i * HEADER_BYTES, HEADER_BYTES);
      if (program.isEmpty()) {
        return new Search.Unknown("the ELF core header at 0x%x is cut short".formatted(base));
      }
      ByteView view = program.get();
      if (view.u32(0) == 1
          && view.u64(24) >= 0
          && view.u64(24) < LOW_END
          && view.u64(24) != view.u64(8)) {
        return checked(
            view.u64(24), view.u64(40), view.u64(8), "the ELF core header of the crash kernel");
      }
    }
    return new Search.None("the crash kernel was loaded without a backup of the low range");
  }

  private static Optional<ByteView> physical(PhysicalMemory memory, long paddr, int byteCount) {
    byte[] out = new byte[byteCount];
    for (int done = 0; done < byteCount; ) {
      long at = paddr + done;
      if (at < 0
          || !(memory.read(at / memory.pageSize())
              instanceof PageRead.Present(MemorySegment bytes))) {
        return Optional.empty();
      }
      int in = (int) (at % memory.pageSize());
      int count = Math.min(byteCount - done, memory.pageSize() - in);
      MemorySegment.copy(bytes, java.lang.foreign.ValueLayout.JAVA_BYTE, in, out, done, count);
      done += count;
    }
    return Optional.of(ByteView.of("physical memory", out));
  }
}
