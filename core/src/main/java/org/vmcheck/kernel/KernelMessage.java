package org.vmcheck.kernel;

import java.util.regex.Pattern;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Fate;

/// What the kernel prints when it catches its own memory wrong: one row a message. Each is matched
/// from the start of a record, for what stands further in may be anyone's words.
///
/// The texts are those of Linux 5.3 to 7.3; where they differ a row has all of them. Lines of code
/// differ in every build and are never looked at.
public enum KernelMessage {
  // ---- mm/slub.c, slab_bug: "BUG cache (taint): what"
  SLUB_REDZONE(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.REDZONE_OVERWRITTEN,
      "a red zone is overwritten",
      slub("(Left |Right |kmalloc )?Redzone overwritten")),
  SLUB_POISON(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.POISON_OVERWRITTEN,
      "poison is overwritten",
      slub("(End )?Poison overwritten")),
  SLUB_PADDING(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.POISON_OVERWRITTEN,
      "padding is overwritten",
      slub("(Alignment padding|Object padding|Padding) overwritten")),
  /// The newer title; a line in brackets says which zone.
  SLUB_OBJECT(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.REPORTED_BY_KERNEL,
      "an object is corrupt",
      slub("Object corrupt")),
  SLUB_FREELIST(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.REPORTED_BY_KERNEL,
      "a free pointer is corrupt",
      slub("(Freechain corrupt|Freepointer corrupt|Freelist Pointer check fails)")),
  SLUB_CYCLE(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.DOUBLE_FREE,
      "a freelist runs in a circle",
      slub("Freelist cycle detected")),
  SLUB_COUNT(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.COUNTER_MISMATCH,
      "a slab's counters are wrong",
      slub("(Wrong number of objects|Wrong object count|Bulk free expected \\d+ objects)")),
  SLUB_DESCRIPTOR(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.METADATA_OVERWRITTEN,
      "a slab's descriptor is corrupt",
      slub(
          "(objects -?\\d+ > max|inuse -?\\d+ > max|Not a valid slab page"
              + "|(page )?slab pointer corrupt)")),
  SLUB_DISABLED(
      Proof.DAMAGE,
      "mm/slub.c",
      Cause.METADATA_OVERWRITTEN,
      "a slab was taken out of use",
      slub("Slab disabled since SLUB metadata")),
  SLUB_DOUBLE_FREE(
      Proof.STOPPED,
      "mm/slub.c",
      Cause.DOUBLE_FREE,
      "an object is freed twice",
      slub("(Object already free|Slab has -?\\d+ allocated objects but -?\\d+ are to be freed)")),
  SLUB_FOREIGN(
      Proof.STOPPED,
      "mm/slub.c",
      Cause.REPORTED_BY_KERNEL,
      "a pointer that is no object's is freed",
      slub("(Invalid object pointer|Attempt to free object\\()")),
  SLUB_NO_SLAB(
      Proof.STOPPED,
      "mm/slub.c",
      Cause.REPORTED_BY_KERNEL,
      "a pointer that is no slab object's is freed",
      "SLUB <none>: no slab for object "),
  SLUB_REMAINING(
      Proof.MISUSE,
      "mm/slub.c",
      null,
      "a cache that still has objects is destroyed",
      slub("Objects remaining (in .* )?on __kmem_cache_shutdown")),
  /// set_freepointer of CONFIG_SLAB_FREELIST_HARDENED: the object to free is the list's first.
  SLUB_BUG(
      Proof.STOPPED,
      "mm/slub.c",
      Cause.REPORTED_BY_KERNEL,
      "the allocator stopped the kernel",
      "kernel BUG at mm/slub.c:"),

  // ---- mm/slab.h, mm/slub.c: cache_from_obj, virt_to_cache, warn_free_bad_obj
  WRONG_CACHE(
      Proof.STOPPED,
      "mm/slab.h",
      Cause.REPORTED_BY_KERNEL,
      "an object is freed to a cache that is not its own",
      Pattern.compile(
          "^(cache_from_obj: Wrong slab cache\\. (?<other>\\S{1,99}) but object is from"
              + " (?<cache>\\S{1,99})"
              + "|kmem_cache_free\\((?<others>[^,]{1,99}), (?<object>[0-9a-fx]+)\\): object belongs"
              + " to different cache (?<caches>\\S{1,99}))")),
  NO_SLAB_PAGE(
      Proof.STOPPED,
      "mm/slab.h",
      Cause.REPORTED_BY_KERNEL,
      "a pointer that lies in no slab is freed as an object",
      Pattern.compile(
          "^(\\w{1,40}: Object is not a Slab page!"
              + "|kmem_cache_free\\((?<other>[^,]{1,99}), [0-9a-fx]+\\): object is not in a slab"
              + " page|Not a kmalloc allocation|object pointer: 0x)")),
  CACHE_HAS_OBJECTS(
      Proof.MISUSE,
      "mm/slab_common.c",
      null,
      "a cache that still has objects is destroyed",
      Pattern.compile("^kmem_cache_destroy .{1,99}: Slab cache still has objects")),

