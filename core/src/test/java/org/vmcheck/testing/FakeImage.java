package org.vmcheck.testing;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.SlabSurvey;

/// The memory of a kernel that never ran, with the truth about it, and ways to damage it.
public final class FakeImage {
  private final FakeKernel config;
  private final AddressSpace space;
  private final FrameTable frames;
  private final String vmcoreinfo;
  private final Map<String, Long> symbols;
  private final List<CacheImage> caches;
  private final List<byte[]> prstatus = new ArrayList<>();

  FakeImage(
      FakeKernel config,
      AddressSpace space,
      FrameTable frames,
      String vmcoreinfo,
      Map<String, Long> symbols,
      List<CacheImage> caches) {
    this.config = config;
    this.space = space;
    this.frames = frames;
    this.vmcoreinfo = vmcoreinfo;
    this.symbols = Map.copyOf(symbols);
    this.caches = List.copyOf(caches);
  }

  public Layout layout() {
    return config.layout();
  }

  /// The text that a dump of this kernel carries.
  public String vmcoreinfo() {
    return vmcoreinfo;
  }

  public SparseMemory memory() {
    return space.memory();
  }

  /// Every cache, those the kernel itself needs too, in the order of `slab_caches`.
  public List<CacheImage> caches() {
    return caches;
  }

  public CacheImage cache(String name) {
    return caches.stream()
        .filter(cache -> cache.name().equals(name))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no cache " + name));
  }

  public long symbol(String name) {
    Long address = symbols.get(name);
    if (address == null) {
      throw new IllegalArgumentException("no symbol " + name);
    }
    return address;
  }

  /// Address of the descriptor of a page frame.
  public long descriptor(long pfn) {
    return frames.descriptor(pfn);
  }

  /// Address in the direct map of a physical address.
  public long directMap(long paddr) {
    return space.direct(paddr);
  }

  public long physical(long vaddr) {
    return space.paddr(vaddr);
  }

  /// The 64-bit word at a virtual address.
  public long word(long vaddr) {
    return space.read64(vaddr);
  }

  public FakeImage corruptWord(long vaddr, long value) {
    space.u64(vaddr, value);
    return this;
  }

  public FakeImage corrupt(long vaddr, byte... bytes) {
    space.put(vaddr, bytes);
    return this;
  }

  public FakeImage flipBit(long vaddr, int bit) {
    return corruptWord(vaddr, word(vaddr) ^ 1L << bit);
  }

  public FakeImage fill(long vaddr, int value, int byteCount) {
    byte[] bytes = new byte[byteCount];
    Arrays.fill(bytes, (byte) value);
    return corrupt(vaddr, bytes);
  }

  /// Adds the note of a CPU to ELF cores: `struct elf_prstatus` of x86_64.
  ///
  /// @param registers by their index in `struct user_regs_struct`
  public FakeImage cpuNote(int pid, Map<Integer, Long> registers) {
    ByteBuffer note = ByteBuffer.allocate(336).order(ByteOrder.LITTLE_ENDIAN);
    note.putInt(32, pid);
    registers.forEach((index, value) -> note.putLong(112 + 8 * index, value));
    prstatus.add(note.array());
    return this;
  }

  /// Leaves a page out of the dump.
  public FakeImage exclude(long pfn) {
    space.memory().exclude(pfn << 12);
    return this;
  }

  /// Address of a member of a structure.
  public long member(String struct, long vaddr, String member) {
    return vaddr + config.layout().offset(struct, member);
  }

  /// Address of a member of the structure that describes a slab.
  public long member(SlabImage slab, String member) {
    return member(config.layout().slabStruct(), slab.address(), member);
  }

  /// The word that the kernel would store in an object's free pointer for a next object; 0 ends the
  /// list.
  public long encoded(SlabImage slab, int index, long next) {
    return ImageBuilder.encode(config.layout(), slab.cache().random(), slab.slot(index), next);
  }

