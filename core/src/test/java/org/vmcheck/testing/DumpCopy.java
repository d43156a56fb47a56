package org.vmcheck.testing;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteView;

/// A copy of a real dump with some of its memory changed, written by a writer of our own.
public final class DumpCopy {
  private final TreeMap<Long, byte[]> pages = new TreeMap<>();
  private String vmcoreinfo;
  private int dumpLevel;
  private final List<ElfNote> notes = new ArrayList<>();

  private DumpCopy(String vmcoreinfo, int dumpLevel) {
    this.vmcoreinfo = vmcoreinfo;
    this.dumpLevel = dumpLevel;
  }

  public static DumpCopy of(Path path) throws IOException {
    try (Dump dump = Dumps.open(path)) {
      DumpCopy copy =
          new DumpCopy(dump.vmcoreinfo().orElseThrow().text(), dump.container().dumpLevel());
      for (ElfNote note : dump.notes()) {
        if (!note.name().equals("VMCOREINFO")) {
          copy.notes.add(
              new ElfNote(note.name(), note.type(), ByteView.of(note.name(), bytes(note))));
        }
      }
      for (long pfn = dump.memory().nextStored(0);
          pfn >= 0;
          pfn = dump.memory().nextStored(pfn + 1)) {
        if (dump.memory().read(pfn) instanceof PageRead.Present(MemorySegment bytes)) {
          copy.pages.put(pfn, bytes.toArray(ValueLayout.JAVA_BYTE));
        }
      }
      return copy;
    }
  }

  /// The stored page frames with their bytes; changes to these go into the copy.
  public NavigableMap<Long, byte[]> pages() {
    return pages;
  }

  public String vmcoreinfo() {
    return vmcoreinfo;
  }

  public DumpCopy setVmcoreinfo(String text) {
    vmcoreinfo = text;
    return this;
  }

  /// Changes the text of VMCOREINFO.
  public DumpCopy vmcoreinfo(UnaryOperator<String> change) {
    vmcoreinfo = change.apply(vmcoreinfo);
    return this;
  }

  /// What the header says was left out, whatever is.
  public DumpCopy dumpLevel(int level) {
    dumpLevel = level;
    return this;
  }

  public long word(long physical) {
    return page(physical).getLong((int) (physical & 4095));
  }

  public DumpCopy setWord(long physical, long value) {
    page(physical).putLong((int) (physical & 4095), value);
    return this;
  }

  private ByteBuffer page(long physical) {
    return ByteBuffer.wrap(pages.get(physical >>> 12)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static byte[] bytes(ElfNote note) {
    return note.desc().segment().toArray(ValueLayout.JAVA_BYTE);
  }

  /// The register notes of the CPUs.
  public List<ElfNote> notes() {
    return notes;
  }

  /// Writes the copy as a kdump-compressed dump.
  public Path write(Path directory, Packer packer) throws IOException {
    KdumpWriter writer =
        KdumpWriter.version(6)
            .machine("x86_64")
            .dumpLevel(dumpLevel)
            .physBase(Vmcoreinfo.parse(vmcoreinfo).number("phys_base").orElse(0))
            .vmcoreinfo(vmcoreinfo);
    notes.forEach(note -> writer.note(note.name(), note.type(), bytes(note)));
    long next = 0;
    for (var page : pages.entrySet()) {
      if (page.getKey() > next) {
        writer.excluded(next, page.getKey());
      }
      if (new BigInteger(page.getValue()).signum() == 0) {
        // As makedumpfile does at level 1.
        writer.zero(page.getKey());
      } else {
        writer.packed(page.getKey(), page.getValue(), packer);
      }
      next = page.getKey() + 1;
    }
    return writer.write(directory);
  }
}
