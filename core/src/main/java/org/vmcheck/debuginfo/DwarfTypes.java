package org.vmcheck.debuginfo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSection;
import org.vmcheck.elf.ElfSections;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.UnsupportedFormatException;

/// Types from the DWARF of a vmlinux, versions 2 to 5 (dwarfstd.org).
///
/// A kernel has two thousand units and all that a slab check asks for stands in a handful of them.
/// So units are found by the file that they were compiled from, and only those are read; what is in
/// none of them is looked for in all, once a name. Safe for use by several threads at once.
public final class DwarfTypes implements Types {
  private static final int MAX_UNITS = 1 << 20;

  /// Definitions of one name that are compared; a header's struct is in hundreds of units.
  private static final int MAX_DEFINITIONS = 64;

  /// Files whose units between them hold what the checks ask for, the most useful first.
  private static final List<String> USUAL_FILES =
      List.of(
          "mm/slub.c",
          "mm/slab.c",
          "mm/slab_common.c",
          "kernel/printk/printk.c",
          "mm/page_alloc.c",
          "mm/sparse.c",
          "kernel/module/main.c",
          "kernel/module.c",
          "kernel/kexec_core.c",
          "kernel/utsname.c",
          "kernel/sched/core.c",
          "lib/stackdepot.c");

  /// Structs that a kernel has in these files or does not have at all: their absence needs no look
  /// at two thousand units.
  private static final Map<String, List<String>> HOMES =
      Map.ofEntries(
          Map.entry("kmem_cache", List.of("mm/slub.c", "mm/slab.c", "mm/slab_common.c")),
          Map.entry("kmem_cache_cpu", List.of("mm/slub.c")),
          Map.entry("kmem_cache_node", List.of("mm/slub.c", "mm/slab.c")),
          Map.entry("kmem_cache_per_node_ptrs", List.of("mm/slub.c")),
          Map.entry("slab", List.of("mm/slub.c", "mm/slab.c", "mm/slab_common.c")),
          Map.entry("slab_sheaf", List.of("mm/slub.c")),
          Map.entry("slub_percpu_sheaves", List.of("mm/slub.c")),
          Map.entry("node_barn", List.of("mm/slub.c")),
          Map.entry("slabobj_ext", List.of("mm/slub.c")),
          Map.entry("memcg_cache_params", List.of("mm/slub.c", "mm/slab.c")),
          Map.entry("array_cache", List.of("mm/slab.c")),
          Map.entry("track", List.of("mm/slub.c")),
          Map.entry("location", List.of("mm/slub.c")),
          Map.entry("folio", List.of("mm/slub.c", "mm/slab.c", "mm/page_alloc.c")),
          Map.entry("page", List.of("mm/slub.c", "mm/slab.c", "mm/page_alloc.c")),
          Map.entry("mem_section", List.of("mm/sparse.c")),
          Map.entry("printk_log", List.of("kernel/printk/printk.c")),
          Map.entry("printk_info", List.of("kernel/printk/printk.c")),
          Map.entry("prb_desc", List.of("kernel/printk/printk.c")),
          Map.entry("module", List.of("kernel/module/main.c", "kernel/module.c")));

  /// The sections that types need; those of strings may be null.
  ///
  /// @param typeUnits place of the type that each type unit defines, by signature
  /// @param lastTable the abbreviation table read last: units made together share one
  record Sections(
      ByteView info,
      ByteView abbrev,
      ByteView str,
      ByteView lineStr,
      ByteView strOffsets,
      Map<Long, Long> typeUnits,
      AtomicReference<DwarfUnit.Table> lastTable) {}

  /// The start of a unit.
  ///
  /// @param byteCount of the whole unit, its header included
  /// @param headerBytes where the root entry starts
  /// @param offsetBytes 4, or 8 in 64-bit DWARF
  record Header(
      long offset,
      int byteCount,
      int headerBytes,
      int version,
      int addressBytes,
      int offsetBytes,
      long abbrevOffset,
      boolean isTypeUnit) {}

