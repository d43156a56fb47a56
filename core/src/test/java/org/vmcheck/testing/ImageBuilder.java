package org.vmcheck.testing;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbol;

/// Lays out one image: the regions, the kernel's variables, per-CPU areas, tables and the text that
/// describes them. The slab caches are an [AllocatorBuilder]'s.
final class ImageBuilder {
  private static final long IMAGE_BYTES = 2L << 20;

  /// Where the page tables start in the image; everything else must fit below.
  private static final long TABLES_AT = 1L << 20;

  /// NR_CPUS of these kernels.
  private static final int MAX_CPUS = 512;

  private final FakeKernel config;
  private final Layout layout;
  private final Random random;
  private final AddressSpace space;
  private final FrameTable frames;
  private final Map<String, Symbol> symbols = new LinkedHashMap<>();
  private final long imageStart;
  private final long physBase;
  private final long kernelOffset;
  private final long perCpuStart;
  private final List<Long> perCpuAreas = new ArrayList<>();
  private long imageEnd;
  private long crashNotes;
  private long perCpuEnd = 0x1000;

  ImageBuilder(FakeKernel config) {
    this.config = config;
    this.layout = config.layout();
    this.random = new Random(config.seed() * 0x9e37_79b9_7f4a_7c15L ^ layout.name().hashCode());
    long imagePhysical =
        config.imagePhysical() >= 0
            ? config.imagePhysical()
            : (2 + random.nextInt(4)) * IMAGE_BYTES;
    kernelOffset =
        config.kernelOffset() >= 0 ? config.kernelOffset() : random.nextInt(400) * IMAGE_BYTES;
    imageStart = 0xffff_ffff_8100_0000L + kernelOffset;
    imageEnd = imageStart;
    physBase = imagePhysical - (imageStart - AddressSpace.IMAGE_BASE);
    boolean five = config.isFiveLevels();
    long directMap =
        config.pageOffsetBase() != 0
            ? config.pageOffsetBase()
            : (five ? 0xff11_0000_0000_0000L : 0xffff_8880_0000_0000L)
                + ((long) random.nextInt(2000) << 30);
    long vmemmap =
        config.vmemmapBase() != 0
            ? config.vmemmapBase()
            : (five ? 0xffd4_0000_0000_0000L : 0xffff_ea00_0000_0000L)
                + ((long) random.nextInt(500) << 30);
    space = new AddressSpace(new SparseMemory(), physBase, directMap, vmemmap);
    frames = new FrameTable(config, space, random);
    frames.take(imagePhysical >>> 12, IMAGE_BYTES >>> 12);
    perCpuStart = layout.isPerCpuInImage() ? imageStart + IMAGE_BYTES - 0x8_0000 : 0;
  }

  FakeKernel config() {
    return config;
  }

  Layout layout() {
    return layout;
  }

  Random random() {
    return random;
  }

  AddressSpace space() {
    return space;
  }

  FrameTable frames() {
    return frames;
  }

  FakeImage build() {
    lowMemory();
    frames.makeDescriptors();
    text();
    AllocatorBuilder slabs =
        layout.isOldSlab() ? new ClassicSlabBuilder(this) : new SlabBuilder(this);
    slabs.plan();
    crashNotes = config.crashEnd() == 0 ? 0 : perCpu(512, 8);
    perCpuAreas();
    identity();
    variables();
    memorySections();
    if (config.kfenceFrames() > 0) {
      kfence(slabs);
    }
    if (!config.log().isEmpty()) {
      log();
    }
    frames.describeAll();
    if (config.isLowMemoryReserved()) {
      reserve(0, 0xa0);
    } else {
      reserve(0, 0x10);
      reserve(0x99, 0xa0);
    }
    long imagePfn = space.paddr(imageStart) >>> 12;
    reserve(imagePfn, imagePfn + (IMAGE_BYTES >>> 12));
    slabs.write();
    if (config.kfenceFrames() > 0) {
      markKfence(slabs);
    }
    if (config.hasKfenceMetadata()) {
      kfenceMetadata.write(kfencePool);
    }
    if (config.hasHwPoison()) {
      hwPoison();
    }
    excludeFreePages();
    pageTables();
    if (config.hasBtf()) {
      typeData();
    }
    for (int i = 0; i < config.fillerSymbols(); i++) {
      symbol(
          "filler_%s_%d".formatted(FILLERS[i % FILLERS.length], i),
          't',
          imageStart + 0x2000 + 4L * i);
    }
    symbol("_end", 'B', imageStart + IMAGE_BYTES);
    String info = vmcoreinfo(kallsyms());
    note(info);
    Map<String, Long> addresses = new LinkedHashMap<>();
    symbols.forEach((name, symbol) -> addresses.put(name, symbol.address()));
    return new FakeImage(config, space, frames, info, addresses, slabs.caches());
  }