  // ---- mm/slab.c, up to 6.7
  SLAB_DOUBLE_FREE(
      Proof.STOPPED,
      "mm/slab.c",
      Cause.DOUBLE_FREE,
      "an object is freed twice",
      Pattern.compile(
          "^(slab error in \\w+\\(\\): cache `(?<cache>[^']{1,99})': double free detected"
              + "|slab: double free detected in cache '(?<caches>[^']{1,99})')")),
  SLAB_REDZONE(
      Proof.DAMAGE,
      "mm/slab.c",
      Cause.REDZONE_OVERWRITTEN,
      "a red zone is overwritten",
      Pattern.compile(
          "^slab error in \\w+\\(\\): cache `(?<cache>[^']{1,99})': (double free, or )?memory"
              + " outside object was overwritten")),
  SLAB_POISON(
      Proof.DAMAGE,
      "mm/slab.c",
      Cause.POISON_OVERWRITTEN,
      "poison is overwritten",
      Pattern.compile(
          "^Slab corruption(?: \\([^()]*\\))?: (?<cache>\\S{1,99}) start=(?<object>[0-9a-f]+)")),
  SLAB_BUG(
      Proof.STOPPED,
      "mm/slab.c",
      Cause.REPORTED_BY_KERNEL,
      "the allocator stopped the kernel",
      "kernel BUG at mm/slab.c:"),

  // ---- lib/list_debug.c
  LIST_BROKEN(
      Proof.DAMAGE,
      "lib/list_debug.c",
      Cause.LIST_BROKEN,
      "the links of a list do not agree",
      Pattern.compile(
          "^list_(add|del) corruption(\\. (next->prev|prev->next) should be|[.,] .*is NULL)")),
  LIST_TWICE(
      Proof.STOPPED,
      "lib/list_debug.c",
      Cause.LIST_BROKEN,
      "an entry is put on a list, or taken off it, twice",
      Pattern.compile("^list_(add double add: |del corruption, .* is LIST_POISON)")),
  LIST_BUG(
      Proof.DAMAGE,
      "lib/list_debug.c",
      Cause.LIST_BROKEN,
      "the links of a list do not agree",
      Pattern.compile("^(kernel BUG at |WARNING: (CPU: .* at )?)lib/list_debug\\.c:")),

  // ---- stacks: kernel/panic.c, kernel/sched/core.c, arch/*/mm/fault.c, arch/*/kernel/traps.c
  STACK_PROTECTOR(
      Proof.DAMAGE,
      "kernel/panic.c",
      Cause.STACK_OVERRUN,
      "the stack protector's word is overwritten",
      Pattern.compile(
          "^Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in:"
              + " ?(?<where>.*)")),
  STACK_END(
      Proof.DAMAGE,
      "kernel/sched/core.c",
      Cause.STACK_OVERRUN,
      "the last word of a task's stack is overwritten",
      "Kernel panic - not syncing: corrupted stack end detected inside scheduler"),
  STACK_OVERRAN(
      Proof.DAMAGE,
      "arch/x86/mm/fault.c",
      Cause.STACK_OVERRUN,
      "the last word of a task's stack is overwritten",
      "Thread overran stack, or stack corrupted"),
  STACK_GUARD(
      Proof.STOPPED,
      "arch/x86/kernel/traps.c",
      Cause.STACK_OVERRUN,
      "a stack ran into its guard page",
      Pattern.compile("^BUG: (\\S+ )?stack guard page was hit at ")),
  NO_STACK_SPACE(
      Proof.STOPPED,
      "arch/arm64/kernel/traps.c",
      Cause.STACK_OVERRUN,
      "a stack ran into its guard page",
      "Insufficient stack space to handle exception!"),
  STACK_OVERFLOW(
      Proof.STOPPED,
      "arch/arm64/kernel/traps.c",
      Cause.STACK_OVERRUN,
      "a stack ran into its guard page",
      "Kernel panic - not syncing: kernel stack overflow"),

