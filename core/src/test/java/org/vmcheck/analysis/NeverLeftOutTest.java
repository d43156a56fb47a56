package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Verdict;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.task.CallStacks;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// Pages that no dump level leaves out: a real dump without all of one role, each role in turn.
final class NeverLeftOutTest {
  /// A use of pages, and where its pages lie in a kernel.
  record Role(String name, Function<Kernel, List<Long>> addresses) {
    @Override
    public String toString() {
      return name;
    }
  }

  static List<Role> roles() {
    return List.of(
        new Role("kernel text", kernel -> range(kernel, "_stext", "_etext")),
        new Role("kernel rodata", kernel -> range(kernel, "__start_rodata", "__end_rodata")),
        new Role("IDT", kernel -> List.of(symbol(kernel, "idt_table"))),
        new Role("GDT", kernel -> perCpu(kernel, symbol(kernel, "gdt_page"), 4096)),
        new Role("syscall table", kernel -> List.of(symbol(kernel, "sys_call_table"))),
        new Role("init_task", kernel -> List.of(symbol(kernel, "init_task"))),
        new Role(
            "per-CPU areas",
            kernel -> {
              long start = symbol(kernel, "__per_cpu_start");
              return perCpu(kernel, start, symbol(kernel, "__per_cpu_end") - start);
            }),
        new Role("page descriptors", NeverLeftOutTest::descriptors),
        new Role("module memory", NeverLeftOutTest::modules),
        new Role("stacks", NeverLeftOutTest::stacks));
  }

  private static DumpCopy copy;
  private static Dump real;
  private static Kernel kernel;

  private static void open() throws Exception {
    if (copy == null) {
      Path path = TestData.named("healthy").dump();
      copy = DumpCopy.of(path);
      real = Dumps.open(path);
      kernel = ((KernelSearch.Found) KernelFinder.find(real)).kernel();
    }
  }

  @ParameterizedTest
  @MethodSource("roles")
  void aRoleWithoutItsPagesIsNamed(Role role, @TempDir Path dir) throws Exception {
    open();
    List<Long> frames =
        role.addresses.apply(kernel).stream()
            .map(vaddr -> kernel.memory().physicalAddress(vaddr))
            .filter(paddr -> paddr >= 0)
            .map(paddr -> paddr >>> 12)
            .distinct()
            .toList();

    Finding finding = finding(checkWithout(frames, dir));

    assertThat(finding.cause()).isEqualTo(Cause.PAGE_EXCLUDED);
    assertThat(finding.claim()).contains(role.name + " (");
    assertThat(finding.evidence())
        .anySatisfy(
            fact ->
                assertThat(fact.sentence())
                    .startsWith(role.name + ": ")
                    .contains("the first at 0x", "excluded"));
  }

  @ParameterizedTest
  @MethodSource("levels")
  void aPageTableIsNamedWithItsLevel(int level, @TempDir Path dir) throws Exception {
    open();
    List<Long> tables = new ArrayList<>();
    tables(kernel.memory().paging().root(), 4, level, tables);
    assertThat(tables).isNotEmpty();

    Finding finding = finding(checkWithout(tables.stream().map(t -> t >>> 12).toList(), dir));

    assertThat(finding.cause()).isEqualTo(Cause.PAGE_EXCLUDED);
    assertThat(finding.claim()).contains("page tables, level " + (level == 4 ? "of" : level));
  }

  static List<Integer> levels() {
    return List.of(1, 2, 3, 4);
  }

  /// Every layout that is known, with CPUs that are offline, nodes and holes: nothing is missing.
  @ParameterizedTest
  @MethodSource("layouts")
  void nothingIsMissingOfAHealthyKernel(Layout layout, @TempDir Path dir) throws Exception {
    for (boolean five : new boolean[] {false, true}) {
      FakeKernel kernel =
          FakeKernel.of(layout)
              .seed(5)
              .cpus(2)
              .offlineCpus(1)
              .nodes(2)
              .cache(FakeCache.named("kmalloc-64", 64).partial(1).full(1));
      FakeImage image = (five ? kernel.fiveLevels() : kernel).build();
      for (Path dump : List.of(image.writeKdump(dir, "kdump"), image.writeElf(dir, "elf"))) {
        DumpReport report = check(dump);
        assertThat(report.findings()).as("%s of %s", dump.getFileName(), layout).isEmpty();
        assertThat(complete(report).coverage().lookedAt())
            .as("%s of %s", dump.getFileName(), layout)
            .hasEntrySatisfying(
                "pages that no level leaves out", pages -> assertThat(pages).isPositive());
      }
    }
  }