  private static final String[] FILLERS = {
    "vfs_read", "tcp_sendmsg", "ext4_get_block", "sched_tick", "do_sys_poll", "nvme_queue_rq"
  };

  // ---- memory

  private void lowMemory() {
    if (config.isLowMemoryReserved()) {
      frames.take(0, 0xa0);
    } else {
      // The firmware's first 64 KiB, and the trampoline with what lies above it.
      frames.take(0, 0x10);
      frames.take(0x99, 7);
    }
    space.put(space.direct(0x413), 639, 2);
    space.put(space.direct(0x400), 0x3f8, 2);
    space.put(space.direct(0x40e), 0x9fc0, 2);
  }

  private void reserve(long from, long to) {
    for (long pfn = from; pfn < to; pfn++) {
      frames.describe(pfn, frames.flag("PG_reserved"), -1, 1);
    }
  }

  /// A dump of level 31 leaves out the pages that nobody has.
  private void excludeFreePages() {
    for (FakeKernel.Ram ram : frames.ranges()) {
      for (long pfn = ram.startPfn(); pfn < ram.startPfn() + ram.frames(); pfn++) {
        if (!space.memory().pages().containsKey(pfn)) {
          if (frames.isUsed(pfn)) {
            space.memory().touch(pfn << 12);
          } else {
            space.memory().exclude(pfn << 12);
          }
        }
      }
    }
  }

  private void hwPoison() {
    long pfn = frames.allocate(0, 0);
    frames.describe(pfn, frames.flag("PG_hwpoison"), -1, 1);
    space.memory().exclude(pfn << 12);
  }

  private long kfencePool;
  private KfenceBuilder kfenceMetadata;

  private void kfence(AllocatorBuilder slabs) {
    kfencePool = frames.allocateRun(0, config.kfenceFrames(), 512);
    space.u64(variable("__kfence_pool", 8), space.direct(kfencePool << 12));
    variable("__kfence_freelist", 16);
    if (config.hasKfenceMetadata()) {
      kfenceMetadata = new KfenceBuilder(this, slabs);
      kfenceMetadata.plan();
    }
    // The pages that hold an object now have bytes; the rest of the pool was never touched.
    for (int i = 2; i < config.kfenceFrames(); i += 2) {
      if (random.nextInt(20) == 0) {
        space.put(space.direct((kfencePool + i) << 12), (byte) 0x6b);
      }
    }
    if (slabs.caches().isEmpty()) {
      throw new IllegalStateException("KFENCE needs caches");
    }
  }

  /// Every second page of the pool is marked as a slab; `slab_cache` is that of its last object.
  private void markKfence(AllocatorBuilder slabs) {
    String struct = layout.slabStruct();
    boolean isCounted = layout.has(struct, "counters"); // SLAB sets s_mem instead.
    for (int i = 2; i < config.kfenceFrames(); i += 2) {
      long pfn = kfencePool + i;
      frames.describe(
          pfn,
          layout.slabMark() == Layout.SlabMark.FLAG ? frames.flag("PG_slab") : 0,
          frames.slabType(),
          1);
      boolean wasUsed = space.memory().pages().containsKey(pfn) && i % 3 == 0;
      CacheImage owner = slabs.caches().get(random.nextInt(slabs.caches().size()));
      long address = frames.descriptor(pfn);
      space.u64(address + layout.offset(struct, "slab_cache"), wasUsed ? owner.address() : 0);
      if (isCounted) {
        space.put(address + layout.offset(struct, "counters"), wasUsed ? 1 << 16 : 0, 4);
      }
    }
  }

