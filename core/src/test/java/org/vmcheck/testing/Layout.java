package org.vmcheck.testing;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;

/// One generation of kernels, as far as images are built of it: the layouts of its structures and
/// everything else that changed from kernel to kernel.
///
/// [#V5_3], [#V6_1] and [#V7_1] are tables taken from real kernels; the others are composed of
/// these by the changes that the kernel's sources name, and stand for a generation, not for one
/// build.
public final class Layout {
  /// How a free pointer is stored.
  public enum FreePointer {
    PLAIN,
    HARDENED,
    HARDENED_SWAPPED
  }

  /// What tells that a page is a slab.
  public enum SlabMark {
    /// Flag PG_slab (to 6.9).
    FLAG,
    /// A bit cleared from all-ones below 0xf0000000 (6.10).
    CLEARED_BIT_F,
    /// The same below 0x80000000 (6.11).
    CLEARED_BIT_8,
    /// The top byte of the page type (6.12 on).
    TYPE_BYTE
  }

  /// How kallsyms lies in memory, and how per-CPU symbols are given.
  public enum KallsymsEra {
    /// Counts of 8 bytes.
    V4_18,
    V4_20,
    /// Long lengths; named in VMCOREINFO.
    V6_1,
    /// Addresses behind the tokens.
    V6_4,
    /// Base-relative, per-CPU symbols are ordinary.
    V6_15,
    /// Place-relative.
    V7_0
  }

  /// How page[1] tells the order of a compound page.
  public enum OrderAt {
    /// Member `compound_order` of `struct page`: 32 bits before 4.16, then one byte.
    COMPOUND_ORDER,
    /// The low byte of the second page's flags (6.6 on).
    FLAGS_1
  }

  /// How the kernel keeps slabs that are on a CPU's partial list (to 6.19).
  public enum Frozen {
    /// Slabs on a CPU's partial list are frozen (to 6.6).
    ON_CPU_PARTIAL,
    /// They are not; those on a node's list carry PG_workingset (6.8 on).
    ONLY_CPU_SLAB
  }

  private static final LayoutTable TABLE_5_3 = load("5.3.1.tsv");
  private static final LayoutTable TABLE_6_1 = load("6.1.192-debian-cloud.tsv");
  private static final LayoutTable TABLE_7_1 = load("7.1.5.tsv");

  /// Page flags whose numbers matter to readers, by generation.
  private static final Map<String, Integer> FLAGS_4_14 =
      Map.of(
          "PG_locked",
          0,
          "PG_lru",
          5,
          "PG_active",
          6,
          "PG_slab",
          8,
          "PG_reserved",
          11,
          "PG_private",
          12,
          "PG_head",
          15,
          "PG_swapbacked",
          18,
          "PG_hwpoison",
          22);

  private static final Map<String, Integer> FLAGS_5_3 =
      Map.of(
          "PG_locked",
          0,
          "PG_lru",
          4,
          "PG_active",
          5,
          "PG_workingset",
          6,
          "PG_slab",
          9,
          "PG_reserved",
          12,
          "PG_private",
          13,
          "PG_head",
          16,
          "PG_swapbacked",
          19,
          "PG_hwpoison",
          22);

  private static final Map<String, Integer> FLAGS_6_6 =
      Map.of(
          "PG_locked",
          0,
          "PG_lru",
          5,
          "PG_head",
          6,
          "PG_active",
          8,
          "PG_workingset",
          9,
          "PG_slab",
          11,
          "PG_reserved",
          14,
          "PG_private",
          15,
          "PG_swapbacked",
          19,
          "PG_hwpoison",
          22);

  private static final Map<String, Integer> FLAGS_6_12 =
      Map.of(
          "PG_locked",
          0,
          "PG_lru",
          5,
          "PG_head",
          6,
          "PG_active",
          8,
          "PG_workingset",
          9,
          "PG_reserved",
          13,
          "PG_private",
          14,
          "PG_swapbacked",
          17,
          "PG_hwpoison",
          20);

