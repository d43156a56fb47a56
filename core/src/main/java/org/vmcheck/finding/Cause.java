package org.vmcheck.finding;

import java.util.Optional;

/// What a finding is put down to: the closed list of answers.
public enum Cause {
  SME_CIPHERTEXT(
      "sme-ciphertext",
      Kind.ARTEFACT,
      "Where a machine encrypts its memory (AMD SME), kdump copied the low 640 KiB to the backup"
          + " region as it stood in memory, encrypted for its old address, and it was then"
          + " decrypted for the new one: the dump holds those pages as ciphertext or under a mask."
          + " That came after the crashed kernel had stopped, ends where the copied range ends, and"
          + " says nothing against the kernel.",
      "Do not hunt a kernel bug from these pages. For the next crash use a kernel with Linux"
          + " 6f599d84231f \"x86/kdump: Always reserve the low 1M when the crashkernel option is"
          + " specified\" (mainline 5.5 and later; distributions backported it) and confirm with"
          + " lowmem.reserved that it is in force, or boot with mem_encrypt=off.",
      "Linux commit 6f599d84231f; kernel bugzilla 204793"),
  ENCRYPTED_MEMORY(
      "encrypted-memory",
      Kind.ARTEFACT,
      "The whole dump holds encrypted memory: a confidential guest dumped from its host, or a"
          + " capture kernel that ran without the memory encryption of the crashed one.",
      "Dump a confidential guest from inside (kdump), and give the capture kernel the same"
          + " mem_encrypt= setting as the crashed kernel.",
      "Linux Documentation/arch/x86/amd-memory-encryption.rst"),
  LOW_MEMORY_OVERWRITTEN(
      "low-memory-overwritten",
      Kind.ARTEFACT,
      "The capture kernel used the low 1 MiB before it was saved: the pages there hold its own"
          + " real-mode trampoline or firmware data, not the crashed kernel's.",
      "Use a kernel that reserves the low 1 MiB for the crash kernel, or one that makes a backup"
          + " copy.",
      "Linux commits 7c321eb2b843, 6f599d84231f"),
  PAGE_EXCLUDED(
      "page-excluded",
      Kind.ARTEFACT,
      "A page that the kernel's structures refer to was left out when the dump was written.",
      "Collect a dump with a lower dump level (makedumpfile -d 1, or -d 17).",
      "makedumpfile(8), -d"),
  DUMPER_EXCLUDED_SLAB(
      "dumper-excluded-slab",
      Kind.ARTEFACT,
      "Slab pages are missing although the dump level keeps them: the dumper was older than the"
          + " kernel and misread its page types.",
      "Update makedumpfile in the capture environment and collect again.",
      "makedumpfile commits 5f17bdd, bad2a7c, 72c3414, f50c015"),
  DUMPER_EXCLUDED_KERNEL(
      "dumper-excluded-kernel",
      Kind.ARTEFACT,
      "Pages of the kernel itself are missing, which no dump level leaves out: the dumper was older"
          + " than the kernel and took them for pages of another kind.",
      "Update makedumpfile in the capture environment and collect again, or use dump level 1.",
      "makedumpfile issues 14, 16, 21; crash issues 81, 147; drgn issue 421"),
  ERASED_BY_FILTER(
      "erased-by-filter",
      Kind.ARTEFACT,
      "The bytes were overwritten on purpose by makedumpfile's --config filter; the dump says so in"
          + " its ERASEINFO note.",
      "Ask for a dump without the filter if these objects matter.",
      "makedumpfile.conf(5)"),
  DUMP_TRUNCATED(
      "dump-truncated",
      Kind.ARTEFACT,
      "The file ends before the pages that its tables promise: the copy was interrupted, or the"
          + " disk was full.",
      "Fetch the file again and compare sizes; look for vmcore-incomplete and for space in the"
          + " target.",
      "makedumpfile header status flag DUMP_DH_COMPRESSED_INCOMPLETE"),
  PAGE_UNDECODABLE(
      "page-undecodable",
      Kind.ARTEFACT,
      "A stored page does not decompress to a whole page: the file is damaged there, or its writer"
          + " raced with itself.",
      "Compare checksums with the source; if makedumpfile ran with --num-threads before 1.7.8,"
          + " collect again with one thread.",
      "makedumpfile commit 65bf4c9"),
  WRONG_DEBUGINFO(
      "wrong-debuginfo",
      Kind.ARTEFACT,
      "The symbols or types in use are not those of the kernel that was dumped, so its structures"
          + " are read at wrong offsets.",
      "Give the vmlinux whose build-id equals the dump's.",
      "VMCOREINFO BUILD-ID"),
  TORN_SNAPSHOT(
      "torn-snapshot",
      Kind.ARTEFACT,
      "The memory was copied while the kernel ran: parts of the dump are from different moments.",
      "Pause the guest before dumping (virsh dump without --live), or use kdump.",
      "QEMU dump-guest-memory"),