  // ---- the image

  private void text() {
    symbol("_text", 'T', imageStart);
    symbol("_stext", 'T', imageStart);
    byte[] code = new byte[0x2000];
    new Contents(random, space.direct(0)).code(code);
    imageEnd = imageStart;
    long start = allocate(code.length, 4096);
    space.put(start, code);
    String[] functions = {
      "startup_64",
      "panic",
      "kfree",
      "kmem_cache_alloc",
      "kmem_cache_free",
      "vfs_read",
      "rcu_free_sheaf",
      "rcu_free_slab",
      "do_exit",
      "sysrq_handle_crash"
    };
    for (int i = 0; i < functions.length; i++) {
      symbol(functions[i], 'T', imageStart + 0x40 + 0x80L * i);
    }
    if (config.initStackBytes() > 0) {
      symbol("__start_init_stack", 'D', imageStart + 0x10);
      symbol("__end_init_stack", 'D', imageStart + 0x10 + config.initStackBytes());
    }
    for (int i = 0; i < config.functions().size(); i++) {
      long slot = functions.length + (long) i;
      symbol(config.functions().get(i), 'T', imageStart + 0x40 + 0x80 * slot);
    }
    symbol("_etext", 'T', imageStart + 0x2000);
    // Fillers lie behind the text; some room for them.
    allocate(4 * config.fillerSymbols() + 64, 64);
  }

  /// Takes bytes of the image, zeros at first.
  long allocate(int byteCount, int alignment) {
    long at = (imageEnd + alignment - 1) / alignment * alignment;
    imageEnd = at + byteCount;
    if (imageEnd > imageStart + TABLES_AT) {
      throw new IllegalStateException("the image is full");
    }
    return at;
  }

  long symbol(String name, char type, long address) {
    symbols.put(name, new Symbol(name, type, address));
    return address;
  }

  long address(String name) {
    return symbols.get(name).address();
  }

  long variable(String name, int byteCount) {
    return symbol(name, 'D', allocate(byteCount, 8));
  }

  void pointer(String name, long value) {
    space.u64(variable(name, 8), value);
  }

  long string(String text) {
    byte[] bytes = (text + "\0").getBytes(StandardCharsets.ISO_8859_1);
    long at = allocate(bytes.length, 1);
    space.put(at, bytes);
    return at;
  }

  private String release() {
    return layout.release();
  }

  private void identity() {
    String version = "#1 SMP PREEMPT_DYNAMIC";
    String banner = "Linux version %s (builder@host) (gcc 12) %s\n".formatted(release(), version);
    symbol("linux_banner", 'D', string(banner));
    long uts = variable("init_uts_ns", layout.size("uts_namespace"));
    long name = uts + layout.offset("uts_namespace", "name");
    String[] names = {"Linux", "fake", release(), version, "x86_64", "(none)"};
    for (int i = 0; i < names.length; i++) {
      space.put(name + 65L * i, names[i].getBytes(StandardCharsets.ISO_8859_1));
    }
    pointer("saved_command_line", string(config.commandLineText()));
    symbol("__start_notes", 'R', allocate(0, 4));
    ByteBuffer note = ByteBuffer.allocate(36).order(ByteOrder.LITTLE_ENDIAN);
    byte[] id = new byte[20];
    random.nextBytes(id);
    note.putInt(4).putInt(20).putInt(3).put("GNU\0".getBytes(StandardCharsets.ISO_8859_1));
    space.put(allocate(36, 4), note.put(id).array());
    symbol("__stop_notes", 'R', imageEnd);
    symbol("__start_rodata", 'R', address("linux_banner") & -4096);
  }