  // ---- pages: mm/page_alloc.c, mm/memory.c, mm/filemap.c, mm/page_poison.c, mm/mempool.c
  BAD_PAGE(
      Proof.DAMAGE,
      "mm/page_alloc.c",
      Cause.REPORTED_BY_KERNEL,
      "a page descriptor is in a state that a free page cannot have",
      Pattern.compile("^BUG: Bad page state in process .{0,32} +pfn:(?<pfn>[0-9a-f]{1,13})")),
  BAD_PAGE_TABLE(
      Proof.DAMAGE,
      "mm/memory.c",
      Cause.REPORTED_BY_KERNEL,
      "an entry of a page table is wrong",
      "BUG: Bad page map in process "),
  BAD_PAGE_CACHE(
      Proof.DAMAGE,
      "mm/filemap.c",
      Cause.REPORTED_BY_KERNEL,
      "a page of the page cache is still mapped when it is dropped",
      Pattern.compile("^BUG: Bad page cache in process .{0,32} +pfn:(?<pfn>[0-9a-f]{1,13})")),
  PAGE_TABLE_CHECK(
      Proof.STOPPED,
      "mm/page_table_check.c",
      Cause.REPORTED_BY_KERNEL,
      "a page is mapped in two ways that exclude each other",
      "kernel BUG at mm/page_table_check.c:"),
  PAGE_POISON_BIT(
      Proof.DAMAGE,
      "mm/page_poison.c",
      Cause.BIT_FLIP,
      "one bit of a free page changed",
      "pagealloc: single bit error"),
  PAGE_POISON(
      Proof.DAMAGE,
      "mm/page_poison.c",
      Cause.POISON_OVERWRITTEN,
      "a free page was written to",
      "pagealloc: memory corruption"),
  MEMPOOL(
      Proof.DAMAGE,
      "mm/mempool.c",
      Cause.POISON_OVERWRITTEN,
      "a free element of a mempool was written to",
      "BUG: mempool element poison mismatch"),

  // ---- sanitizers: mm/kasan/report.c, mm/kfence/report.c
  KASAN_FREE(
      Proof.STOPPED,
      "mm/kasan/report.c",
      Cause.DOUBLE_FREE,
      "an object is freed twice",
      Pattern.compile("^BUG: KASAN: double-free in (?<where>.*)")),
  KASAN_INVALID_FREE(
      Proof.STOPPED,
      "mm/kasan/report.c",
      Cause.REPORTED_BY_KERNEL,
      "an object is freed twice, or what is freed is none",
      Pattern.compile("^BUG: KASAN: (double-free or )?invalid-free in (?<where>.*)")),
  /// A fault on an address that is nobody's memory: a symptom.
  KASAN_WILD(
      Proof.MISUSE,
      "mm/kasan/report.c",
      null,
      "an address that is no memory of the kernel's is used",
      Pattern.compile(
          "^(BUG: KASAN: (null-ptr-deref|user-memory-access|wild-memory-access) "
              + "|KASAN: (null-ptr-deref|probably user-memory-access|maybe wild-memory-access) )")),
  KASAN(
      Proof.DAMAGE,
      "mm/kasan/report.c",
      Cause.REPORTED_BY_KERNEL,
      "KASAN caught an access outside of live memory",
      Pattern.compile("^BUG: KASAN: (?<kind>[\\w-]{1,60}) in (?<where>.*)")),
  KFENCE_CANARY(
      Proof.DAMAGE,
      "mm/kfence/report.c",
      Cause.REDZONE_OVERWRITTEN,
      "KFENCE found the bytes around an object overwritten",
      Pattern.compile("^BUG: KFENCE: memory corruption in (?<where>.*)")),
  KFENCE_WRITE(
      Proof.DAMAGE,
      "mm/kfence/report.c",
      Cause.REPORTED_BY_KERNEL,
      "KFENCE caught a write outside of live memory",
      Pattern.compile(
          "^BUG: KFENCE: (?<kind>out-of-bounds|use-after-free|invalid) write in (?<where>.*)")),
  KFENCE_READ(
      Proof.STOPPED,
      "mm/kfence/report.c",
      Cause.REPORTED_BY_KERNEL,
      "KFENCE caught a read outside of live memory",
      Pattern.compile(
          "^BUG: KFENCE: (?<kind>out-of-bounds|use-after-free|invalid) read in (?<where>.*)")),
  KFENCE_FREE(
      Proof.STOPPED,
      "mm/kfence/report.c",
      Cause.REPORTED_BY_KERNEL,
      "KFENCE caught a free of what was not allocated",
      Pattern.compile("^BUG: KFENCE: invalid free in (?<where>.*)")),