  /// Types by name at the top of one unit; of structures and unions the complete ones.
  private record Contents(
      DwarfUnit unit,
      Map<String, List<Integer>> structs,
      Map<String, Integer> typedefs,
      List<Integer> enumerations) {}

  private final Sections sections;
  private final List<Header> headers;

  /// Index of each unit by its offset.
  private final TreeMap<Long, Integer> byOffset = new TreeMap<>();

  /// Index of each unit by the last three parts of its path.
  private final Memo<Map<String, Integer>> byFile = new Memo<>();

  private final ConcurrentHashMap<Integer, DwarfUnit> units = new ConcurrentHashMap<>();
  private final ConcurrentHashMap<Integer, Contents> contents = new ConcurrentHashMap<>();
  private final ConcurrentHashMap<String, List<StructLayout>> byName = new ConcurrentHashMap<>();
  private final DwarfLayouts layouts;
  private final Set<String> problems = ConcurrentHashMap.newKeySet();

  /// Bytes of units that may still be kept, and of their abbreviation tables.
  private final AtomicLong unitsLeft = new AtomicLong(Runtime.getRuntime().maxMemory() / 4);

  private final AtomicLong tablesLeft;

  private DwarfTypes(Sections sections, List<Header> headers) {
    this.sections = sections;
    this.headers = headers;
    this.layouts = new DwarfLayouts(this::unitOf, this::guarded);
    this.tablesLeft = tablesOfAPass();
    for (int i = 0; i < headers.size(); i++) {
      byOffset.put(headers.get(i).offset(), i);
    }
  }

  /// What one pass over all units may read of abbreviation tables: each unit has one of its own, or
  /// shares that of the unit before.
  private AtomicLong tablesOfAPass() {
    return new AtomicLong(16 * sections.abbrev.size() + (1L << 20));
  }

  /// A value made once, when first asked for.
  private static final class Memo<T> {
    private T value;
  }

  /// Whether the file has DWARF types.
  public static boolean isIn(ElfSections file) {
    return file.section(".debug_info").or(() -> file.section(".zdebug_info")).stream()
        .anyMatch(section -> section.type() != ElfSection.SHT_NOBITS);
  }

  /// Reads the headers of all units.
  ///
  /// @throws MalformedFileException if the headers break the format's rules
  public static DwarfTypes open(ElfSections file) throws IOException {
    if (file.file().type() == ElfFile.ET_REL) {
      throw new UnsupportedFormatException(
          "[%s] is a relocatable object: its DWARF would need relocations, and no kernel runs it"
              .formatted(file.file().name()));
    }
    if (file.file().isBigEndian()) {
      throw new UnsupportedFormatException(
          "[%s] is big endian: types of another machine's kernel are not read"
              .formatted(file.file().name()));
    }
    ByteView info = needed(file, ".debug_info");
    Map<Long, Long> typeUnits = new HashMap<>();
    Sections sections =
        new Sections(
            info,
            needed(file, ".debug_abbrev"),
            file.bytes(".debug_str").orElse(null),
            file.bytes(".debug_line_str").orElse(null),
            file.bytes(".debug_str_offsets").orElse(null),
            typeUnits,
            new AtomicReference<>());
    List<Header> headers = new ArrayList<>();
    long at = 0;
    Cancellation cancellation = Cancellation.current();
    while (at < info.size()) {
      cancellation.step();
      Header header = header(info, at, typeUnits);
      headers.add(header);
      if (headers.size() > MAX_UNITS) {
        throw info.malformed("units", at, "at most " + MAX_UNITS, "more");
      }
      at += header.byteCount();
    }
    return new DwarfTypes(sections, headers);
  }