  /// Before 4.18: `lru`, the counters shared with `_refcount`, no page types.
  public static final Layout V4_14 =
      new Builder("4.14", TABLE_5_3)
          .struct(
              "page",
              64,
              "unsigned long flags@0",
              "struct address_space * mapping@8",
              "void * s_mem@8",
              "unsigned long index@16",
              "void * freelist@16",
              "unsigned long counters@24",
              "atomic_t _mapcount@24",
              "unsigned int active@24",
              "unsigned int inuse@24:16",
              "unsigned int objects@26:15",
              "unsigned int frozen@27.7:1",
              "atomic_t _refcount@28",
              "struct list_head lru@32",
              "struct page * next@32",
              "int pages@40",
              "int pobjects@44",
              "unsigned long compound_head@32",
              "unsigned int compound_dtor@40",
              "unsigned int compound_order@44",
              "unsigned long private@48",
              "struct kmem_cache * slab_cache@48",
              "struct mem_cgroup * mem_cgroup@56")
          .packed(
              "kmem_cache",
              "struct kmem_cache_cpu * cpu_slab",
              "unsigned long flags",
              "unsigned long min_partial",
              "int size",
              "int object_size",
              "int offset",
              "int cpu_partial",
              "struct kmem_cache_order_objects oo",
              "struct kmem_cache_order_objects max",
              "struct kmem_cache_order_objects min",
              "gfp_t allocflags",
              "int refcount",
              "void (*)(void *) ctor",
              "int inuse",
              "int align",
              "int reserved",
              "int red_left_pad",
              "const char * name",
              "struct list_head list",
              "struct kobject kobj",
              "struct memcg_cache_params memcg_params",
              "int max_attr_size",
              "struct kset * memcg_kset",
              "unsigned long random",
              "int remote_node_defrag_ratio",
              "unsigned int * random_seq",
              "struct kmem_cache_node * [64] node")
          .flags(FLAGS_4_14)
          .freePointer(FreePointer.HARDENED)
          .kallsyms(KallsymsEra.V4_18)
          .btf(false)
          .build();

  /// RHEL 8: 4.18 with the byte swap and BTF of later kernels.
  public static final Layout V4_18_RHEL8 =
      new Builder("4.18.0-553.el8", TABLE_5_3)
          .flags(FLAGS_4_14)
          .freePointer(FreePointer.HARDENED_SWAPPED)
          .kallsyms(KallsymsEra.V4_18)
          .btf(true)
          .build();

  /// As built for the sample: no BTF, classic sparsemem.
  public static final Layout V5_3 =
      new Builder("5.3.1", TABLE_5_3)
          .freePointer(FreePointer.HARDENED)
          .kallsyms(KallsymsEra.V4_20)
          .classicSparse()
          .btf(false)
          .build();

  /// 5.3 as the seed's reporter ran it: plain free pointers, vmemmap.
  public static final Layout V5_3_PLAIN =
      new Builder("5.3.0-rc7", TABLE_5_3)
          .drop("kmem_cache", "random")
          .freePointer(FreePointer.PLAIN)
          .kallsyms(KallsymsEra.V4_20)
          .btf(false)
          .build();

  public static final Layout V5_10 =
      new Builder("5.10", TABLE_5_3)
          .packed(
              "kmem_cache",
              "struct kmem_cache_cpu * cpu_slab",
              "slab_flags_t flags",
              "unsigned long min_partial",
              "unsigned int size",
              "unsigned int object_size",
              "struct reciprocal_value reciprocal_size",
              "unsigned int offset",
              "unsigned int cpu_partial",
              "struct kmem_cache_order_objects oo",
              "struct kmem_cache_order_objects max",
              "struct kmem_cache_order_objects min",
              "gfp_t allocflags",
              "int refcount",
              "void (*)(void *) ctor",
              "unsigned int inuse",
              "unsigned int align",
              "unsigned int red_left_pad",
              "const char * name",
              "struct list_head list",
              "struct kobject kobj",
              "unsigned long random",
              "unsigned int remote_node_defrag_ratio",
              "unsigned int * random_seq",
              "unsigned int useroffset",
              "unsigned int usersize",
              "struct kmem_cache_node * [64] node")
          .remove("memcg_cache_params")
          .freePointer(FreePointer.HARDENED_SWAPPED)
          .middle()
          .kallsyms(KallsymsEra.V4_20)
          .btf(true)
          .build();