  /// The dump as its reader would give it, without a file between.
  public Dump dump() {
    long stored = space.memory().pages().size();
    return new FakeDump(
        space.memory(), config.isVmcoreinfoInFile() ? vmcoreinfo : "", frames.ramFrames(), stored);
  }

  /// The kernel, found in the dump by what the dump holds.
  public Kernel kernel() {
    return switch (KernelFinder.find(dump())) {
      case KernelSearch.Found(Kernel kernel) -> kernel;
      case KernelSearch.NotFound notFound ->
          throw new AssertionError(String.join("; ", notFound.reasons()));
    };
  }

  /// A pass over all its slabs by one thread.
  public SlabSurvey survey() {
    Kernel kernel = kernel();
    return SlabSurvey.run(
        kernel,
        MemMap.of(kernel).orElseThrow(() -> new AssertionError(kernel.missing())),
        1,
        () -> false);
  }

  /// Writes it as a kdump-compressed file, as makedumpfile does at dump level 31.
  public Path writeKdump(Path directory) throws IOException {
    return writeKdump(directory, "vmcore");
  }

  public Path writeKdump(Path directory, String name) throws IOException {
    KdumpWriter writer =
        KdumpWriter.version(6)
            .release(config.layout().release())
            .physBase(space.paddr(AddressSpace.IMAGE_BASE));
    if (config.isVmcoreinfoInFile()) {
      writer.vmcoreinfo(vmcoreinfo);
    }
    for (FakeKernel.Ram ram : frames.ranges()) {
      for (long pfn = ram.startPfn(); pfn < ram.startPfn() + ram.frames(); pfn++) {
        if (memory().read(pfn) instanceof PageRead.Present) {
          writer.zlib(pfn, memory().pages().get(pfn));
        } else {
          writer.excluded(pfn);
        }
      }
    }
    return writer.write(directory, name);
  }

  /// Writes it as an ELF core, as the kernel's /proc/vmcore is laid out: the image first, then the
  /// direct map; runs of pages that are not there are memory without bytes in the file.
  public Path writeElf(Path directory) throws IOException {
    return writeElf(directory, "vmcore");
  }

  public Path writeElf(Path directory, String name) throws IOException {
    ElfWriter writer = ElfWriter.of64();
    if (config.isVmcoreinfoInFile()) {
      writer.vmcoreinfo(vmcoreinfo);
    }
    prstatus.forEach(note -> writer.note("CORE", 1, note));
    long image = symbol("_text");
    long imageBytes = symbol("_end") - image;
    load(writer, image, space.paddr(image) >>> 12, imageBytes >>> 12);
    for (FakeKernel.Ram ram : frames.ranges()) {
      long end = ram.startPfn() + ram.frames();
      for (long pfn = ram.startPfn(); pfn < end; ) {
        boolean stored = memory().read(pfn) instanceof PageRead.Present;
        long next = pfn + 1;
        while (next < end && memory().read(next) instanceof PageRead.Present == stored) {
          next++;
        }
        if (stored) {
          load(writer, space.direct(pfn << 12), pfn, next - pfn);
        } else {
          writer.load(pfn << 12, space.direct(pfn << 12), new byte[0], (next - pfn) << 12);
        }
        pfn = next;
      }
    }
    return writer.write(directory, name);
  }

  private void load(ElfWriter writer, long vaddr, long pfn, long count) {
    byte[] bytes = new byte[Math.toIntExact(count << 12)];
    for (int i = 0; i < count; i++) {
      byte[] page = memory().pages().get(pfn + i);
      if (page != null) {
        System.arraycopy(page, 0, bytes, i << 12, 4096);
      }
    }
    writer.load(pfn << 12, vaddr, bytes, bytes.length);
  }

  /// A reader's view of what was built: held objects by cache.
  public Map<String, Long> allocated() {
    Map<String, Long> held = new TreeMap<>();
    caches.forEach(cache -> held.put(cache.name(), cache.allocated()));
    return held;
  }
}