  private void variables() {
    pointer("phys_base", physBase);
    if (config.crashEnd() != 0) {
      long resource = variable("crashk_res", 64);
      space.u64(resource, config.crashStart());
      space.u64(resource + 8, config.crashEnd());
      pointer("crash_notes", crashNotes);
      for (int cpu = 0; cpu < config.cpus(); cpu++) {
        crashNote(perCpu(crashNotes, cpu), cpu);
      }
    }
    if (config.hasRegionVariables()) {
      pointer("page_offset_base", space.directMap());
      pointer(
          "vmalloc_base", config.isFiveLevels() ? 0xffa0_0000_0000_0000L : 0xffff_c900_0000_0000L);
      if (!layout.isClassicSparse()) {
        pointer("vmemmap_base", space.vmemmap());
      }
    }
    pointer("tainted_mask", 0);
    space.u32(variable("panic_cpu", 4), -1);
    space.u32(variable("nr_node_ids", 4), config.nodes());
    space.u32(variable("nr_cpu_ids", 4), config.possibleCpus());
    if (config.nodes() > 1) {
      nodeData();
    }
    mask("__cpu_possible_mask", config.possibleCpus());
    mask("__cpu_present_mask", config.possibleCpus());
    mask("__cpu_online_mask", config.cpus());
    mask("node_online_map", config.nodes());
    // The last enumerator of slab_state, FULL, is 4 up to 6.7 (PARTIAL_NODE is SLAB's) and 3 after.
    space.u32(variable("slab_state", 4), layout.has("slab", "slab_cache") ? 3 : 4);
    space.u32(variable("init_on_free", 16), config.isInitOnFree() ? 1 : 0);
    space.u32(variable("init_on_alloc", 16), 0);
    config.debugKey().ifPresent(counter -> space.u32(variable("slub_debug_enabled", 16), counter));
    pointer("sme_me_mask", config.encryptionMask());
    pointer("kexec_crash_image", 0);
  }

  /// What says which page frames each node spans.
  private void nodeData() {
    long table = variable("node_data", 8 * frames.maxNodes());
    int byteCount = layout.size("pglist_data");
    for (int id = 0; id < config.nodes(); id++) {
      int node = id;
      List<FakeKernel.Ram> ranges =
          frames.ranges().stream().filter(ram -> ram.node() == node).toList();
      long start = ranges.stream().mapToLong(FakeKernel.Ram::startPfn).min().orElseThrow();
      long end = ranges.stream().mapToLong(r -> r.startPfn() + r.frames()).max().orElseThrow();
      long data = space.direct(frames.allocateRun(0, (byteCount + 4095) >> 12, 1) << 12);
      space.put(data, new byte[byteCount]);
      putStruct("pglist_data", data, "node_start_pfn", start);
      putStruct("pglist_data", data, "node_spanned_pages", end - start);
      space.u64(table + 8L * id, data);
    }
  }

  private void mask(String name, int bits) {
    long at = variable(name, MAX_CPUS / 8);
    for (int bit = 0; bit < bits; bit++) {
      long word = at + bit / 64 * 8L;
      space.u64(word, space.read64(word) | 1L << (bit & 63));
    }
  }

  /// The log as kernels up to 5.9 keep it: `struct printk_log` and text, one record after the
  /// other.
  private void log() {
    int bytes = 0;
    for (FakeKernel.LogRecord record : config.log()) {
      bytes += (16 + record.text().length() + 3) & -4;
    }
    long buffer = allocate(bytes, 8);
    pointer("log_buf", buffer);
    space.u32(variable("log_buf_len", 4), bytes);
    space.u32(variable("log_first_idx", 4), 0);
    space.u32(variable("log_next_idx", 4), bytes);
    long at = buffer;
    long nanos = 1_000_000_000L;
    for (FakeKernel.LogRecord record : config.log()) {
      byte[] text = record.text().getBytes(StandardCharsets.ISO_8859_1);
      int size = (16 + text.length + 3) & -4;
      ByteBuffer header = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
      header.putLong(nanos).putShort((short) size).putShort((short) text.length);
      header.putShort((short) 0).put((byte) record.facility()).put((byte) (4 << 5));
      space.put(at, header.array());
      space.put(at + 16, text);
      at += size;
      nanos += 1000;
    }
  }