  /// The last whose slabs are described by `struct page`.
  public static final Layout V5_15 =
      new Builder("5.15", TABLE_6_1)
          .remove("slab")
          .add(
              "page",
              "struct list_head slab_list@8",
              "struct page * next@8",
              "int pages@16",
              "struct kmem_cache * slab_cache@24",
              "void * freelist@32",
              "void * s_mem@40",
              "unsigned long counters@40",
              "unsigned int inuse@40:16",
              "unsigned int objects@42:15",
              "unsigned int frozen@43.7:1")
          .struct(
              "kmem_cache_cpu",
              32,
              "void ** freelist@0",
              "unsigned long tid@8",
              "struct page * page@16",
              "struct page * partial@24")
          .drop("kmem_cache", "cpu_partial_slabs")
          .middle()
          .kallsyms(KallsymsEra.V4_20)
          .build();

  public static final Layout V6_1 =
      new Builder("6.1.192", TABLE_6_1).middle().kallsyms(KallsymsEra.V6_1).build();

  /// 6.1 built without SLAB_FREELIST_HARDENED and without CPU_PARTIAL and SLUB_DEBUG's counters.
  public static final Layout V6_1_BARE =
      new Builder("6.1-bare", TABLE_6_1)
          .drop("kmem_cache", "random", "cpu_partial", "cpu_partial_slabs")
          .drop("kmem_cache_cpu", "partial")
          .drop(
              "kmem_cache_node",
              "nr_slabs",
              "nr_slabs.counter",
              "total_objects",
              "total_objects.counter",
              "full")
          .freePointer(FreePointer.PLAIN)
          .middle()
          .kallsyms(KallsymsEra.V6_1)
          .build();

  /// 6.1 with descriptors of 80 bytes, as KMSAN makes them: some lie across two pages.
  public static final Layout V6_1_WIDE =
      new Builder("6.1-wide", TABLE_6_1)
          .grow("page", 80)
          .middle()
          .kallsyms(KallsymsEra.V6_1)
          .build();

  /// 6.1 built with the old SLAB allocator.
  public static final Layout V6_1_SLAB =
      new Builder("6.1-slab", TABLE_6_1)
          .remove("kmem_cache_cpu")
          .remove("kmem_cache_order_objects")
          .struct(
              "slab",
              64,
              "unsigned long __page_flags@0",
              "struct list_head slab_list@8",
              "struct callback_head callback_head@8",
              "struct kmem_cache * slab_cache@24",
              "void * freelist@32",
              "void * s_mem@40",
              "unsigned int active@48",
              "atomic_t __page_refcount@52",
              "unsigned long memcg_data@56")
          .packed(
              "kmem_cache",
              "struct array_cache * cpu_cache",
              "unsigned int batchcount",
              "unsigned int limit",
              "unsigned int shared",
              "unsigned int size",
              "struct reciprocal_value reciprocal_buffer_size",
              "slab_flags_t flags",
              "unsigned int num",
              "unsigned int gfporder",
              "gfp_t allocflags",
              "size_t colour",
              "unsigned int colour_off",
              "unsigned int freelist_size",
              "void (*)(void *) ctor",
              "const char * name",
              "struct list_head list",
              "int refcount",
              "int object_size",
              "int align",
              "unsigned int * random_seq",
              "unsigned int useroffset",
              "unsigned int usersize",
              "struct kmem_cache_node * [1024] node")
          .packed(
              "kmem_cache_node",
              "spinlock_t list_lock",
              "struct list_head slabs_partial",
              "struct list_head slabs_full",
              "struct list_head slabs_free",
              "unsigned long total_slabs",
              "unsigned long free_slabs",
              "unsigned long free_objects",
              "unsigned int free_limit",
              "unsigned int colour_next",
              "struct array_cache * shared",
              "struct alien_cache ** alien",
              "unsigned long next_reap",
              "int free_touched")
          .struct(
              "array_cache",
              16,
              "unsigned int avail@0",
              "unsigned int limit@4",
              "unsigned int batchcount@8",
              "unsigned int touched@12",
              "void * [] entry@16")
          .struct("alien_cache", 24, "spinlock_t lock@0", "struct array_cache ac@8")
          .kallsyms(KallsymsEra.V6_1)
          .build();

