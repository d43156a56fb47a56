package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSections;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.LayoutTable;
import org.vmcheck.testing.RealDumps;

/// Against the small files of `resources/dwarf`, which real compilers made from one source.
class DwarfTypesTest {
  private static byte[] fixture(String name) throws IOException {
    try (InputStream in = DwarfTypesTest.class.getResourceAsStream("/dwarf/" + name)) {
      return in.readAllBytes();
    }
  }

  private static DwarfTypes types(byte[] file) throws IOException {
    return DwarfTypes.open(
        new ElfSections(ElfFile.open(new FileBytes("vmlinux", MemorySegment.ofArray(file)))));
  }

  private static List<Long> place(StructLayout layout, String path) {
    Member member = layout.member(path).orElseThrow();
    return List.of(member.bitOffset(), (long) member.bitFieldSize(), member.byteSize());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "dwarf2",
        "dwarf3",
        "dwarf4",
        "dwarf5",
        "dwarf5-64",
        "dwarf5-lto",
        "dwarf5-zlib",
        "dwarf5-zlib-gnu",
        "dwarf5-zstd",
        "clang4",
        "clang5"
      })
  void everyFormGivesTheSameLayouts(String name) throws Exception {
    DwarfTypes types = types(fixture(name));

    StructLayout slab = types.struct("slab").orElseThrow();
    assertThat(slab.size()).isEqualTo(48);
    assertThat(place(slab, "flags")).containsExactly(0L, 0L, 8L);
    assertThat(place(slab, "slab_list.prev")).containsExactly(128L, 0L, 8L);
    assertThat(place(slab, "next")).containsExactly(64L, 0L, 8L);
    assertThat(place(slab, "slabs")).containsExactly(128L, 0L, 4L);
    assertThat(place(slab, "fc.counters")).containsExactly(256L, 0L, 8L);
    assertThat(place(slab, "counters")).containsExactly(256L, 0L, 8L);
    assertThat(place(slab, "inuse")).containsExactly(256L, 16L, 4L);
    assertThat(place(slab, "objects")).containsExactly(272L, 15L, 4L);
    assertThat(place(slab, "frozen")).containsExactly(287L, 1L, 4L);
    assertThat(place(slab, "tiny")).containsExactly(320L, 3L, 1L);
    assertThat(place(slab, "after")).containsExactly(352L, 0L, 4L);

    StructLayout cache = types.struct("kmem_cache").orElseThrow();
    assertThat(cache.size()).isEqualTo(184);
    Member matrix = cache.member("matrix").orElseThrow();
    assertThat(matrix.elementCount()).isEqualTo(15);
    assertThat(matrix.byteSize()).isEqualTo(60);
    assertThat(matrix.offset()).isEqualTo(24);
    Member lists = cache.member("lists").orElseThrow();
    assertThat(lists.elementCount()).isEqualTo(4);
    assertThat(lists.elementSize()).isEqualTo(16);
    assertThat(lists.struct().orElseThrow().name()).isEqualTo("list_head");
    assertThat(place(cache, "wide_bits")).containsExactly(1216L, 40L, 8L);
    assertThat(place(cache, "more_bits")).containsExactly(1256L, 20L, 8L);
    assertThat(place(cache, "named.b")).containsExactly(1344L, 0L, 16L);
    Member node = cache.member("node").orElseThrow();
    assertThat(node.offset()).isEqualTo(184);
    assertThat(node.elementCount()).isZero();
    assertThat(node.byteSize()).isZero();
    assertThat(cache.member("name").orElseThrow().struct()).isEmpty();

    assertThat(place(types.struct("kmem_cache_node").orElseThrow(), "nr_slabs.counter"))
        .containsExactly(192L, 0L, 8L);
    assertThat(types.typedefSize("atomic_long_t")).hasValue(8);
    assertThat(types.typedefSize("u32")).hasValue(4);
    assertThat(types.enumerator("pageflags", "PG_slab")).hasValue(9);
    assertThat(types.enumerator("", "PG_last")).hasValue(40);
    assertThat(types.enumerator("negative", "MINUS")).hasValue(-7);
    assertThat(types.enumerator("wide", "HUGE_VALUE_ENUMERATOR")).hasValue(0x1_0000_0002L);
    assertThat(types.enumerator("pageflags", "HUGE_VALUE_ENUMERATOR")).isEmpty();
    assertThat(types.problems()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"dwarf4", "dwarf5", "dwarf5-types", "clang5"})
  void whatIsInNoUsualFileIsLookedForInAll(String name) throws Exception {
    DwarfTypes types = types(fixture(name));

    assertThat(types.struct("only_here").orElseThrow().member("second").orElseThrow().offset())
        .isEqualTo(4);
    assertThat(types.structs("twin")).hasSize(2);
    assertThat(types.struct("twin")).as("two that differ").isEmpty();
    assertThat(types.struct("twin", "two").orElseThrow().size()).isEqualTo(16);
    assertThat(types.structs("declared")).as("only declared").isEmpty();
    assertThat(types.structs("nowhere")).isEmpty();
  }

  @Test
  void debugInformationSplitOffIsFoundByItsLink(@TempDir Path folder) throws Exception {
    Files.write(folder.resolve("vmlinux"), fixture("split"));
    Vmlinux file = Vmlinux.open(folder.resolve("vmlinux"));
    DebugSources sources = DebugSources.DEFAULT.ignoring(DebugSources.Kind.PLACES);
    assertThat(file.types(sources)).isEmpty();

    Files.write(folder.resolve("split.debug"), fixture("split.debug"));

    assertThat(file.types(sources).orElseThrow().struct("slab").orElseThrow().size()).isEqualTo(48);
  }

  @Test
  void debugInformationSplitOffIsFoundByBuildId(@TempDir Path folder) throws Exception {
    Files.write(folder.resolve("vmlinux"), fixture("split"));
    Vmlinux file = Vmlinux.open(folder.resolve("vmlinux"));
    String id = file.identity().buildId();
    assertThat(id).hasSize(40);
    Path root = folder.resolve("debug");
    Path debug =
        root.resolve(".build-id").resolve(id.substring(0, 2)).resolve(id.substring(2) + ".debug");
    Files.createDirectories(debug.getParent());
    Files.write(debug, fixture("split.debug"));

    Optional<Types> types = file.types(DebugSources.DEFAULT.withDirectories(List.of(root)));

    assertThat(types.orElseThrow().struct("slab").orElseThrow().size()).isEqualTo(48);
  }

  @Test
  void debugInformationOfAnotherBuildIsNotTakenByItsName(@TempDir Path folder) throws Exception {
    Files.write(folder.resolve("vmlinux"), fixture("split"));
    Files.write(folder.resolve("split.debug"), fixture("dwarf4"));

    assertThat(
            Vmlinux.open(folder.resolve("vmlinux"))
                .types(DebugSources.DEFAULT.ignoring(DebugSources.Kind.PLACES)))
        .isEmpty();
  }

  @Test
  void symbolTableGivesNamesAddressesAndLetters() throws Exception {
    Symbols symbols =
        SymbolTable.read(
                new ElfSections(
                    ElfFile.open(
                        new FileBytes("vmlinux", MemorySegment.ofArray(fixture("dwarf5"))))))
            .orElseThrow();

    assertThat(symbols.all("_start").getFirst().type()).isEqualTo('T');
    assertThat(symbols.all("slab").getFirst().type()).isEqualTo('B');
    assertThat(symbols.address("slub.c")).as("a file, no symbol").isEmpty();
    long start = symbols.address("_start").orElseThrow();
    assertThat(symbols.shifted(0x1000, 0).address("_start")).hasValue(start + 0x1000);
    assertThat(symbols.shifted(0x1000, -1).address("_start")).hasValue(start);
  }

  @Test
  void unitsThatOverrunTheSectionAreNamed() throws Exception {
    byte[] file = fixture("dwarf5");
    ElfSections sections =
        new ElfSections(ElfFile.open(new FileBytes("vmlinux", MemorySegment.ofArray(file))));
    int at = (int) sections.section(".debug_info").orElseThrow().offset();
    file[at + 2] = 0x7f;

    assertThatThrownBy(() -> types(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("[vmlinux] .debug_info.unit_length at 0x" + Integer.toHexString(at));
  }

  /// Found by `scripts/fuzz`.
  @Test
  void aUnitWithoutAnEntryHasNoName() throws Exception {
    byte[] file = fixture("dwarf4");
    ElfSections sections =
        new ElfSections(ElfFile.open(new FileBytes("vmlinux", MemorySegment.ofArray(file))));
    // The abbreviation code of the first unit's first entry: 0 is no entry.
    file[(int) sections.section(".debug_info").orElseThrow().offset() + 11] = 0;

    assertThat(types(file).structs("slab")).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"dwarf2", "dwarf5", "dwarf5-types", "dwarf5-zlib", "dwarf5-zstd", "clang5"})
  void filesWithBytesFlippedAreReadOrRefused(String name) throws Exception {
    byte[] whole = fixture(name);
    Random random = new Random(name.hashCode());
    for (int round = 0; round < 400; round++) {
      byte[] file =
          round % 4 == 0 ? Arrays.copyOf(whole, random.nextInt(whole.length)) : whole.clone();
      for (int i = 0; i < 1 + round % 3 && file.length > 0; i++) {
        file[random.nextInt(file.length)] ^= (byte) (1 << random.nextInt(8));
      }
      try {
        DwarfTypes types = types(file);
        for (String struct : new String[] {"slab", "kmem_cache", "twin", "nowhere"}) {
          for (StructLayout layout : types.structs(struct)) {
            layout.member("fc.counters");
            layout.member("lists.next");
          }
        }
        types.enumerator("", "PLUS");
        types.typedefSize("atomic_long_t");
      } catch (IOException expected) {
        assertThat(expected.getMessage()).isNotEmpty();
      }
    }
  }

  /// `VMCHECK_VMLINUX` names the debug vmlinux of the kernel whose layouts are in the table.
  @Test
  void realVmlinuxAgreesWithTheTable() throws Exception {
    String file = System.getenv("VMCHECK_VMLINUX");
    Path table = RealDumps.shared("layouts/6.1.192-debian-cloud.tsv");
    assumeTrue(file != null && Files.exists(table));
    DwarfTypes types = DwarfTypes.open(Vmlinux.open(Path.of(file)).sections());

    RealDumps.assertAgrees(types, LayoutTable.read(table));
    assertThat(types.problems()).isEmpty();
  }
}
