package org.vmcheck.cli;

import java.io.PrintWriter;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.finding.SlabUsage;
import org.vmcheck.io.Printable;
import org.vmcheck.json.SlabListingWriter;
import org.vmcheck.json.SlabUsageWriter;
import org.vmcheck.report.Csv;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The caches and their use.
@Command(
    name = "slabs",
    description = "List the slab caches: the columns and numbers of crash's kmem -s.",
    mixinStandardHelpOptions = true)
final class SlabsCommand implements Callable<Integer> {
  /// Forms of the table.
  enum Format {
    TEXT,
    CSV,
    JSON
  }

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;

  @Parameters(
      index = "1",
      paramLabel = "CACHE",
      arity = "0..1",
      description = "Only the cache of this name.")
  private String cache;

  @Option(
      names = "--format",
      paramLabel = "text|csv|json",
      description = "Form of the table (default: text).")
  private Format format = Format.TEXT;

  @Option(names = "--unmask", description = DumpOptions.UNMASK)
  private boolean unmask;

  @Option(
      names = "--objects",
      description = "With CACHE: list every object of every slab, in any --format.")
  private boolean objects;

  /// Columns that the table can be sorted by, the largest first.
  enum Sort {
    MEMORY,
    ALLOCATED,
    TOTAL,
    /// Memory of objects that nobody holds.
    WASTED,
    OBJSIZE,
    SLABS,
    NAME;

    Comparator<SlabUsage> order() {
      return switch (this) {
        case MEMORY -> Comparator.comparingLong(SlabsCommand::bytes).reversed();
        case ALLOCATED -> Comparator.comparingLong(SlabUsage::allocated).reversed();
        case TOTAL -> Comparator.comparingLong(SlabUsage::total).reversed();
        case WASTED -> Comparator.comparingLong(SlabsCommand::wasted).reversed();
        case OBJSIZE -> Comparator.comparingLong(SlabUsage::objectSize).reversed();
        case SLABS -> Comparator.comparingLong(SlabUsage::slabs).reversed();
        case NAME -> Comparator.comparing(SlabUsage::name);
      };
    }
  }

  @Option(
      names = "--sort",
      paramLabel = "memory|allocated|total|wasted|objsize|slabs|name",
      description =
          "Sort by this column, the largest first; memory is slabs times their size, wasted what"
              + " of it no object in use takes (default: the kernel's order; memory with --top).")
  private Sort sort;

  @Option(
      names = "--top",
      paramLabel = "N",
      description = "Only the first N caches; the totals count all.")
  private int top = Integer.MAX_VALUE;