  /// 5.10 built with SLAB: slabs described by `struct page`.
  public static final Layout V5_10_SLAB =
      new Builder("5.10-slab", V6_1_SLAB.table)
          .remove("slab")
          .table("page", TABLE_5_3)
          .kallsyms(KallsymsEra.V4_20)
          .build();

  private static final String[] SLAB_6_2 = {
    "unsigned long __page_flags@0",
    "struct kmem_cache * slab_cache@8",
    "struct list_head slab_list@16",
    "struct callback_head callback_head@16",
    "struct slab * next@16",
    "int slabs@24",
    "void * freelist@32",
    "unsigned long counters@40",
    "unsigned int inuse@40:16",
    "unsigned int objects@42:15",
    "unsigned int frozen@43.7:1",
    "unsigned int __unused@48",
    "atomic_t __page_refcount@52",
    "unsigned long memcg_data@56"
  };

  public static final Layout V6_6 = since6_6("6.6").build();

  /// Slabs on a CPU's partial list are no longer frozen.
  public static final Layout V6_8 = since6_6("6.8").frozen(Frozen.ONLY_CPU_SLAB).build();

  public static final Layout V6_10 =
      since6_6("6.10")
          .frozen(Frozen.ONLY_CPU_SLAB)
          .slabMark(SlabMark.CLEARED_BIT_F)
          .flagBits()
          .build();

  public static final Layout V6_11 =
      since6_6("6.11")
          .frozen(Frozen.ONLY_CPU_SLAB)
          .slabMark(SlabMark.CLEARED_BIT_8)
          .flagBits()
          .build();

  private static final String[] SLAB_6_12 = {
    "unsigned long __page_flags@0",
    "struct kmem_cache * slab_cache@8",
    "struct list_head slab_list@16",
    "struct callback_head callback_head@16",
    "struct slab * next@16",
    "int slabs@24",
    "void * freelist@32",
    "unsigned long counters@40",
    "unsigned int inuse@40:16",
    "unsigned int objects@42:15",
    "unsigned int frozen@43.7:1",
    "unsigned int __page_type@48",
    "atomic_t __page_refcount@52",
    "unsigned long obj_exts@56"
  };

  public static final Layout V6_12 =
      since6_6("6.12")
          .struct("slab", 64, SLAB_6_12)
          .frozen(Frozen.ONLY_CPU_SLAB)
          .slabMark(SlabMark.TYPE_BYTE)
          .flags(FLAGS_6_12)
          .flagBits()
          .build();