  DOUBLE_FREE(
      "double-free",
      Kind.REAL,
      "An object was freed while it was free already; where the kernel did not stop that, its"
          + " freelist runs in a circle.",
      "Find both frees of this object: boot with slub_debug=FU for this cache, or use KASAN.",
      "mm/slub.c, object_err \"Object already free\""),
  FREELIST_CROSSLINKED(
      "freelist-crosslinked",
      Kind.REAL,
      "A freelist leads into objects that belong elsewhere: another slab, another cache, or a"
          + " second list.",
      "Look for a free through the wrong cache and for stale pointers kept over a free.",
      "mm/slub.c"),
  USE_AFTER_FREE_WRITE(
      "use-after-free-write",
      Kind.REAL,
      "Someone wrote into an object after it was freed and overwrote its free pointer.",
      "The bytes written tell the writer's type: compare them with the structures of this cache's"
          + " users; boot with slub_debug=FPU or KASAN.",
      "mm/slub.c, object_err \"Freechain corrupt\""),
  OVERFLOW_FROM_NEIGHBOUR(
      "overflow-from-neighbour",
      Kind.REAL,
      "A write ran past the end of the object before it and went on into this one.",
      "Look at the owner of the neighbouring object; boot with slub_debug=FZ.",
      "mm/slub.c"),
  BIT_FLIP(
      "bit-flip",
      Kind.REAL,
      "One bit differs from the only value that makes the structure right again. Repeated in the"
          + " same bit or row it points to a memory module.",
      "Check EDAC and machine-check logs, run a memory test on the printed physical address.",
      "Documentation/admin-guide/ras.rst"),
  OBJECT_ZEROED(
      "object-zeroed",
      Kind.REAL,
      "A free object, its free pointer included, was set to zero by someone who no longer owned"
          + " it.",
      "Look for a memset or a zeroing initialiser that runs after the free.",
      "mm/slub.c"),
  PAGE_WIPED(
      "page-wiped",
      Kind.REAL,
      "A whole page of a slab holds one value: it was cleared or reused as a page while the slab"
          + " still owned it.",
      "Look for a page freed twice, and for direct-map or DMA writes to this physical page.",
      "mm/slub.c"),
  REDZONE_OVERWRITTEN(
      "redzone-overwritten",
      Kind.REAL,
      "The guard bytes around an object are damaged: a write went past its end or before its"
          + " start.",
      "The object's owner wrote out of bounds; the tracking data names who allocated it.",
      "mm/slub.c, check_bytes_and_report \"Right Redzone\""),
  POISON_OVERWRITTEN(
      "poison-overwritten",
      Kind.REAL,
      "A pattern was changed that the allocator's debugging puts where nobody may write: over a"
          + " free object, which was then written to after it was freed, or into the padding behind"
          + " an object or a slab, which a write past an object's end reaches.",
      "Of a free object, see in the tracking data who freed it; of padding, see who allocated the"
          + " object before it.",
      "mm/slub.c, check_object \"Poison\", check_pad_bytes, slab_pad_check"),
  TRACKING_OVERWRITTEN(
      "tracking-overwritten",
      Kind.REAL,
      "The record of who allocated and freed an object is not one that the kernel could have"
          + " written.",
      "Look for an overflow of more than the red zone.",
      "mm/slub.c, struct track"),
  COUNTER_MISMATCH(
      "counter-mismatch",
      Kind.REAL,
      "A counter of a slab, node or cache disagrees with what it counts.",
      "Compare with the freelist findings of the same slab; alone it points to damaged page"
          + " descriptors.",
      "mm/slub.c, validate_slab"),
  LIST_BROKEN(
      "list-broken",
      Kind.REAL,
      "The links of a kernel list do not agree with each other.",
      "Compare the bad link with the list poison values and with bit flips of its neighbour's"
          + " address.",
      "lib/list_debug.c"),
  METADATA_OVERWRITTEN(
      "metadata-overwritten",
      Kind.REAL,
      "A structure of the kernel (of the slab allocator, a page's descriptor, an allocated object)"
          + " holds values that it can never have.",
      "Treat the structure as the victim: see what lies before it.",
      "mm/slub.c"),
  STACK_OVERRUN(
      "stack-overrun",
      Kind.REAL,
      "A kernel stack was written past its end, or a function wrote past its own variables on it:"
          + " the guard words of the stack are not what the kernel put there.",
      "Look at the function that the report names and at what it calls: large variables, deep"
          + " recursion, a copy without a bound. What lies behind the stack may be damaged too.",
      "kernel/panic.c, __stack_chk_fail; kernel/sched/core.c, schedule_debug"),
  TEXT_MODIFIED(
      "text-modified",
      Kind.REAL,
      "The kernel's own code, or data that it never writes, is not what its file holds, and it is"
          + " no place that the kernel patches itself. One bit that differs is hardware's most"
          + " likely: nothing can write there through the kernel's own mapping.",
      "Compare the bytes with a second dump of the same build. A jump to a module is a hook: see"
          + " whose. A single bit: check EDAC and machine-check logs, run a memory test on the"
          + " printed physical address.",
      "arch/x86/kernel/alternative.c; include/linux/jump_label.h, static_call.h, ftrace.h"),
  REPORTED_BY_KERNEL(
      "reported-by-kernel",
      Kind.REAL,
      "The kernel itself noticed and said so in its log: memory that is wrong, or a use of memory"
          + " that it stopped. Its own records prove it, whatever is left of it in the dump.",
      "Read the report in the log (vmcheck dmesg) with its call trace: it names the function that"
          + " was caught. For more boot with slub_debug=FZPU for the cache that it names, or use"
          + " KASAN.",
      "mm/slub.c, mm/usercopy.c, lib/refcount.c, lib/string_helpers.c, mm/kasan, mm/kfence"),
  UNKNOWN(
      "unknown",
      Kind.REAL,
      "The bytes are wrong and fit none of the known shapes.",
      "Collect a second dump of the same crash and compare.",
      "");

