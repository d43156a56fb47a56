package org.vmcheck.check;

import java.util.List;
import org.vmcheck.finding.Cause;

/// Programs and versions that are known to write bad dumps, or to misread good ones. Gathered from
/// the change logs of makedumpfile, kexec-tools and the kernel; each row says how such a dump is
/// recognised and what cures it.
public final class KnownDumpers {
  /// One fault of a dumper.
  ///
  /// @param name in a few words
  /// @param cause what this project calls its effect
  /// @param recognisedBy what tells it from the dump alone
  /// @param affected versions that have it
  /// @param cure version or option that has not
  /// @param reference commit, report or review
  /// @param dated month in which this row was last looked at
  public record KnownDumper(
      String name,
      Cause cause,
      String recognisedBy,
      String affected,
      String cure,
      String reference,
      String dated) {}

  private static final String DATED = "2026-11";

  private static final List<KnownDumper> ALL =
      List.of(
          new KnownDumper(
              "SME: purgatory copies the low 640 KiB without decrypting it",
              Cause.SME_CIPHERTEXT,
              "only page frames below 0xa0 are bad, caches of ZONE_DMA are the victims, the log"
                  + " says that SME is active and does not say \"Reserving the low 1M of memory"
                  + " for crashkernel\"",
              "Linux with SME kdump (4.20) up to the reservation of the low 1 MiB (5.5);"
                  + " distributions moved both ends",
              "a kernel that reserves the low 1 MiB, or mem_encrypt=off",
              "Linux 6f599d84231f; kernel bugzilla 204793",
              DATED),
          new KnownDumper(
              "makedumpfile --num-threads: threads race for a page buffer",
              Cause.PAGE_UNDECODABLE,
              "pages that do not decompress, or that hold another page's data",
              "makedumpfile before 1.7.8 with --num-threads; kdump-utils passes it on its own"
                  + " since 2024-11",
              "makedumpfile 1.7.8, or one thread",
              "makedumpfile 65bf4c9 (issue 15), ae848e8",
              DATED),
          new KnownDumper(
              "makedumpfile takes slab pages for user or free pages",
              Cause.DUMPER_EXCLUDED_SLAB,
              "page descriptors of slabs whose pages are marked as left out",
              "kernel 6.2 with makedumpfile without 5f17bdd, 6.10 before 1.7.6, 6.12 before"
                  + " 1.7.7",
              "a makedumpfile of the kernel's age, or -d 23",
              "makedumpfile 5f17bdd, bad2a7c, 72c3414, f50c015",
              DATED),
          new KnownDumper(
              "makedumpfile looks for compound_head where the kernel says compound_info",
              Cause.DUMPER_EXCLUDED_SLAB,
              "VMCOREINFO has OFFSET(page.compound_info); the slab pages left out are tails, at a"
                  + " level with bit 8 or 16",
              "kernel 7.1 and later with makedumpfile up to 1.7.9: 1,099 slab pages of a 7.2 by"
                  + " 1.7.2, 1,115 by 1.7.8",
              "a makedumpfile of the kernel's age, or -d 7",
              "Linux 7.1, kernel/vmcore_info.c",
              DATED),
          new KnownDumper(
              "makedumpfile takes pages of the kernel for user or free pages",
              Cause.DUMPER_EXCLUDED_KERNEL,
              "page tables, stacks, per-CPU areas or the like are marked as left out, and are tails"
                  + " of compound pages of a kernel that says compound_info",
              "kernel 7.1 and later with makedumpfile up to 1.7.9",
              "a makedumpfile of the kernel's age, or -d 7",
              "makedumpfile issues 14, 16, 21; crash issues 81, 147; drgn issue 421",
              DATED),
          new KnownDumper(
              "makedumpfile does not know huge pages",
              Cause.PAGE_EXCLUDED,
              "pages missing near huge pages",
              "kernel 6.9 with makedumpfile without 985e575",
              "a makedumpfile of the kernel's age",
              "makedumpfile 985e575",
              DATED),
          new KnownDumper(
              "makedumpfile loses the last, partial page of a memory range",
              Cause.PAGE_EXCLUDED,
              "the missing page is the last of a range of memory",
              "makedumpfile, several releases; unaccepted memory of confidential guests is read as"
                  + " data on kernel 6.16",
              "a newer makedumpfile",
              "makedumpfile f2c5f76, c1a9301",
              DATED),
          new KnownDumper(
              "sadump: backup of the low 640 KiB above 4 GiB",
              Cause.LOW_MEMORY_OVERWRITTEN,
              "a sadump header",
              "makedumpfile before the fix",
              "a newer makedumpfile",
              "makedumpfile d015e6d",
              DATED),
          new KnownDumper(
              "makedumpfile refuses arm64 kernels that are configured for 52 bits of addresses",
              Cause.DUMP_TRUNCATED,
              "no dump, an empty one, or a plain ELF copy of /proc/vmcore in its place; the"
                  + " capture kernel's console has \"PAGE SIZE 0x1000 and VA Bits 52 not"
                  + " supported\"",
              "makedumpfile up to 1.7.8 and kernels with CONFIG_ARM64_VA_BITS_52 and pages of 4"
                  + " or 16 KiB (Debian's 6.12 and later), on every CPU; with b7587f1 only on"
                  + " CPUs with LPA2, whose page tables it misreads",
              "cp /proc/vmcore, as vmcheck reads",
              "makedumpfile issue 18, b7587f1",
              DATED),
          new KnownDumper(
              "kexec-tools cannot find an arm64 kernel that names functions only",
              Cause.DUMP_TRUNCATED,
              "the first segment of the ELF copy lies where no memory is; kexec said \"Can't get"
                  + " the symbol of _text to calculate page_offset\"",
              "kexec-tools up to 2.0.29 and kernels without CONFIG_KALLSYMS_ALL (Debian's 6.1 for"
                  + " arm64)",
              "a kernel with CONFIG_KALLSYMS_ALL",
              "kexec-tools, arch/arm64",
              DATED),
          new KnownDumper(
              "the dump was cut short: no space, network, time-out",
              Cause.DUMP_TRUNCATED,
              "the incomplete flag, a name with \"-incomplete\", descriptors beyond the end of the"
                  + " file, no end marker in a flattened stream",
              "any",
              "room in the target; copy again",
              "lxcfs issue 644",
              DATED),
          new KnownDumper(
              "the hypervisor made or lost VMCOREINFO",
              Cause.WRONG_DEBUGINFO,
              "the note in the file disagrees with the one in memory, or is not there",
              "hypervisor dumps without -device vmcoreinfo; some clouds",
              "-device vmcoreinfo; vmcheck looks for the note in memory",
              "drgn issue 350",
              DATED),
          new KnownDumper(
              "QEMU reads NUMBER(phys_base) as hexadecimal",
              Cause.WRONG_DEBUGINFO,
              "phys_base of the kdump sub header differs from VMCOREINFO's",
              "QEMU, all formats kdump-*, at least up to 7.2",
              "readers that take phys_base from VMCOREINFO, as vmcheck does",
              "QEMU dump/dump.c",
              DATED),
          new KnownDumper(
              "the memory was copied while CPUs ran",
              Cause.TORN_SNAPSHOT,
              "no panic, CPUs not stopped",
              "virsh dump --live, dump-guest-memory of a running guest",
              "pause the guest first, or use kdump",
              "drgn-tools review 22",
              DATED),
          new KnownDumper(
              "code that runs after the panic (NMI handlers, kmsg dumpers, IPMI) writes on",
              Cause.TORN_SNAPSHOT,
              "only per-CPU lists of stopped CPUs are hit, in the middle of an update",
              "any",
              "none; the lists of the other CPUs are as they were",
              "inferred from the order of panic()",
              DATED),
          new KnownDumper(
              "not the dump but its reader: free pointers decoded by the kernel's version",
              Cause.WRONG_DEBUGINFO,
              "the other byte order of the address fits every freelist of the cache",
              "crash before its fix, on kernels that have the byte swap backported (RHEL 8.6, 8.7)",
              "a reader that asks the data, as vmcheck does",
              "crash issue 130",
              DATED),
          new KnownDumper(
              "not the dump but its reader: the allocator's structures changed under it",
              Cause.WRONG_DEBUGINFO,
              "a healthy kernel of 5.17 (struct slab), 6.18 (sheaves) or 7.1 (no CPU slabs)",
              "crash, drgn and drgn-tools older than the kernel",
              "a reader of the kernel's age",
              "crash pull request 117, drgn-tools pull request 215",
              DATED));

  private KnownDumpers() {}

  public static List<KnownDumper> all() {
    return ALL;
  }

  /// The rows behind one cause.
  public static List<KnownDumper> of(Cause cause) {
    return ALL.stream().filter(dumper -> dumper.cause() == cause).toList();
  }
}