  /// CPU slabs and, for the caches that asked, sheaves beside them.
  public static final Layout V6_18 =
      since6_18("6.18")
          .packed(
              "kmem_cache",
              "struct kmem_cache_cpu * cpu_slab",
              "struct slub_percpu_sheaves * cpu_sheaves",
              "slab_flags_t flags",
              "unsigned long min_partial",
              "unsigned int size",
              "unsigned int object_size",
              "struct reciprocal_value reciprocal_size",
              "unsigned int offset",
              "unsigned int cpu_partial",
              "unsigned int cpu_partial_slabs",
              "unsigned int sheaf_capacity",
              "struct kmem_cache_order_objects oo",
              "struct kmem_cache_order_objects min",
              "gfp_t allocflags",
              "int refcount",
              "void (*)(void *) ctor",
              "unsigned int inuse",
              "unsigned int align",
              "unsigned int red_left_pad",
              "const char * name",
              "struct list_head list",
              "struct kobject kobj",
              "unsigned long random",
              "unsigned int remote_node_defrag_ratio",
              "unsigned int * random_seq",
              "struct kmem_cache_node * [64] node")
          .struct(
              "kmem_cache_cpu",
              48,
              "void ** freelist@0",
              "unsigned long tid@8",
              "freelist_full_t freelist_tid@0",
              "struct slab * slab@16",
              "struct slab * partial@24",
              "local_trylock_t lock@32")
          .add("slab", "struct slab * next@16", "int slabs@24")
          .drop("slab", "stride")
          .frozen(Frozen.ONLY_CPU_SLAB)
          .kallsyms(KallsymsEra.V6_15)
          .build();

  /// No CPU slabs; `node[]`, with the barn in `kmem_cache_node`.
  public static final Layout V7_0 =
      since6_18("7.0")
          .drop("kmem_cache", "per_node")
          .add("kmem_cache", "struct kmem_cache_node * [64] node@200")
          .build();

  public static final Layout V7_1 = new Builder("7.1.5", TABLE_7_1).v7().build();

  /// 7.1 where tail pages hold a mask instead of their head's address.
  public static final Layout V7_1_MASK =
      new Builder("7.1-mask", TABLE_7_1).v7().compoundMask().build();

  /// Every layout of SLUB, oldest first; of four generations only with `-Dvmcheck.layouts=few`,
  /// which `scripts/mutate` gives because it runs a test many times over.
  public static final List<Layout> ALL =
      chosen(
          V4_14,
          V4_18_RHEL8,
          V5_3,
          V5_3_PLAIN,
          V5_10,
          V5_15,
          V6_1,
          V6_1_BARE,
          V6_1_WIDE,
          V6_6,
          V6_8,
          V6_10,
          V6_11,
          V6_12,
          V6_18,
          V7_0,
          V7_1,
          V7_1_MASK);

  private static List<Layout> chosen(Layout... all) {
    List<Layout> few = List.of(all[0], V6_1, V6_18, all[all.length - 1]);
    return System.getProperty("vmcheck.layouts", "all").equals("few") ? few : List.of(all);
  }

  /// Those of the old SLAB allocator.
  public static final List<Layout> OLD_SLAB = List.of(V5_10_SLAB, V6_1_SLAB);

  private static Builder since6_6(String name) {
    return new Builder(name, TABLE_6_1)
        .struct("slab", 64, SLAB_6_2)
        .drop(
            "page",
            "compound_dtor",
            "compound_order",
            "compound_mapcount",
            "compound_mapcount.counter",
            "compound_pincount",
            "compound_pincount.counter",
            "compound_nr")
        .drop("folio", "_folio_dtor", "_folio_order")
        .orderAt(OrderAt.FLAGS_1)
        .flags(FLAGS_6_6)
        .middle()
        .kallsyms(KallsymsEra.V6_4);
  }

  /// The table of 7.1.5 with what changed between 6.18 and it taken back.
  private static Builder since6_18(String name) {
    return new Builder(name, TABLE_7_1)
        .v7()
        .rename("page", "compound_info", "compound_head")
        .add("kmem_cache_node", "struct node_barn * barn@64")
        .grow("kmem_cache_node", 72);
  }

