package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.LongPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.object.ObjectSurvey;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.ChangedDump;

/// What a stray write leaves in allocated objects of a real kernel: values that no processor takes
/// for an address where links, nodes and pointers belong, and bits that a type never has.
class OverwrittenObjectsTest extends ChangedDump {
  /// As of a random number, of text, and of what is not aligned.
  private static final long STRAY = 0x1234_5678_9abc_def0L;

  OverwrittenObjectsTest() {
    super(new SlabObjectsCheck(), "debian-cloud");
  }

  private final List<SlabCache> caches = new ArrayList<>();

  private List<Long> objectsOf(String name) {
    List<Long> objects = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        MemMap.of(kernel).orElseThrow(),
        0,
        dump.memory().endPfn(),
        cache -> cache.name().equals(name),
        view -> {
          caches.add(view.slab().cache());
          for (int i = 0; i < view.slab().walkableObjects(); i++) {
            if (view.listOf(i) == null) {
              objects.add(view.slab().object(i));
            }
          }
          return true;
        });
    assertThat(objects).hasSizeGreaterThan(40);
    return objects;
  }

  private int offset(String struct, String path) {
    StructLayout layout = kernel.struct(struct).orElseThrow();
    return layout.member(path).map(Member::offset).orElseThrow();
  }

  private long word(long at) {
    return kernel.word(at).orElseThrow();
  }

  /// The first object of a cache of which a word is so.
  private long first(String cache, int offset, LongPredicate isSo) {
    return objectsOf(cache).stream()
        .mapToLong(object -> object + offset)
        .filter(isSo)
        .findFirst()
        .orElseThrow();
  }

  private Finding named(long at, OptionalLong right) {
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.METADATA_OVERWRITTEN);
    assertThat(finding.subject().address()).isEqualTo(at);
    assertThat(finding.subject().decoded())
        .as(finding.evidence().toString())
        .isEqualTo(right.orElse(finding.subject().raw()));
    return finding;
  }

  @ParameterizedTest
  @ValueSource(longs = {STRAY, STRAY | 1, 0x4141_4141_4141_4141L, 0})
  void aListsCircleSaysWhatALinkWas(long stray) {
    int sibling = offset("inode", "i_sb_list");
    long node =
        first(
            "inode_cache",
            sibling,
            at -> word(at) != at && word(word(at) + 8) == at && word(word(at + 8)) == at);
    memory.setWord(physical(node), stray);
    named(node, OptionalLong.of(word(node)));
    memory.restore().setWord(physical(node + 8), stray);
    named(node + 8, OptionalLong.of(word(node + 8)));
  }

  @Test
  void bothLinksOfANodeAreNoCircle() {
    int sibling = offset("inode", "i_sb_list");
    long node = first("inode_cache", sibling, at -> word(at) != at && word(word(at) + 8) == at);
    memory.setWord(physical(node), 0).setWord(physical(node + 8), 0);
    assertThat(run().findings()).isEmpty();
  }

  @Test
  void anEmptyHeadLeadsToItself() {
    int head = offset("dentry", "d_subdirs");
    long at = first("dentry", head, one -> word(one) == one && word(one + 8) == one);
    memory.setWord(physical(at), STRAY);
    named(at, OptionalLong.of(at));
    memory.restore().setWord(physical(at + 8), STRAY);
    named(at + 8, OptionalLong.of(at));
    // INIT_LIST_HEAD writes one word after the other.
    memory.restore().setWord(physical(at + 8), 0);
    assertThat(run().findings()).isEmpty();
  }

  @Test
  void whoLeadsToATreesNodeSaysWhatItsLinksWere() {
    int rb = offset("kernfs_node", "rb");
    long node =
        first(
            "kernfs_node_cache",
            rb,
            at -> (word(at) & ~3) != 0 && word(at + 8) != 0 && word(at + 16) != 0);
    for (int i = 1; i <= 2; i++) {
      memory.restore().setWord(physical(node + 8L * i), STRAY);
      named(node + 8L * i, OptionalLong.of(word(node + 8L * i)));
    }
    memory.restore().setWord(physical(node), STRAY);
    boolean isBlack =
        (word(word(node) & ~3) & 1) == 0
            || (word(word(node + 8)) & 1) == 0
            || (word(word(node + 16)) & 1) == 0;
    Finding finding = named(node, isBlack ? OptionalLong.of(word(node) | 1) : OptionalLong.empty());
    assertThat(finding.evidence().toString()).contains("0x%x".formatted(word(node) & ~3));
  }

  /// Two nodes of a chain are made: the dump's own chains have one each.
  @Test
  void theNextNodeOfAHashChainIsTheOneThatLeadsBack() {
    int alias = offset("dentry", "d_u.d_alias");
    List<Long> nodes =
        objectsOf("dentry").stream()
            .map(one -> one + alias)
            .filter(at -> word(at) == 0 && word(at + 8) < 0 && word(word(at + 8)) == at)
            .toList();
    assertThat(nodes).hasSizeGreaterThan(16);
    long first = nodes.get(3);
    long second = nodes.get(7);
    memory.setWord(physical(first), second).setWord(physical(second + 8), first);
    assertThat(run().findings()).isEmpty();

    memory.setWord(physical(first), STRAY);
    named(first, OptionalLong.of(second));
  }

  @Test
  void aPointerThatIsNoAddressIsNamedThoughNothingSaysWhatItWas() {
    int sb = offset("inode", "i_sb");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 2) + sb;
    memory.setWord(physical(at), STRAY);
    Finding finding = named(at, OptionalLong.empty());
    assertThat(finding.evidence().toString()).contains("struct super_block");
    // Numbers that programs have for addresses, and null.
    for (long other : new long[] {0x4141_4141, 0x7fff_ffff_f000L, 0}) {
      memory.restore().setWord(physical(at), other);
      assertThat(run().findings()).isEmpty();
    }
  }

  /// By their type: no inode of this dump has one.
  @Test
  void aPointerThatIsNullInAllSiblingsIsKnownByItsType() {
    int flctx = offset("inode", "i_flctx");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 3) + flctx;
    memory.setWord(physical(at), STRAY);
    named(at, OptionalLong.empty());
  }

  /// What programs give is stored as it comes: handlers of signals, lists of robust futexes.
  @Test
  void whatProgramsChooseIsNoDamage() {
    long handlers = objectsOf("sighand_cache").getFirst() + offset("sighand_struct", "action");
    for (int i = 0; i < 64; i++) {
      memory.restore().setWord(physical(handlers + 32L * i), 0x4141_4141_4141_4141L);
      assertThat(run().findings()).isEmpty();
      memory.setWord(physical(handlers + 32L * i), 1 << 20);
      assertThat(run().findings()).isEmpty();
      i += 20;
    }
    long task = objectsOf("task_struct").getFirst();
    for (String member : List.of("robust_list", "set_child_tid", "clear_child_tid")) {
      memory.restore().setWord(physical(task + offset("task_struct", member)), STRAY);
      assertThat(run().findings()).as(member).isEmpty();
    }
  }

  /// Shadows of evicted pages, swap entries and IDA's bitmaps have all 63 bits above the lowest.
  @Test
  void entriesOfAnXArrayThatAreNoPointersAreNoDamage() {
    List<Long> nodes = objectsOf("radix_tree_node");
    int slots = offset("xa_node", "slots");
    for (int i = 0; i < 64; i += 9) {
      memory.restore();
      memory.setWord(physical(nodes.get(nodes.size() / 2) + slots + 8L * i), 0x9000_0000_5001L);
      memory.setWord(physical(nodes.get(nodes.size() / 3) + slots + 8L * i), STRAY | 1);
      assertThat(run().findings()).isEmpty();
    }
  }

  /// KASAN's tags of arm64 stand in the highest byte.
  @Test
  void aTagInTheHighestByteIsNoStrayWrite() {
    int flctx = offset("inode", "i_flctx");
    long at = objectsOf("inode_cache").get(40) + flctx;
    memory.setWord(physical(at), 0xf4ff_8a73_1234_5678L);
    assertThat(run().findings()).isEmpty();
  }

  /// Kernels without init_on_alloc: what the memory held before is no damage.
  @Test
  void whatAnObjectHeldWhileItWasFreeIsNoDamage() {
    int flctx = offset("inode", "i_flctx");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 3) + flctx;
    SlabCache cache = caches.getFirst();
    assertThat(cache.random()).isNotZero();
    for (long next : new long[] {0, at - flctx, (inodes.getFirst() & -4096) | (at & 4095)}) {
      if (next == 0 || Math.abs(next - at) < 4096) {
        long stale = FreelistDecoder.HARDENED_SWAPPED.decode(next, at, cache.random());
        memory.restore().setWord(physical(at), stale);
        assertThat(run().findings()).as("%x", stale).isEmpty();
      }
    }
    for (long poison : new long[] {0x5a5a_5a5a_5a5a_5a5aL, 0x6b6b_6b6b_6b6b_6b6bL}) {
      memory.restore().setWord(physical(at), poison);
      assertThat(run().findings()).isEmpty();
    }
  }

  /// A `struct pid` of a kernel that was started with init_on_alloc=0 had 0xcc in its rcu head,
  /// from the time when the page was the kernel's start code. What neighbours and all siblings have
  /// counts there too.
  @Test
  void withoutClearingWhatWasNeverWrittenMayHoldAnything() {
    List<Long> inodes = objectsOf("inode_cache");
    long object = inodes.get(inodes.size() / 3);
    long key = kernel.symbol("init_on_alloc").orElseThrow();
    memory.setWord(physical(key), word(key) & ~0xffff_ffffL);
    memory.setWord(physical(object + offset("inode", "i_flctx")), 0xcccc_cccc_cccc_ccccL);
    memory.setWord(physical(object + offset("inode", "i_rwsem.count")), 0xcccc_cccc_cccc_ccccL);
    memory.setWord(physical(object + offset("inode", "i_verity_info")), 0x20_0000);
    assertThat(run().findings()).isEmpty();

    long sibling = object + offset("inode", "i_sb_list");
    memory.setWord(physical(sibling), STRAY);
    assertThat(run().findings())
        .singleElement()
        .satisfies(one -> assertThat(one.subject().address()).isEqualTo(sibling));
  }

  /// Many of one member are a use of it that is not known.
  @Test
  void whatManySiblingsHaveIsNoDamage() {
    int flctx = offset("inode", "i_flctx");
    List<Long> inodes = objectsOf("inode_cache");
    for (int i = 0; i < 16; i++) {
      memory.setWord(physical(inodes.get(5 * i) + flctx), STRAY + 8L * i);
    }
    assertThat(run().findings()).isEmpty();
    // What one write did to two objects that follow each other is damage.
    memory.restore();
    memory.setWord(physical(inodes.get(40) + flctx), STRAY);
    memory.setWord(physical(inodes.get(41) + flctx), STRAY);
    assertThat(run().findings()).hasSize(2);
  }

  @Test
  void aLockHasNoBitThatItsTypeNeverHas() {
    int count = offset("inode", "i_rwsem.count");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 2) + count;
    assertThat(word(at)).isZero();
    // Held for writing, with others that wait; held by three readers.
    for (long held : new long[] {1, 3, 7, 3 << 8, Long.MIN_VALUE}) {
      memory.restore().setWord(physical(at), held);
      assertThat(run().findings()).isEmpty();
    }
    for (int bit : new int[] {3, 7, 40, 62}) {
      memory.restore().flip(physical(at), bit);
      Finding finding = only();
      assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
      assertThat(finding.subject().address()).isEqualTo(at);
      assertThat(finding.subject().decoded()).isZero();
      assertThat(finding.evidence().toString())
          .contains("it is the count of a read-write semaphore, and 0x%x is".formatted(1L << bit));
    }
    memory.restore().setWord(physical(at), STRAY);
    named(at, OptionalLong.empty());
  }

  @Test
  void aSpinlockNamesNoProcessorThatIsNotThere() {
    int osq = offset("inode", "i_rwsem.osq");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 2) + osq;
    int cpus = kernel.perCpu().cpus().size();
    memory.setWord(physical(at), word(at) | cpus);
    assertThat(run().findings()).isEmpty();
    memory.restore().setWord(physical(at), word(at) | 1 << 20);
    assertThat(only().cause()).isEqualTo(Cause.BIT_FLIP);
  }

  @Test
  void anErrorNumberThatAllHaveIsKnownByOneBit() {
    int acl = offset("inode", "i_acl");
    long at = first("inode_cache", acl, one -> word(one) == -1);
    memory.flip(physical(at), 33);
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().decoded()).isEqualTo(-1);
    // Another error number.
    memory.restore().flip(physical(at), 3);
    assertThat(run().findings()).isEmpty();
  }

  @Test
  void whatOneWriteDidIsOneFinding() {
    int acl = offset("inode", "i_acl");
    List<Long> inodes = objectsOf("inode_cache");
    long at = inodes.get(inodes.size() / 2) + acl;
    for (int i = 0; i < 8; i++) {
      memory.setWord(physical(at + 8L * i), STRAY + i);
    }
    Finding finding = only();
    assertThat(finding.claim()).startsWith("inode.i_acl (byte %d)".formatted(acl));
    assertThat(finding.claim()).contains("more of its words wrong: inode.i_default_acl");
    assertThat(finding.claim()).contains("inode.i_sb (byte");
  }

  /// A slab's objects may be of another time than the list that says which are free.
  @Test
  void inMemoryOfMoreThanOneMomentAStrayWordProvesNothing() {
    List<Long> inodes = objectsOf("inode_cache");
    List<String> members = List.of("i_sb", "i_rwsem.count", "i_sb_list");
    for (int i = 0; i < 3; i++) {
      long at = inodes.get(20 * i + 7) + offset("inode", members.get(i));
      memory.setWord(physical(at), STRAY);
    }
    Kernel changed = kernel.over(memory);
    MemMap memMap = MemMap.of(changed).orElseThrow();
    assertThat(ObjectSurvey.of(changed, memMap, true).faults()).hasSize(3);
    assertThat(ObjectSurvey.of(changed, memMap, false).faults()).isEmpty();
  }

  /// What a stray write did is no flipped bit, though one of its words differs by one.
  @Test
  void aFlippedBitBesideAnOverwrittenWordIsNoFlippedBit() {
    List<Long> inodes = objectsOf("inode_cache");
    long object = inodes.get(inodes.size() / 2);
    memory.flip(physical(object + offset("inode", "i_rwsem.count")), 40);
    memory.setWord(physical(object + offset("inode", "i_sb_list")), STRAY);
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.METADATA_OVERWRITTEN);
    assertThat(finding.claim()).startsWith("inode.i_sb_list.next").contains("i_rwsem.count");
  }
}