  static List<Layout> layouts() {
    List<Layout> all = new ArrayList<>(Layout.ALL);
    all.addAll(Layout.OLD_SLAB);
    return all;
  }

  private static List<Long> range(Kernel kernel, String from, String to) {
    return pages(symbol(kernel, from), symbol(kernel, to));
  }

  private static List<Long> pages(long start, long end) {
    List<Long> pages = new ArrayList<>();
    for (long at = start; at < end; at = (at & -4096) + 4096) {
      pages.add(at);
    }
    return pages;
  }

  private static long symbol(Kernel kernel, String name) {
    return kernel.symbol(name).orElseThrow();
  }

  private static List<Long> perCpu(Kernel kernel, long pointer, long byteCount) {
    List<Long> pages = new ArrayList<>();
    for (int i = 0; i < kernel.perCpu().onlineCpus().size(); i++) {
      long start = kernel.perCpu().address(pointer, i);
      pages.addAll(pages(start, start + byteCount));
    }
    return pages;
  }

  private static List<Long> descriptors(Kernel kernel) {
    List<Long> pages = new ArrayList<>();
    for (long pfn = 0; pfn < MemMap.of(kernel).orElseThrow().endPfn(); pfn += 64) {
      pages.add(MemMap.of(kernel).orElseThrow().descriptor(pfn));
    }
    return pages;
  }

  private static List<Long> modules(Kernel kernel) {
    List<Long> pages = new ArrayList<>();
    for (Modules.Module module : kernel.modules().all()) {
      for (Modules.Range range : module.ranges()) {
        pages.addAll(pages(range.start(), range.start() + range.byteCount()));
      }
    }
    // Without the list itself nothing would name the others.
    long list = kernel.modules().all().getFirst().vaddr();
    pages.removeIf(page -> page >>> 12 == list >>> 12);
    return pages;
  }

  private static List<Long> stacks(Kernel kernel) {
    CallStacks stacks = CallStacks.of(kernel);
    List<Long> pages = new ArrayList<>();
    for (int i = 0; i < kernel.perCpu().onlineCpus().size(); i++) {
      long low = stacks.onCpu(i).orElseThrow().stack();
      pages.addAll(pages(low, low + stacks.stackBytes()));
    }
    // That of the first idle task lies in the image beside others.
    return pages;
  }

  /// Physical addresses of the kernel's tables of one level.
  private static void tables(long table, int level, int wanted, List<Long> found) {
    if (level == wanted) {
      found.add(table);
      return;
    }
    byte[] page = copy.pages().get(table >>> 12);
    for (int i = level == 4 ? 256 : 0; page != null && i < 512; i++) {
      long entry = copy.word(table + i * 8L);
      if ((entry & 1) != 0 && (level == 4 || (entry & 0x80) == 0)) {
        tables(entry & 0xf_ffff_ffff_f000L, level - 1, wanted, found);
      }
    }
  }

  private static DumpReport checkWithout(List<Long> frames, Path dir) throws IOException {
    Map<Long, byte[]> removed = new TreeMap<>();
    for (long frame : frames) {
      byte[] page = copy.pages().remove(frame);
      if (page != null) {
        removed.put(frame, page);
      }
    }
    assertThat(removed).isNotEmpty();
    try {
      return check(copy.write(dir, Packer.ZLIB));
    } finally {
      copy.pages().putAll(removed);
    }
  }

  private static Finding finding(DumpReport report) {
    assertThat(report.verdict()).isInstanceOf(Verdict.DumpDamaged.class);
    return report.findings().stream()
        .filter(found -> found.fingerprint().startsWith("container.complete/excluded-kernel"))
        .findFirst()
        .orElseThrow();
  }

  private static CheckOutcome.Ran complete(DumpReport report) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals("container.complete"))
        .map(CheckOutcome.Ran.class::cast)
        .findFirst()
        .orElseThrow();
  }

  private static DumpReport check(Path dump) throws IOException {
    AnalysisOptions defaults = AnalysisOptions.DEFAULT;
    AnalysisOptions options =
        new AnalysisOptions(
            List.of("container.complete"),
            false,
            Optional.empty(),
            1,
            defaults.debug(),
            defaults.spool());
    try (Analyzer analyzer = Analyzer.open(dump, options)) {
      return analyzer.check("test");
    }
  }
}