  private static ByteView needed(ElfSections file, String name) throws IOException {
    return file.bytes(name)
        .orElseThrow(
            () ->
                new MalformedFileException(
                    "[%s] has no section %s".formatted(file.file().name(), name)));
  }

  private static Header header(ByteView info, long at, Map<Long, Long> typeUnits)
      throws MalformedFileException {
    long left = info.size() - at;
    if (left < 12) {
      throw info.malformed("unit_length", at, "a unit header", left + " bytes");
    }
    boolean wide = info.u32(at) == 0xffff_ffffL;
    int lengthBytes = wide ? 12 : 4;
    long length = wide ? info.u64(at + 4) : info.u32(at);
    if (length < 7 || length > left - lengthBytes || length > Integer.MAX_VALUE - 16) {
      throw info.malformed(
          "unit_length", at, "7 to " + (left - lengthBytes), Long.toUnsignedString(length));
    }
    int offsetBytes = wide ? 8 : 4;
    int version = info.u16(at + lengthBytes);
    if (version < 2 || version > 5) {
      throw info.malformed("version", at + lengthBytes, "2 to 5", Integer.toString(version));
    }
    int fixed = lengthBytes + 2 + (version == 5 ? 2 : 1) + offsetBytes;
    if (lengthBytes + length < fixed) {
      throw info.malformed("unit_length", at, "at least " + fixed, Long.toString(length));
    }
    int type = version == 5 ? info.u8(at + lengthBytes + 2) : 1;
    long abbrevAt = at + lengthBytes + (version == 5 ? 4 : 2);
    long abbrev = wide ? info.u64(abbrevAt) : info.u32(abbrevAt);
    int addressBytes = info.u8(version == 5 ? at + lengthBytes + 3 : abbrevAt + offsetBytes);
    boolean isTypeUnit = type == 2 || type == 6;
    int headerBytes =
        switch (type) {
          case 2, 6 -> fixed + 8 + offsetBytes;
          case 4, 5 -> fixed + 8;
          default -> fixed;
        };
    if (headerBytes > lengthBytes + length) {
      throw info.malformed("unit_length", at, "at least " + headerBytes, Long.toString(length));
    }
    if (isTypeUnit) {
      long typeOffset = wide ? info.u64(at + fixed + 8) : info.u32(at + fixed + 8);
      typeUnits.putIfAbsent(info.u64(at + fixed), at + typeOffset);
    }
    return new Header(
        at,
        (int) (lengthBytes + length),
        headerBytes,
        version,
        addressBytes,
        offsetBytes,
        abbrev,
        isTypeUnit);
  }

  @Override
  public String source() {
    return "dwarf";
  }

  /// Units of the file.
  public int unitCount() {
    return headers.size();
  }

  /// What could not be read so far, a sentence each; types in such units are taken for absent.
  public List<String> problems() {
    return List.copyOf(problems);
  }

  @Override
  public List<StructLayout> structs(String name) {
    List<StructLayout> known = byName.get(name);
    if (known == null) {
      known = find(name);
      byName.put(name, known);
    }
    return known;
  }

  private List<StructLayout> find(String name) {
    List<String> homes = HOMES.getOrDefault(name, List.of());
    boolean hasHome = false;
    for (String file : homes) {
      Optional<Contents> home = contents(file);
      hasHome |= home.isPresent();
      List<StructLayout> found = home.map(unit -> structs(unit, name)).orElse(List.of());
      if (!found.isEmpty()) {
        return found;
      }
    }
    if (hasHome && sections.typeUnits.isEmpty()) {
      return List.of();
    }
    for (String file : USUAL_FILES) {
      List<StructLayout> found = contents(file).map(unit -> structs(unit, name)).orElse(List.of());
      if (!found.isEmpty()) {
        return found;
      }
    }
    return findInAll(name);
  }