  // ---- per-CPU data

  /// Takes room in every CPU's area.
  ///
  /// @return the per-CPU pointer
  long perCpu(int byteCount, int alignment) {
    perCpuEnd = (perCpuEnd + alignment - 1) / alignment * alignment + byteCount;
    return perCpuStart + perCpuEnd - byteCount;
  }

  /// Address of CPU `cpu`'s copy.
  long perCpu(long pointer, int cpu) {
    return perCpuAreas.get(cpu) + pointer - perCpuStart;
  }

  private void perCpuAreas() {
    long offsets = variable("__per_cpu_offset", 8 * MAX_CPUS);
    symbol("__per_cpu_start", layout.isPerCpuInImage() ? 'D' : 'A', perCpuStart);
    long load = imageStart + IMAGE_BYTES - 0x1000;
    symbol("__per_cpu_load", 'D', load);
    symbol("this_cpu_off", layout.isPerCpuInImage() ? 'D' : 'A', perCpuStart + 0x100);
    symbol("cpu_number", layout.isPerCpuInImage() ? 'D' : 'A', perCpuStart + 0x108);
    symbol("__per_cpu_end", layout.isPerCpuInImage() ? 'D' : 'A', perCpuStart + 0x1000);
    int pages = (int) ((perCpuEnd + 4095) >>> 12);
    int possible = config.possibleCpus();
    for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
      if (cpu >= possible) {
        space.u64(offsets + 8L * cpu, layout.isPerCpuInImage() ? 0 : load);
        continue;
      }
      long area = space.direct(frames.allocateRun(cpu % config.nodes(), pages, 1) << 12);
      perCpuAreas.add(area);
      space.u64(offsets + 8L * cpu, area - perCpuStart);
      space.u64(area + 0x100, area - perCpuStart);
      space.u32(area + 0x108, cpu);
    }
  }

  // ---- page tables, sections, types, symbols

  private void memorySections() {
    int entry = layout.size("mem_section");
    long perRoot = 4096 / entry;
    long rootArray = space.direct(frames.allocateRun(0, 4, 4) << 12);
    pointer("mem_section", rootArray);
    Map<Long, Long> roots = new LinkedHashMap<>();
    for (long section : frames.sections()) {
      long root =
          roots.computeIfAbsent(section / perRoot, _ -> space.direct(frames.allocate(0, 0) << 12));
      space.u64(rootArray + 8 * (section / perRoot), root);
      space.u64(root + section % perRoot * entry, frames.sectionMemMap(section));
    }
  }

  /// What a CPU writes of itself when the kernel crashes; rip is its number.
  private void crashNote(long at, int cpu) {
    space.u32(at, 5);
    space.u32(at + 4, 336);
    space.u32(at + 8, 1);
    space.put(at + 12, "CORE".getBytes(StandardCharsets.ISO_8859_1));
    space.u64(at + 20 + 112 + 8 * 16, cpu);
  }

  private void pageTables() {
    long root = imageStart + TABLES_AT;
    symbol("init_top_pgt", 'D', root);
    symbol("swapper_pg_dir", 'D', root);
    PageTableBuilder tables =
        new PageTableBuilder(
            space.memory(),
            space.paddr(root),
            config.isFiveLevels() ? 5 : 4,
            config.encryptionMask());
    tables.map(imageStart, space.paddr(imageStart), PageTableBuilder.SIZE_2M);
    // The first 2 MiB in small pages, as kernels map them, the rest in large ones.
    tables.mapRange(space.direct(0), 0, 2L << 20, PageTableBuilder.SIZE_4K);
    for (FakeKernel.Ram ram : frames.ranges()) {
      long start = Math.max(2L << 20, ram.startPfn() << 12 & -(2L << 20));
      long end = (ram.startPfn() + ram.frames()) << 12;
      for (long at = start; at < end; at += 2L << 20) {
        tables.map(space.direct(at), at, PageTableBuilder.SIZE_2M);
      }
    }
    space
        .vmemmapFrames()
        .forEach(
            (page, pfn) ->
                tables.map(space.vmemmap() + (page << 12), pfn << 12, PageTableBuilder.SIZE_4K));
    if (tables.end() > space.paddr(imageStart) + IMAGE_BYTES - 0x8_1000) {
      throw new IllegalStateException("no room for the page tables");
    }
  }

  private void typeData() {
    byte[] btf = LayoutBtf.of(layout, config.hasKfenceMetadata());
    long at = allocate(btf.length, layout.kallsyms() == Layout.KallsymsEra.V7_0 ? 4096 : 1);
    space.put(at, btf);
    boolean old = layout.kallsyms().compareTo(Layout.KallsymsEra.V4_20) < 0;
    symbol(old ? "_binary__btf_vmlinux_bin_start" : "__start_BTF", 'R', at);
    symbol(old ? "_binary__btf_vmlinux_bin_end" : "__stop_BTF", 'R', at + btf.length);
  }

  private KallsymsWriter.Image kallsyms() {
    KallsymsWriter writer =
        switch (layout.kallsyms()) {
          case V4_18 -> KallsymsWriter.as418(symbols.values());
          case V4_20 -> KallsymsWriter.as53(symbols.values());
          case V6_1 -> KallsymsWriter.as61(symbols.values());
          case V6_4 -> KallsymsWriter.as612(symbols.values());
          case V6_15 ->
              KallsymsWriter.as612(symbols.values()).encoding(Kallsyms.Encoding.BASE_RELATIVE);
          case V7_0 -> KallsymsWriter.as70(symbols.values());
        };
    long at = allocate(0, 64);
    KallsymsWriter.Image image = writer.relativeBase(imageStart).at(at);
    allocate(image.bytes().length, 1);
    space.put(at, image.bytes());
    return image;
  }

  /// The text in memory, as the kernel keeps it: an ELF note in a page of its own.
  private void note(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
    if (bytes.length > 4096 - 24) {
      throw new IllegalStateException("VMCOREINFO is longer than a page");
    }
    long at = allocate(4096, 4096);
    space.u32(at, 11);
    space.u32(at + 4, bytes.length);
    space.put(at + 12, "VMCOREINFO".getBytes(StandardCharsets.ISO_8859_1));
    space.put(at + 24, bytes);
  }

  private String vmcoreinfo(KallsymsWriter.Image kallsyms) {
    StringBuilder text = new StringBuilder(3000);
    line(text, "OSRELEASE=%s", release());
    line(text, "PAGESIZE=4096");
    line(text, "SYMBOL(init_uts_ns)=%x", address("init_uts_ns"));
    if (layout.offset("uts_namespace", "name") == 0) {
      line(text, "OFFSET(uts_namespace.name)=0");
    }
    line(text, "SYMBOL(node_online_map)=%x", address("node_online_map"));
    line(text, "SYMBOL(swapper_pg_dir)=%x", address("swapper_pg_dir"));
    line(text, "SYMBOL(_stext)=%x", address("_stext"));
    Layout.SlabMark mark = layout.slabMark();
    if (mark == Layout.SlabMark.TYPE_BYTE) {
      line(text, "NUMBER(VMALLOC_START)=0x%x", 0xffff_c900_0000_0000L);
      line(text, "SYMBOL(vmemmap)=%x", space.vmemmap());
    }
    line(text, "SYMBOL(mem_section)=%x", space.read64(address("mem_section")));
    line(text, "LENGTH(mem_section)=2048");
    line(text, "SIZE(mem_section)=%d", layout.size("mem_section"));
    line(text, "OFFSET(mem_section.section_mem_map)=0");
    if (layout.has("slab")) {
      line(text, "NUMBER(SECTION_SIZE_BITS)=27");
      line(text, "NUMBER(MAX_PHYSMEM_BITS)=46");
    }
    line(text, "SIZE(page)=%d", layout.size("page"));
    line(text, "SIZE(list_head)=16");
    for (String member :
        List.of(
            "flags",
            "_refcount",
            "mapping",
            "lru",
            "_mapcount",
            "private",
            "compound_dtor",
            "compound_order",
            "compound_head",
            "compound_info")) {
      if (layout.has("page", member)) {
        line(text, "OFFSET(page.%s)=%d", member, layout.offset("page", member));
      }
    }
    for (String flag : List.of("PG_lru", "PG_private", "PG_swapbacked", "PG_slab", "PG_hwpoison")) {
      if (layout.pageFlag(flag).isPresent()
          && (mark == Layout.SlabMark.FLAG || !flag.equals("PG_slab"))) {
        line(text, "NUMBER(%s)=%d", flag, layout.pageFlag(flag).getAsInt());
      }
    }
    line(text, "NUMBER(PG_head_mask)=%d", frames.flag("PG_head"));
    if (mark != Layout.SlabMark.FLAG) {
      line(text, "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=%d", frames.slabType());
    }
    line(text, "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=%d", frames.buddyType());
    if (config.isKallsymsNamed()) {
      kallsyms
          .labels()
          .forEach(
              (name, address) -> {
                if (!name.equals("kallsyms_markers") && !name.equals("kallsyms_seqs_of_names")) {
                  line(text, "SYMBOL(%s)=%x", name, address);
                }
              });
    }
    line(text, "NUMBER(phys_base)=%d", physBase);
    line(text, "SYMBOL(%s)=%x", "init_top_pgt", address("init_top_pgt"));
    if (layout.kallsyms().compareTo(Layout.KallsymsEra.V4_18) > 0 || config.isFiveLevels()) {
      line(text, "NUMBER(pgtable_l5_enabled)=%d", config.isFiveLevels() ? 1 : 0);
    }
    line(text, "LENGTH(node_data)=%d", frames.maxNodes());
    line(text, "KERNELOFFSET=%x", kernelOffset);
    line(text, "NUMBER(KERNEL_IMAGE_SIZE)=1073741824");
    line(text, "NUMBER(sme_mask)=%d", config.encryptionMask());
    for (String name : List.of("log_buf", "log_buf_len", "log_first_idx", "log_next_idx")) {
      if (symbols.containsKey(name)) {
        line(text, "SYMBOL(%s)=%x", name, address(name));
      }
    }
    if (symbols.containsKey("log_buf")) {
      line(text, "SIZE(printk_log)=16");
      line(text, "OFFSET(printk_log.ts_nsec)=0");
      line(text, "OFFSET(printk_log.len)=8");
      line(text, "OFFSET(printk_log.text_len)=10");
      line(text, "OFFSET(printk_log.dict_len)=12");
    }
    if (!config.isRunning()) {
      line(text, "CRASHTIME=1700000000");
    }
    return text.toString();
  }

  @SuppressWarnings("AnnotateFormatMethod") // the annotation's library is no dependency
  private static void line(StringBuilder text, String format, Object... values) {
    text.append(format.formatted(values)).append('\n');
  }

  /// How kernels of a layout store the pointer to the next free object.
  static long encode(Layout layout, long random, long slot, long next) {
    return switch (layout.freePointer()) {
      case PLAIN -> next;
      case HARDENED -> next ^ random ^ slot;
      case HARDENED_SWAPPED -> next ^ random ^ Long.reverseBytes(slot);
    };
  }

  void putStruct(String struct, long vaddr, String member, long value) {
    LayoutTable.Member found = layout.member(struct, member);
    int size = Math.max(1, layout.sizeOf(found.type()));
    space.put(vaddr + found.offset(), value, Math.min(8, size));
  }

  void putIfThere(String struct, long vaddr, String member, long value) {
    if (layout.has(struct, member)) {
      putStruct(struct, vaddr, member, value);
    }
  }

  /// Makes a circular list of its head and nodes.
  void link(long head, List<Long> nodes) {
    long previous = head;
    for (long node : nodes) {
      space.u64(previous, node);
      space.u64(node + 8, previous);
      previous = node;
    }
    space.u64(previous, head);
    space.u64(head + 8, previous);
  }

  byte[] filled(int byteCount, int value) {
    byte[] bytes = new byte[byteCount];
    Arrays.fill(bytes, (byte) value);
    return bytes;
  }
}