  private final String name;
  private final LayoutTable table;
  private final Map<String, LayoutTable.Member> members = new HashMap<>();
  private final Map<String, Integer> pageFlags;
  private final FreePointer freePointer;
  private final boolean freePointerInMiddle;
  private final SlabMark slabMark;
  private final OrderAt orderAt;
  private final Frozen frozen;
  private final KallsymsEra kallsyms;
  private final boolean btf;
  private final boolean classicSparse;
  private final boolean compoundMask;
  private final boolean flagBits;

  private Layout(Builder builder) {
    name = builder.name;
    table = new LayoutTable(builder.structs);
    table
        .structs()
        .forEach(
            (struct, found) ->
                found
                    .members()
                    .forEach(member -> members.putIfAbsent(struct + "." + member.path(), member)));
    pageFlags = builder.pageFlags;
    freePointer = builder.freePointer;
    freePointerInMiddle = builder.middle;
    slabMark = builder.slabMark;
    orderAt = builder.orderAt;
    frozen = builder.frozen;
    kallsyms = builder.kallsyms;
    btf = builder.btf;
    classicSparse = builder.classicSparse;
    compoundMask = builder.compoundMask;
    flagBits = builder.flagBits;
  }

  /// For example `6.1.192`.
  public String name() {
    return name;
  }

  /// The kernel release of the images: the name with three numbers, as readers expect them.
  public String release() {
    return name.replaceFirst("^(\\d+\\.\\d+)(?![.\\d])", "$1.0") + "-fake";
  }

  public LayoutTable table() {
    return table;
  }

  public FreePointer freePointer() {
    return freePointer;
  }

  /// Whether free pointers stand in the middle of objects (5.7 on), not at their start.
  public boolean isFreePointerInMiddle() {
    return freePointerInMiddle;
  }

  public SlabMark slabMark() {
    return slabMark;
  }

  public OrderAt orderAt() {
    return orderAt;
  }

  public Frozen frozen() {
    return frozen;
  }

  public KallsymsEra kallsyms() {
    return kallsyms;
  }

  /// Whether the kernel carries BTF in its memory.
  public boolean hasBtf() {
    return btf;
  }

  public boolean isClassicSparse() {
    return classicSparse;
  }

  public boolean isCompoundMask() {
    return compoundMask;
  }

  /// Whether cache flags are numbered by `enum _slab_flag_bits` (6.9 on).
  public boolean hasFlagBits() {
    return flagBits;
  }

  /// Whether the allocator is SLAB, not SLUB.
  public boolean isOldSlab() {
    return has("array_cache");
  }

  /// Whether per-CPU symbols lie in the image (6.15 on).
  public boolean isPerCpuInImage() {
    return kallsyms.compareTo(KallsymsEra.V6_15) >= 0;
  }

  /// Whether slab pages hold no reference (6.14 on).
  public boolean isSlabRefcountZero() {
    return isPerCpuInImage();
  }

  public Map<String, Integer> pageFlags() {
    return pageFlags;
  }

  /// The bit of a page flag; empty if this generation has no such flag.
  public OptionalInt pageFlag(String flag) {
    Integer bit = pageFlags.get(flag);
    return bit == null ? OptionalInt.empty() : OptionalInt.of(bit);
  }

  public boolean has(String struct, String path) {
    return members.containsKey(struct + "." + path);
  }

  public boolean has(String struct) {
    return table.structs().containsKey(struct);
  }

  public int size(String struct) {
    return struct(struct).byteCount();
  }

  public LayoutTable.Struct struct(String struct) {
    return Objects.requireNonNull(table.structs().get(struct), struct);
  }

  /// The structure that describes a slab.
  public String slabStruct() {
    return has("slab") ? "slab" : "page";
  }

  public LayoutTable.Member member(String struct, String path) {
    LayoutTable.Member member = members.get(struct + "." + path);
    if (member == null) {
      throw new IllegalArgumentException(name + " has no " + struct + "." + path);
    }
    return member;
  }