  private List<StructLayout> structs(Contents unit, String name) {
    List<StructLayout> found = new ArrayList<>(1);
    List<Integer> places = unit.structs.getOrDefault(name, List.of());
    for (int at : places.subList(0, Math.min(places.size(), MAX_DEFINITIONS))) {
      guarded(() -> found.add(layouts.of(unit.unit, at)));
    }
    return found;
  }

  /// The definitions of a name in any unit, those that differ.
  private List<StructLayout> findInAll(String name) {
    byte[] wanted = name.getBytes(StandardCharsets.ISO_8859_1);
    AtomicLong left = tablesOfAPass();
    Cancellation cancellation = Cancellation.current();
    List<Long> places =
        IntStream.range(0, headers.size())
            .parallel()
            .mapToObj(i -> definitions(headers.get(i), wanted, left, cancellation))
            .flatMap(List::stream)
            .limit(MAX_DEFINITIONS)
            .toList();
    List<StructLayout> found = new ArrayList<>();
    Set<String> shapes = new LinkedHashSet<>();
    for (long place : places) {
      guarded(
          () -> {
            StructLayout layout = layouts.of(place).orElse(null);
            if (layout != null && shapes.add(layout.size() + " " + layout.memberCount())) {
              found.add(layout);
            }
          });
    }
    return found;
  }

  private List<Long> definitions(
      Header header, byte[] wanted, AtomicLong left, Cancellation cancellation) {
    List<Long> found = new ArrayList<>();
    guarded(
        () -> {
          cancellation.step();
          DwarfUnit unit = DwarfUnit.load(sections, header, left);
          DwarfEntry entry = unit.entries();
          DwarfLayouts.forTopEntries(
              unit,
              entry,
              at -> {
                cancellation.step();
                if (DwarfLayouts.isCompleteStruct(entry) && unit.isNamed(entry, wanted)) {
                  found.add(header.offset() + at);
                }
              });
        });
    return found;
  }

  /// The types of the unit that was compiled from a file, read when first asked for.
  private Optional<Contents> contents(String file) {
    Integer index = byFile().get(file);
    if (index == null) {
      return Optional.empty();
    }
    Contents known = contents.get(index);
    if (known == null) {
      List<Contents> read = new ArrayList<>(1);
      guarded(() -> read.add(read(unit(index))));
      if (read.isEmpty()) {
        return Optional.empty();
      }
      known = read.getFirst();
      contents.put(index, known);
    }
    return Optional.of(known);
  }

  private static Contents read(DwarfUnit unit) {
    Contents contents = new Contents(unit, new HashMap<>(), new HashMap<>(), new ArrayList<>());
    DwarfEntry entry = unit.entries();
    DwarfLayouts.forTopEntries(
        unit,
        entry,
        at -> {
          Cancellation.check();
          if (DwarfLayouts.isCompleteStruct(entry)) {
            contents.structs.computeIfAbsent(unit.name(entry), _ -> new ArrayList<>(1)).add(at);
          } else if (entry.tag == DwarfEntry.TAG_TYPEDEF) {
            contents.typedefs.putIfAbsent(unit.name(entry), at);
          } else if (entry.tag == DwarfEntry.TAG_ENUMERATION && !entry.isDeclaration) {
            contents.enumerations.add(at);
          }
        });
    return contents;
  }

  private Map<String, Integer> byFile() {
    synchronized (byFile) {
      if (byFile.value == null) {
        byFile.value = readPaths();
      }
      return byFile.value;
    }
  }

  /// Paths of builds outside the source tree start with its folder: their ends are what counts.
  private Map<String, Integer> readPaths() {
    Map<String, Integer> found = new HashMap<>();
    AtomicLong left = tablesOfAPass();
    for (int i = 0; i < headers.size(); i++) {
      Header header = headers.get(i);
      if (header.isTypeUnit()) {
        continue;
      }
      int index = i;
      guarded(
          () -> {
            String path = DwarfUnit.path(sections, header, left);
            for (String file : USUAL_FILES) {
              if (path.endsWith(file)
                  && (path.length() == file.length()
                      || path.charAt(path.length() - file.length() - 1) == '/')) {
                found.putIfAbsent(file, index);
              }
            }
          });
    }
    return found;
  }