  // ---- hardening: mm/usercopy.c, lib/refcount.c, lib/string*.c
  USERCOPY(
      Proof.STOPPED,
      "mm/usercopy.c",
      Cause.REPORTED_BY_KERNEL,
      "a copy to or from a program would have left its object",
      Pattern.compile(
          "^usercopy: Kernel memory (exposure|overwrite) attempt detected (from|to) "
              + "(SLU?A?B object( not)?\\S* ?'(?<cache>[^']{1,99})')?")),
  USERCOPY_BUG(
      Proof.STOPPED,
      "mm/usercopy.c",
      Cause.REPORTED_BY_KERNEL,
      "a copy to or from a program would have left its object",
      "kernel BUG at mm/usercopy.c:"),
  USERCOPY_WHITELIST(
      Proof.MISUSE,
      "mm/usercopy.c",
      null,
      "a copy to or from a program leaves the part of its object that is for that",
      "Bad or missing usercopy whitelist?"),
  REFCOUNT(
      Proof.STOPPED,
      "lib/refcount.c",
      Cause.REPORTED_BY_KERNEL,
      "an object that had no reference left was used",
      Pattern.compile("^refcount_t: [\\w ]{1,40}; use-after-free\\.")),
  REFCOUNT_LEAK(
      Proof.MISUSE,
      "lib/refcount.c",
      null,
      "a reference counter is out of its range",
      Pattern.compile("^refcount_t[: ](?!.*use-after-free)")),
  FORTIFY(
      Proof.STOPPED,
      "lib/string_helpers.c",
      Cause.REPORTED_BY_KERNEL,
      "a string function would have run past its buffer",
      Pattern.compile(
          "^(detected buffer overflow in (?<where>\\w+)"
              + "|(?<wheres>\\w{1,40}): detected buffer overflow: \\d+ byte write"
              + "|kernel BUG at lib/string(_helpers)?\\.c:)")),
  FORTIFY_READ(
      Proof.STOPPED,
      "lib/string_helpers.c",
      Cause.REPORTED_BY_KERNEL,
      "a string function would have read past its buffer",
      Pattern.compile("^(?<where>\\w{1,40}): detected buffer overflow: \\d+ byte read")),
  FORTIFY_SPAN(
      Proof.MISUSE,
      "include/linux/fortify-string.h",
      null,
      "a copy runs over several members of a structure",
      Pattern.compile("^\\w{1,40}: detected field-spanning write ")),

  // ---- program errors without damage
  UBSAN(
      Proof.MISUSE,
      "lib/ubsan.c",
      null,
      "an index is outside of its array",
      "UBSAN: array-index-out-of-bounds in "),
  DEBUG_OBJECTS(
      Proof.MISUSE,
      "lib/debugobjects.c",
      null,
      "an object is freed or set up while it is in use",
      Pattern.compile("^ODEBUG: (free|init|destroy|activate|assert_init) ")),
  RSS_COUNTER(
      Proof.MISUSE,
      "kernel/fork.c",
      null,
      "a counter of a dead address space is not 0",
      "BUG: Bad rss-counter state ");

  /// What a message proves.
  enum Proof {
    /// Memory was damaged.
    DAMAGE,
    /// Something was about to damage it.
    STOPPED,
    /// A program error of which no damage is known.
    MISUSE
  }

  private final Proof proof;
  private final String source;
  private final Cause cause;
  private final String words;
  private final String start;
  private final Pattern pattern;

  KernelMessage(Proof proof, String source, Cause cause, String words, Pattern pattern) {
    this.proof = proof;
    this.source = source;
    this.cause = cause;
    this.words = words;
    this.start = start(pattern.pattern());
    this.pattern = pattern;
  }

  KernelMessage(Proof proof, String source, Cause cause, String words, String start) {
    this.proof = proof;
    this.source = source;
    this.cause = cause;
    this.words = words;
    this.start = start;
    this.pattern = Pattern.compile("^" + Pattern.quote(start));
  }

  private static Pattern slub(String what) {
    return Pattern.compile("^BUG (?<cache>\\S.{0,98}?) \\([^()]{1,200}\\): " + what);
  }

  /// The plain letters that a pattern begins with: cheap to compare.
  private static String start(String pattern) {
    int end = 1;
    while (end < pattern.length()
        && (Character.isLetterOrDigit(pattern.charAt(end))
            || " :,-_`".indexOf(pattern.charAt(end)) >= 0)) {
      end++;
    }
    // A letter that may be repeated or left out is none that must be there.
    boolean isOptional = end < pattern.length() && "?*{".indexOf(pattern.charAt(end)) >= 0;
    return pattern.substring(1, isOptional ? end - 1 : end);
  }

  Proof proof() {
    return proof;
  }

  /// The file of the kernel that prints it.
  public String source() {
    return source;
  }

  /// What a finding from it is put down to; only of what is no [Proof#MISUSE].
  Cause cause() {
    return cause;
  }

  /// What it says, in plain words.
  public String words() {
    return words;
  }

  Pattern pattern() {
    return pattern;
  }

  boolean mayStart(String text) {
    return text.startsWith(start);
  }

  /// What the kernel does with what it reports, where no line of the log says otherwise.
  Fate fate() {
    return proof == Proof.STOPPED ? Fate.STOPPED : Fate.UNTOLD;
  }
}