  public int offset(String struct, String path) {
    return member(struct, path).offset();
  }

  /// Bytes of a C type, or -1 if it is not known.
  public int sizeOf(String type) {
    int array = type.indexOf('[');
    if (array >= 0) {
      String count = type.substring(array + 1, type.indexOf(']'));
      int element = sizeOf(type.substring(0, array).strip());
      return element < 0 ? -1 : element * (count.isEmpty() ? 0 : Integer.parseInt(count));
    }
    return sizeOf(table.structs(), type);
  }

  private static int sizeOf(Map<String, LayoutTable.Struct> structs, String type) {
    if (type.endsWith("*") || type.contains("(*)")) {
      return 8;
    }
    if (type.startsWith("struct ")) {
      LayoutTable.Struct struct = structs.get(type.substring("struct ".length()));
      return struct == null ? -1 : struct.byteCount();
    }
    return switch (type) {
      case "char", "unsigned char", "u8", "bool", "_Bool" -> 1;
      case "u16", "unsigned short" -> 2;
      case "int",
          "unsigned int",
          "u32",
          "s32",
          "gfp_t",
          "slab_flags_t",
          "atomic_t",
          "spinlock_t",
          "pid_t",
          "freelist_idx_t",
          "depot_stack_handle_t" ->
          type.equals("freelist_idx_t") ? 2 : 4;
      case "long",
          "unsigned long",
          "u64",
          "s64",
          "long long",
          "size_t",
          "atomic_long_t",
          "memdesc_flags_t",
          "dma_addr_t",
          "resource_size_t",
          "kimage_entry_t" ->
          8;
      case "freelist_full_t" -> 16;
      default -> -1;
    };
  }

  @Override
  public String toString() {
    return name;
  }

