package org.vmcheck.testing;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;

/// Reports built in code: one of every kind of outcome, evidence and verdict, with text as hostile
/// as a dump can make it.
public final class SampleReports {
  /// Markup, quotes, terminal control, a line break, a spreadsheet formula, and no ASCII.
  public static final String HOSTILE =
      "=cmd|'/c calc'!A1 </script><img src=x onerror=alert(1)>\"'&\n\u001b[2J\u202e\u00e9\u0000,;";

  private SampleReports() {}

  public static DumpReport damaged() {
    return damaged("/var/crash/127.0.0.1-2026-11-22-10:00:00/vmcore");
  }

  /// A kernel damaged, with every kind of evidence and every kind of outcome.
  public static DumpReport damaged(String path) {
    List<Evidence> evidence =
        List.of(
            new Evidence.WordAt(
                0xffff888000001040L, 0x1040, 0x4141414141414141L, 0x1234, "a word: " + HOSTILE),
            new Evidence.ChainBroken(
                "kmem_cache_cpu.freelist", 0xffff888000001000L, 0x4141414141414141L, 3, "a chain"),
            new Evidence.BytesAt(
                0xffff888000001000L, 0x1000, "41424300ff3c2f7363726970743e7f20aa55", 4, 8, "bytes"),
            new Evidence.LoggedBytes(
                Evidence.UNKNOWN, Evidence.UNKNOWN, "6b6b4b6b", 2, 3, 0x6b, "logged: " + HOSTILE),
            new Evidence.Run(0xffff_8880_0000_1000L, 0x1000, 12, "41", "a run of 12 bytes (0x41)"),
            new Evidence.SlabPicture(
                0xffff888000001000L, 256, "..oo.c.o..o.....", List.of(3, 7, 2), 2, -1, "a slab"),
            new Evidence.CountMismatch("slab.inuse", 3, 5, "counts differ"),
            new Evidence.PageLooksLike(1, "random", "the page looks random"),
            new Evidence.WhatIf("the other decoder", "it is worse"),
            new Evidence.LogLineSays(12345, HOSTILE, "the log says so"));
    Finding finding =
        new Finding(
            "slab.freelist",
            Layer.KERNEL,
            Severity.CORRUPT,
            Cause.USE_AFTER_FREE_WRITE,
            "a free object of cache " + HOSTILE + " was written to",
            Subject.cache("kmalloc-64")
                .withSlab(0xffffea0000000040L)
                .withObject(0xffff888000001000L)
                .withAddress(0xffff888000001040L, 0x1040)
                .withWord(0x4141414141414141L, Evidence.UNKNOWN),
            evidence,
            List.of(new Evidence.WhatIf("nothing", "against: " + HOSTILE)),
            "slab.freelist/use-after-free-write/kmalloc-64");
    Coverage coverage =
        new Coverage(
            Map.of("slabs", 10L, "objects", 1000L), Map.of("excluded", 2L), List.of("a gap"));
    Coverage searched = new Coverage(Map.of("caches", 10L), Map.of(), List.of());
    List<CheckOutcome> checks =
        List.of(
            new CheckOutcome.Ran(
                "slab.freelist",
                "1 freelist is broken",
                Map.of("slabs", "10", HOSTILE, HOSTILE),
                List.of(finding),
                List.of(new Note("topic", HOSTILE)),
                coverage),
            new CheckOutcome.NothingToLookAt(
                "slab.poison",
                "no debug cache: " + HOSTILE,
                Map.of("caches", "10", HOSTILE, HOSTILE),
                List.of(new Note("topic", HOSTILE)),
                searched),
            new CheckOutcome.Skipped("lowmem.backup", List.of("no backup region", HOSTILE)),
            new CheckOutcome.Failed("log.witness", "broke: " + HOSTILE));
    return new DumpReport(
        "vmcheck 0.1.0",
        dump(path),
        Optional.of(
            kernel("6.1.192", HOSTILE)
                .withContents(
                    Optional.of(List.of("ext4", HOSTILE)),
                    Optional.of(List.of(new CacheUse("dentry" + HOSTILE, 192, 10, 21, true))))),
        List.of(
            new KernelEntry(1, true, false, "6.1.192", 0x2000000, HOSTILE, "VMCOREINFO", ""),
            new KernelEntry(
                2, false, true, HOSTILE, 0x9000000, "elfcorehdr=0x1", HOSTILE, HOSTILE)),
        checks,
        new Verdict.KernelDamaged(
            "the kernel's memory is corrupt", List.of(HOSTILE), coverage.plus(searched)),
        1.5,
        Optional.empty(),
        Optional.of(origin()));
  }

  private static Origin origin() {
    return new Origin(
        Origin.Side.HARDWARE,
        2,
        List.of(new Origin.Flip(0, "slab.freelist", HOSTILE, 64, 0x1045, 3, true)),
        new Origin.Signs(1, 2, 3, 0, 1, Set.of(1L, 0x8000L), 12, true, false),
        List.of(new Origin.Claim("same page", "1 page: " + HOSTILE, 1, 2, 0.25, true)),
        List.of("a memory test: " + HOSTILE));
  }

  public static DumpReport intact(String path) {
    Coverage coverage = new Coverage(Map.of("slabs", 10L), Map.of(), List.of());
    return new DumpReport(
        "vmcheck 0.1.0",
        dump(path),
        Optional.of(kernel("6.1.192", "Kernel panic - not syncing: sysrq triggered crash")),
        List.of(
            new CheckOutcome.Ran(
                "slab.freelist", "all end", Map.of(), List.of(), List.of(), coverage)),
        new Verdict.Intact("no damage found", List.of(), coverage),
        0.25);
  }

  /// No kernel was found in it.
  public static DumpReport undetermined(String path) {
    return new DumpReport(
        "vmcheck 0.1.0",
        dump(path),
        Optional.empty(),
        List.of(new CheckOutcome.Skipped("slab.freelist", List.of("no kernel"))),
        new Verdict.Undetermined("not enough to say", List.of("no kernel"), Coverage.NONE),
        0.1);
  }

  private static DumpFacts dump(String path) {
    return new DumpFacts(
        path,
        1 << 20,
        "kdump-compressed",
        6,
        false,
        List.of("lzo"),
        31,
        new DumpFacts.PageTotals(1000, 200, 800, 0, 0),
        true);
  }

  /// A kernel that ended, or did not end, like that.
  public static KernelFacts kernel(KernelFacts.PanicFacts panic) {
    return kernel("6.1.192", panic);
  }

  private static KernelFacts kernel(String release, String panic) {
    return kernel(release, new KernelFacts.PanicFacts(panic, 1, 1_790_000_000, List.of()));
  }

  private static KernelFacts kernel(String release, KernelFacts.PanicFacts panic) {
    return new KernelFacts(
        release,
        "#1 SMP",
        "x86_64",
        "web7",
        "0123abcd",
        "root=/dev/sda1 crashkernel=256M",
        "",
        2,
        512L << 20,
        0x1000000,
        0x2000000,
        4,
        0,
        "kallsyms",
        100000,
        "btf",
        "SLUB",
        "struct slab",
        "hardened",
        panic);
  }
}