  private DwarfUnit unit(int index) throws MalformedFileException {
    DwarfUnit unit = units.get(index);
    if (unit == null) {
      Header header = headers.get(index);
      if (unitsLeft.addAndGet(-header.byteCount()) < 0) {
        throw sections.info.malformed(
            "unit", header.offset(), "types within the units of a few files", "units of all");
      }
      unit = DwarfUnit.load(sections, header, tablesLeft);
      units.put(index, unit);
    }
    return unit;
  }

  /// The unit that a place in `.debug_info` is in; null if it is in none.
  private DwarfUnit unitOf(long place) throws MalformedFileException {
    Map.Entry<Long, Integer> found = byOffset.floorEntry(place);
    if (found == null) {
      return null;
    }
    Header header = headers.get(found.getValue());
    return place - header.offset() >= header.headerBytes()
            && place - header.offset() < header.byteCount()
        ? unit(found.getValue())
        : null;
  }

  @Override
  public OptionalLong enumerator(String enumName, String enumerator) {
    for (String file : USUAL_FILES) {
      Optional<Contents> unit = contents(file);
      if (unit.isPresent()) {
        OptionalLong value = enumerator(unit.get(), enumName, enumerator);
        if (value.isPresent()) {
          return value;
        }
      }
    }
    return OptionalLong.empty();
  }

  private OptionalLong enumerator(Contents contents, String enumName, String enumerator) {
    DwarfUnit unit = contents.unit;
    byte[] wanted = enumerator.getBytes(StandardCharsets.ISO_8859_1);
    long[] value = {DwarfEntry.ABSENT};
    // Each byte of the unit is part of one enumeration at most.
    int[] budget = {unit.data().length};
    for (int enumeration : contents.enumerations) {
      guarded(
          () -> {
            DwarfEntry entry = unit.entries();
            entry.read(enumeration);
            if (!enumName.isEmpty() && !unit.name(entry).equals(enumName)) {
              return;
            }
            DwarfLayouts.forChildren(
                entry,
                enumeration,
                budget,
                _ -> {
                  if (entry.tag == DwarfEntry.TAG_ENUMERATOR && unit.isNamed(entry, wanted)) {
                    value[0] = entry.constValue;
                  }
                });
          });
      if (value[0] != DwarfEntry.ABSENT) {
        return OptionalLong.of(value[0]);
      }
    }
    return OptionalLong.empty();
  }

  @Override
  public OptionalLong typedefSize(String name) {
    for (String file : USUAL_FILES) {
      Optional<Contents> unit = contents(file);
      Integer at = unit.map(found -> found.typedefs.get(name)).orElse(null);
      if (at != null) {
        long[] size = {-1};
        guarded(() -> size[0] = layouts.size(unit.get().unit.offset() + at, 0));
        return size[0] < 0 ? OptionalLong.empty() : OptionalLong.of(size[0]);
      }
    }
    return OptionalLong.empty();
  }

  /// Damage in a unit ends the reading of it, and is kept for [#problems].
  private void guarded(DwarfLayouts.Reading reading) {
    try {
      reading.run();
    } catch (MalformedFileException e) {
      keep(e.getMessage());
    } catch (IndexOutOfBoundsException e) {
      keep(
          "[%s] .debug_info: expected entries within their unit, got %s"
              .formatted(sections.info.file(), e.getMessage()));
    } catch (InternalError lost) {
      if (!MappedFile.isLostMap(lost)) {
        throw lost;
      }
      keep("[%s] changed while it was read".formatted(sections.info.file()));
    }
  }

  private void keep(String problem) {
    if (problems.size() < 100) {
      problems.add(problem);
    }
  }
}