  @Override
  public Integer call() throws Exception {
    if (top < 1) {
      throw new Failures.UsageException("--top: expected 1 or more, got " + top);
    }
    if (objects && cache == null) {
      throw new Failures.UsageException("--objects needs the name of a CACHE");
    }
    try (Analyzer analyzer = dump.open()) {
      if (unmask) {
        DumpOptions.unmask(spec, analyzer);
      }
      List<SlabUsage> rows = analyzer.slabUsage();
      if (cache != null) {
        rows = rows.stream().filter(row -> row.name().equals(cache)).toList();
        if (rows.isEmpty()) {
          throw new Failures.UsageException("no cache is called " + cache);
        }
      }
      List<SlabUsage> all = rows;
      Sort by = sort == null && top < Integer.MAX_VALUE ? Sort.MEMORY : sort;
      if (by != null) {
        rows = rows.stream().sorted(by.order()).toList();
      }
      rows = rows.subList(0, Math.min(top, rows.size()));
      List<String> spoiled = analyzer.spoiledCaches();
      if (!spoiled.isEmpty()) {
        spec.commandLine()
            .getErr()
            .println(
                "vmcheck: slabs of "
                    + Printable.of(String.join(", ", spoiled))
                    + " lie on pages that are not as the kernel left them: their numbers are not"
                    + " right (see 'vmcheck check'; --unmask reads what can be recovered)");
      }
      long missing = analyzer.missingDescriptors();
      if (missing > 0) {
        spec.commandLine()
            .getErr()
            .println(
                "vmcheck: the descriptors of %,d page frames are not in the dump: slabs there are not counted"
                    .formatted(missing));
      }
      PrintWriter out = spec.commandLine().getOut();
      switch (format) {
        case TEXT -> {
          out.print(text(rows));
          if (sort != null || top < Integer.MAX_VALUE) {
            out.print(totals(all, rows.size()));
          }
          if (cache != null) {
            out.print("\nSLAB              MEMORY            TOTAL  INUSE  PLACE\n");
            analyzer.slabs(cache, objects, slab -> out.print(listing(slab)));
          }
        }
        case CSV -> {
          if (objects) {
            out.print("slab,memory,place,index,object,state,list\r\n");
            analyzer.slabs(cache, true, slab -> out.print(objectsCsv(slab)));
          } else {
            out.print(csv(rows));
          }
        }
        case JSON -> {
          if (objects) {
            try (SlabListingWriter json = new SlabListingWriter(out)) {
              analyzer.slabs(cache, true, json::write);
            }
          } else {
            out.print(SlabUsageWriter.write(rows));
          }
        }
      }
      out.flush();
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  private static long bytes(SlabUsage row) {
    return row.slabs() * row.slabBytes();
  }

  private static long wasted(SlabUsage row) {
    return bytes(row) - row.allocated() * row.objectSize();
  }

  private static String totals(List<SlabUsage> all, int shown) {
    long memory = all.stream().mapToLong(SlabsCommand::bytes).sum();
    return "%s%,d of %s in use, %s, %,d KiB, of these %,d KiB not in use%n"
        .formatted(
            all.size() == 1 ? "" : "%,d of %,d caches; all of them: ".formatted(shown, all.size()),
            all.stream().mapToLong(SlabUsage::allocated).sum(),
            Counted.of(all.stream().mapToLong(SlabUsage::total).sum(), "objects"),
            Counted.of(all.stream().mapToLong(SlabUsage::slabs).sum(), "slabs"),
            memory >> 10,
            all.stream().mapToLong(SlabsCommand::wasted).sum() >> 10);
  }

  private static String text(List<SlabUsage> rows) {
    StringBuilder out = new StringBuilder();
    out.append("CACHE             OBJSIZE  ALLOCATED     TOTAL  SLABS  SSIZE  NAME\n");
    for (SlabUsage row : rows) {
      out.append(
          "%016x %8d %10d %9d %6d %6s %s%n"
              .formatted(
                  row.cache(),
                  row.objectSize(),
                  row.allocated(),
                  row.total(),
                  row.slabs(),
                  row.slabBytes() / 1024 + "k",
                  " " + Printable.of(row.name())));
    }
    return out.toString();
  }

  /// One line a slab; with `--objects` one line an object.
  private static String listing(SlabListing slab) {
    StringBuilder out = new StringBuilder();
    out.append(
        "%016x  %016x  %5d  %5d  %s%s%n"
            .formatted(
                slab.slab(),
                slab.base(),
                slab.total(),
                slab.inuse(),
                slab.place(),
                (slab.frozen() ? ", frozen" : "")
                    + (slab.caution().isEmpty() ? "" : "; " + slab.caution())));
    for (SlabListing.Slot slot : slab.objects()) {
      out.append("  %5d  %016x  %s%n".formatted(slot.index(), slot.address(), slot.words()));
    }
    return out.toString();
  }

  private static String objectsCsv(SlabListing slab) {
    StringBuilder out = new StringBuilder();
    for (SlabListing.Slot slot : slab.objects()) {
      out.append(
          "0x%x,0x%x,%s,%d,0x%x,%s,%s\r\n"
              .formatted(
                  slab.slab(),
                  slab.base(),
                  Csv.cell(slab.place()),
                  slot.index(),
                  slot.address(),
                  slot.state().word(),
                  Csv.cell(slot.list())));
    }
    return out.toString();
  }

  private static String csv(List<SlabUsage> rows) {
    StringBuilder out = new StringBuilder("cache,objsize,allocated,total,slabs,ssize,name\r\n");
    for (SlabUsage row : rows) {
      out.append(
          "0x%x,%d,%d,%d,%d,%d,%s\r\n"
              .formatted(
                  row.cache(),
                  row.objectSize(),
                  row.allocated(),
                  row.total(),
                  row.slabs(),
                  row.slabBytes(),
                  Csv.cell(Printable.of(row.name()))));
    }
    return out.toString();
  }
}
