package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Reports as kernels of 5.3 to 7.3 print them, by the row of `log.witness`'s table that they
/// belong to.
public final class KernelMessages {
  private static final Map<String, List<String>> ALL = new TreeMap<>();

  private KernelMessages() {}

  static {
    add("SLUB_REDZONE", "BUG kmalloc-64 (Not tainted): Redzone overwritten");
    add("SLUB_REDZONE", "BUG kmalloc-64 (Tainted: G    B      O     ): Right Redzone overwritten");
    add("SLUB_REDZONE", "BUG kmalloc-64 (Tainted: G    B): Left Redzone overwritten");
    add("SLUB_REDZONE", "BUG kmalloc-64 (Not tainted): kmalloc Redzone overwritten");
    add("SLUB_POISON", "BUG kmalloc-64 (Not tainted): Poison overwritten");
    add("SLUB_POISON", "BUG kmalloc-64 (Not tainted): End Poison overwritten");
    add("SLUB_PADDING", "BUG kmalloc-64 (Not tainted): Alignment padding overwritten");
    add("SLUB_PADDING", "BUG kmalloc-64 (Not tainted): Object padding overwritten");
    add(
        "SLUB_PADDING",
        "BUG kmalloc-64 (Not tainted): Padding overwritten. 0x0000000012345678-0x0000000012345680"
            + " @offset=4080");
    add("SLUB_OBJECT", "BUG kmalloc-64 (Not tainted): Object corrupt");
    add("SLUB_FREELIST", "BUG kmalloc-64 (Not tainted): Freechain corrupt");
    add("SLUB_FREELIST", "BUG kmalloc-64 (Not tainted): Freepointer corrupt");
    add("SLUB_FREELIST", "BUG kmalloc-64 (Not tainted): Freelist Pointer check fails");
    add("SLUB_CYCLE", "BUG kmalloc-64 (Not tainted): Freelist cycle detected");
    add(
        "SLUB_COUNT",
        "BUG kmalloc-64 (Not tainted): Wrong number of objects. Found 21 but should be 16");
    add(
        "SLUB_COUNT",
        "BUG kmalloc-64 (Not tainted): Wrong object count. Counter is 3 but counted were 4");
    add("SLUB_COUNT", "BUG kmalloc-64 (Not tainted): Bulk free expected 4 objects but found 5");
    add("SLUB_DESCRIPTOR", "BUG kmalloc-64 (Not tainted): objects 127 > max 64");
    add("SLUB_DESCRIPTOR", "BUG kmalloc-64 (Not tainted): inuse 127 > max 64");
    add("SLUB_DESCRIPTOR", "BUG kmalloc-64 (Not tainted): Not a valid slab page");
    add("SLUB_DESCRIPTOR", "BUG kmalloc-64 (Not tainted): page slab pointer corrupt.");
    add(
        "SLUB_DISABLED",
        "BUG kmalloc-64 (Not tainted): Slab disabled since SLUB metadata consistency check failed");
    add("SLUB_DOUBLE_FREE", "BUG kmalloc-64 (Not tainted): Object already free");
    add(
        "SLUB_DOUBLE_FREE",
        "BUG kmalloc-64 (Not tainted): Slab has 3 allocated objects but 4 are to be freed");
    add("SLUB_FOREIGN", "BUG kmalloc-64 (Not tainted): Invalid object pointer 0x00000000deadbeef");
    add(
        "SLUB_FOREIGN",
        "BUG kmalloc-64 (Not tainted): Attempt to free object(0x00000000deadbeef) outside of slab");
    add("SLUB_NO_SLAB", "SLUB <none>: no slab for object 0x00000000deadbeef.");
    add(
        "SLUB_REMAINING",
        "BUG kmalloc-64 (Not tainted): Objects remaining in kmalloc-64 on __kmem_cache_shutdown()");
    add("SLUB_REMAINING", "BUG lab (Not tainted): Objects remaining on __kmem_cache_shutdown()");
    add("SLUB_BUG", "kernel BUG at mm/slub.c:305!");
    add(
        "WRONG_CACHE",
        "cache_from_obj: Wrong slab cache. kmalloc-128 but object is from kmalloc-64");
    add(
        "WRONG_CACHE",
        "kmem_cache_free(skbuff_small_head, 00000000deadbeef): object belongs to different cache"
            + " kmalloc-1k");
    add("NO_SLAB_PAGE", "virt_to_cache: Object is not a Slab page!");
    add("NO_SLAB_PAGE", "cache_from_obj: Object is not a Slab page!");
    add("NO_SLAB_PAGE", "kmem_cache_free(lab, 00000000deadbeef): object is not in a slab page");
    add("NO_SLAB_PAGE", "Not a kmalloc allocation");
    add("NO_SLAB_PAGE", "object pointer: 0x00000000deadbeef");
    add("CACHE_HAS_OBJECTS", "kmem_cache_destroy lab: Slab cache still has objects");
    add(
        "CACHE_HAS_OBJECTS",
        "kmem_cache_destroy lab: Slab cache still has objects when called from lab_exit+0x10/0x20");
    add(
        "SLAB_DOUBLE_FREE",
        "slab error in verify_redzone_free(): cache `kmalloc-64': double free detected");
    add(
        "SLAB_DOUBLE_FREE",
        "slab: double free detected in cache 'kmalloc-64', objp ffff888003a1c000");
    add(
        "SLAB_REDZONE",
        "slab error in verify_redzone_free(): cache `kmalloc-64': memory outside object was"
            + " overwritten");
    add(
        "SLAB_REDZONE",
        "slab error in cache_alloc_debugcheck_after(): cache `kmalloc-64': double free, or memory"
            + " outside object was overwritten");
    add("SLAB_POISON", "Slab corruption (Not tainted): kmalloc-64 start=ffff888003a1c000, len=64");
    add("SLAB_BUG", "kernel BUG at mm/slab.c:2754!");
    add(
        "LIST_BROKEN",
        "list_add corruption. next->prev should be prev (ffff888003a1c000), but was"
            + " ffff888003a1c100. (next=ffff888003a1c200).");
    add(
        "LIST_BROKEN",
        "list_add corruption. prev->next should be next (ffff888003a1c000), but was"
            + " ffff888003a1c100. (prev=ffff888003a1c200).");
    add(
        "LIST_BROKEN",
        "list_del corruption. prev->next should be ffff888003a1c000, but was 0000000000000000");
    add(
        "LIST_BROKEN",
        "list_del corruption. next->prev should be ffff888003a1c000, but was ffff888003a1c100."
            + " (next=ffff888003a1c200)");
    add("LIST_BROKEN", "list_del corruption, ffff888003a1c000->next is NULL");
    add("LIST_BROKEN", "list_add corruption. prev is NULL.");
    add(
        "LIST_TWICE",
        "list_add double add: new=ffff888003a1c000, prev=ffff888003a1c000, next=ffff888003a1c200.");
    add(
        "LIST_TWICE",
        "list_del corruption, ffff888003a1c000->next is LIST_POISON1 (dead000000000100)");
    add("LIST_BUG", "kernel BUG at lib/list_debug.c:26!");
    add("LIST_BUG", "WARNING: CPU: 0 PID: 93 at lib/list_debug.c:53 __list_del_entry+0x90/0x120");
    add("LIST_BUG", "WARNING: lib/list_debug.c:53 at __list_del_entry+0x90/0x120, CPU#0: sh/93");
    add(
        "STACK_PROTECTOR",
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in:"
            + " lkdtm_CORRUPT_STACK+0x70/0x70");
    add("STACK_END", "Kernel panic - not syncing: corrupted stack end detected inside scheduler");
    add("STACK_OVERRAN", "Thread overran stack, or stack corrupted");
    add("STACK_GUARD", "BUG: stack guard page was hit at 00000000deadbeef (stack is 0..1)");
    add("STACK_GUARD", "BUG: TASK stack guard page was hit at ffffc90000003ff8 (stack is 0..1)");
    add("NO_STACK_SPACE", "Insufficient stack space to handle exception!");
    add("STACK_OVERFLOW", "Kernel panic - not syncing: kernel stack overflow");
    add("BAD_PAGE", "BUG: Bad page state in process kworker/0:1  pfn:12345");
    add("BAD_PAGE_TABLE", "BUG: Bad page map in process sh  pte:8000000012345067 pmd:12346067");
    add("BAD_PAGE_CACHE", "BUG: Bad page cache in process sh  pfn:12345");
    add("PAGE_TABLE_CHECK", "kernel BUG at mm/page_table_check.c:79!");
    add("PAGE_POISON_BIT", "pagealloc: single bit error");
    add("PAGE_POISON", "pagealloc: memory corruption");
    add("MEMPOOL", "BUG: mempool element poison mismatch");
    add("KASAN_FREE", "BUG: KASAN: double-free in lab_init+0x10/0x20 [lab]");
    add(
        "KASAN_INVALID_FREE",
        "BUG: KASAN: double-free or invalid-free in lab_init+0x10/0x20 [lab]");
    add("KASAN_INVALID_FREE", "BUG: KASAN: invalid-free in lab_init+0x10/0x20 [lab]");
    add("KASAN_WILD", "BUG: KASAN: null-ptr-deref in lab_init+0x10/0x20 [lab]");
    add("KASAN_WILD", "KASAN: null-ptr-deref in range [0x0000000000000000-0x0000000000000007]");
    add("KASAN", "BUG: KASAN: use-after-free in lab_init+0x10/0x20 [lab]");
    add("KASAN", "BUG: KASAN: slab-out-of-bounds in lab_init+0x10/0x20 [lab]");
    add("KFENCE_CANARY", "BUG: KFENCE: memory corruption in lab_init+0x10/0x20 [lab]");
    add("KFENCE_WRITE", "BUG: KFENCE: out-of-bounds write in lab_init+0x10/0x20 [lab]");
    add("KFENCE_READ", "BUG: KFENCE: use-after-free read in lab_init+0x10/0x20 [lab]");
    add("KFENCE_FREE", "BUG: KFENCE: invalid free in lab_init+0x10/0x20 [lab]");
    add(
        "USERCOPY",
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset"
            + " 48, size 32)!");
    add(
        "USERCOPY",
        "usercopy: Kernel memory overwrite attempt detected to process stack (offset 0, size 32)!");
    add("USERCOPY_BUG", "kernel BUG at mm/usercopy.c:99!");
    add(
        "USERCOPY_WHITELIST",
        "Bad or missing usercopy whitelist? Kernel memory exposure attempt detected from SLUB"
            + " object 'lab' (offset 48, size 32)!");
    add("REFCOUNT", "refcount_t: underflow; use-after-free.");
    add("REFCOUNT", "refcount_t: addition on 0; use-after-free.");
    add("REFCOUNT", "refcount_t: increment on 0; use-after-free.");
    add("REFCOUNT_LEAK", "refcount_t: saturated; leaking memory.");
    add("REFCOUNT_LEAK", "refcount_t: decrement hit 0; leaking memory.");
    add("FORTIFY", "detected buffer overflow in memcpy");
    add("FORTIFY", "memcpy: detected buffer overflow: 80 byte write of buffer size 64");
    add("FORTIFY", "kernel BUG at lib/string_helpers.c:1032!");
    add("FORTIFY_READ", "strnlen: detected buffer overflow: 80 byte read of buffer size 64");
    add(
        "FORTIFY_SPAN",
        "memcpy: detected field-spanning write (size 80) of single field \"a->b\" at x.c:3 (size"
            + " 64)");
    add("UBSAN", "UBSAN: array-index-out-of-bounds in drivers/lab/lab.c:30:12");
    add(
        "DEBUG_OBJECTS",
        "ODEBUG: free active (active state 0) object type: timer_list hint: lab_timer+0x0/0x10");
    add("RSS_COUNTER", "BUG: Bad rss-counter state mm:00000000deadbeef type:MM_ANONPAGES val:3");
  }

  private static void add(String row, String line) {
    ALL.computeIfAbsent(row, _ -> new ArrayList<>()).add(line);
  }

  /// First lines of reports, by row.
  public static Map<String, List<String>> byRow() {
    return ALL;
  }

  public static List<String> all() {
    return ALL.values().stream().flatMap(List::stream).toList();
  }
}