  private static LayoutTable load(String file) {
    try (var in = Layout.class.getResourceAsStream("/layouts/" + file);
        var lines =
            new BufferedReader(
                new InputStreamReader(Objects.requireNonNull(in), StandardCharsets.UTF_8))) {
      return LayoutTable.parse(lines.readAllLines());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Composes a layout from a table.
  private static final class Builder {
    private final String name;
    private final Map<String, LayoutTable.Struct> structs = new LinkedHashMap<>();
    private Map<String, Integer> pageFlags = FLAGS_5_3;
    private FreePointer freePointer = FreePointer.HARDENED_SWAPPED;
    private boolean middle;
    private SlabMark slabMark = SlabMark.FLAG;
    private OrderAt orderAt = OrderAt.COMPOUND_ORDER;
    private Frozen frozen = Frozen.ON_CPU_PARTIAL;
    private KallsymsEra kallsyms = KallsymsEra.V6_1;
    private boolean btf = true;
    private boolean classicSparse;
    private boolean compoundMask;
    private boolean flagBits;

    Builder(String name, LayoutTable table) {
      this.name = name;
      table
          .structs()
          .forEach(
              (key, struct) ->
                  structs.put(
                      key,
                      new LayoutTable.Struct(
                          key, struct.byteCount(), new ArrayList<>(struct.members()))));
    }

    Builder v7() {
      frozen = Frozen.ONLY_CPU_SLAB;
      return slabMark(SlabMark.TYPE_BYTE)
          .flags(FLAGS_6_12)
          .orderAt(OrderAt.FLAGS_1)
          .flagBits()
          .middle()
          .kallsyms(KallsymsEra.V7_0);
    }

    Builder remove(String struct) {
      structs.remove(struct);
      return this;
    }

    /// Takes a structure from another table.
    Builder table(String struct, LayoutTable from) {
      LayoutTable.Struct found = Objects.requireNonNull(from.structs().get(struct));
      structs.put(
          struct,
          new LayoutTable.Struct(struct, found.byteCount(), new ArrayList<>(found.members())));
      return this;
    }

    Builder drop(String struct, String... paths) {
      structs.get(struct).members().removeIf(member -> List.of(paths).contains(member.path()));
      return this;
    }

    Builder grow(String struct, int byteCount) {
      structs.put(struct, new LayoutTable.Struct(struct, byteCount, structs.get(struct).members()));
      return this;
    }

    Builder rename(String struct, String from, String to) {
      structs
          .get(struct)
          .members()
          .replaceAll(
              m ->
                  m.path().equals(from)
                      ? new LayoutTable.Member(to, m.offset(), m.bitInByte(), m.bits(), m.type())
                      : m);
      return this;
    }

    /// Replaces a structure; each member as `type name@offset`, with `.bit` and `:width` for bit
    /// fields.
    Builder struct(String struct, int byteCount, String... members) {
      structs.put(struct, new LayoutTable.Struct(struct, byteCount, new ArrayList<>()));
      return add(struct, members);
    }

    Builder add(String struct, String... members) {
      for (String member : members) {
        int at = member.lastIndexOf('@');
        int space = member.lastIndexOf(' ', at);
        String place = member.substring(at + 1);
        int colon = place.indexOf(':');
        int bits = colon < 0 ? 0 : Integer.parseInt(place.substring(colon + 1));
        place = colon < 0 ? place : place.substring(0, colon);
        int dot = place.indexOf('.');
        int bit = dot < 0 ? 0 : Integer.parseInt(place.substring(dot + 1));
        put(
            struct,
            new LayoutTable.Member(
                member.substring(space + 1, at),
                Integer.parseInt(dot < 0 ? place : place.substring(0, dot)),
                bit,
                bits,
                member.substring(0, space)));
      }
      return this;
    }

    /// Replaces a structure by members that follow each other as a compiler places them.
    Builder packed(String struct, String... members) {
      structs.put(struct, new LayoutTable.Struct(struct, 0, new ArrayList<>()));
      int end = 0;
      for (String member : members) {
        int space = member.lastIndexOf(' ');
        String type = member.substring(0, space);
        int array = type.indexOf('[');
        int element = sizeOf(structs, array < 0 ? type : type.substring(0, array).strip());
        int count = array < 0 ? 1 : Integer.parseInt(type.substring(array + 1, type.indexOf(']')));
        int alignment = element % 8 == 0 ? 8 : 4;
        end = (end + alignment - 1) / alignment * alignment;
        put(struct, new LayoutTable.Member(member.substring(space + 1), end, 0, 0, type));
        end += element * count;
      }
      return grow(struct, (end + 7) / 8 * 8);
    }

    private void put(String struct, LayoutTable.Member member) {
      List<LayoutTable.Member> into = structs.get(struct).members();
      into.add(member);
      if (member.type().equals("atomic_t") || member.type().equals("atomic_long_t")) {
        into.add(
            new LayoutTable.Member(
                member.path() + ".counter",
                member.offset(),
                0,
                0,
                member.type().equals("atomic_t") ? "int" : "s64"));
      }
    }

    Builder flags(Map<String, Integer> flags) {
      pageFlags = flags;
      return this;
    }

    Builder freePointer(FreePointer value) {
      freePointer = value;
      return this;
    }

    Builder middle() {
      middle = true;
      return this;
    }

    Builder slabMark(SlabMark value) {
      slabMark = value;
      return this;
    }

    Builder orderAt(OrderAt value) {
      orderAt = value;
      return this;
    }

    Builder frozen(Frozen value) {
      frozen = value;
      return this;
    }

    Builder kallsyms(KallsymsEra value) {
      kallsyms = value;
      return this;
    }

    Builder btf(boolean value) {
      btf = value;
      return this;
    }

    Builder classicSparse() {
      classicSparse = true;
      return this;
    }

    Builder compoundMask() {
      compoundMask = true;
      return this;
    }

    Builder flagBits() {
      flagBits = true;
      return this;
    }

    Layout build() {
      return new Layout(this);
    }
  }
}