  /// Whose fault a cause is.
  public enum Kind {
    /// The dump's: the kernel's memory was most likely fine.
    ARTEFACT,
    /// The kernel's or the machine's.
    REAL
  }

  private final String id;
  private final Kind kind;
  private final String explanation;
  private final String whatToDo;
  private final String reference;

  Cause(String id, Kind kind, String explanation, String whatToDo, String reference) {
    this.id = id;
    this.kind = kind;
    this.explanation = explanation;
    this.whatToDo = whatToDo;
    this.reference = reference;
  }

  public static Optional<Cause> byId(String id) {
    for (Cause cause : values()) {
      if (cause.id.equals(id)) {
        return Optional.of(cause);
      }
    }
    return Optional.empty();
  }

  /// The word used in reports.
  public String id() {
    return id;
  }

  public boolean isArtefact() {
    return kind == Kind.ARTEFACT;
  }

  /// How much the cause tells of what happened, 0 the most: chance imitates a wiped page or a
  /// flipped bit least, a counter or a link is what other damage leaves behind too, and `unknown`
  /// tells nothing. Artefacts are ordered by how much of the dump they concern.
  public int strength() {
    return switch (this) {
      case ENCRYPTED_MEMORY, PAGE_WIPED -> 0;
      case DUMP_TRUNCATED, BIT_FLIP, TEXT_MODIFIED -> 1;
      case SME_CIPHERTEXT, DOUBLE_FREE -> 2;
      case LOW_MEMORY_OVERWRITTEN, OVERFLOW_FROM_NEIGHBOUR -> 3;
      case DUMPER_EXCLUDED_SLAB, DUMPER_EXCLUDED_KERNEL, OBJECT_ZEROED -> 4;
      case PAGE_EXCLUDED, USE_AFTER_FREE_WRITE -> 5;
      case PAGE_UNDECODABLE, REDZONE_OVERWRITTEN -> 6;
      case TORN_SNAPSHOT, POISON_OVERWRITTEN -> 7;
      case WRONG_DEBUGINFO, TRACKING_OVERWRITTEN -> 8;
      case ERASED_BY_FILTER, FREELIST_CROSSLINKED -> 9;
      case METADATA_OVERWRITTEN -> 10;
      case LIST_BROKEN -> 11;
      case STACK_OVERRUN -> 3;
      case COUNTER_MISMATCH -> 12;
      case REPORTED_BY_KERNEL -> 13;
      case UNKNOWN -> 14;
    };
  }

  public String explanation() {
    return explanation;
  }

  public String whatToDo() {
    return whatToDo;
  }

  /// Where this is known from: a commit, a manual page, a source file; empty if nowhere.
  public String reference() {
    return reference;
  }
}
