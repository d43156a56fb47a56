package org.vmcheck.object;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCache;

/// The structures that slab caches are for: a cache says only its name, and most are named after
/// their structure. Not safe for use by several threads at once.
public final class StructNames {
  /// Caches that are not, by the calls of `kmem_cache_create` in Linux.
  private static final Map<String, String> BY_CACHE =
      Map.ofEntries(
          Map.entry("inode_cache", "inode"),
          Map.entry("filp", "file"),
          Map.entry("files_cache", "files_struct"),
          Map.entry("fs_cache", "fs_struct"),
          Map.entry("signal_cache", "signal_struct"),
          Map.entry("sighand_cache", "sighand_struct"),
          Map.entry("cred_jar", "cred"),
          Map.entry("cred", "cred"),
          Map.entry("mnt_cache", "mount"),
          Map.entry("mqueue_inode_cache", "mqueue_inode_info"),
          Map.entry("proc_inode_cache", "proc_inode"),
          Map.entry("proc_dir_entry", "proc_dir_entry"),
          Map.entry("sock_inode_cache", "socket_alloc"),
          Map.entry("shmem_inode_cache", "shmem_inode_info"),
          Map.entry("bdev_cache", "bdev_inode"),
          Map.entry("ext4_inode_cache", "ext4_inode_info"),
          Map.entry("kernfs_node_cache", "kernfs_node"),
          Map.entry("radix_tree_node", "xa_node"),
          Map.entry("skbuff_head_cache", "sk_buff"),
          Map.entry("skbuff_fclone_cache", "sk_buff_fclones"),
          Map.entry("uid_cache", "user_struct"),
          Map.entry("task_delay_info", "task_delay_info"),
          Map.entry("TCP", "tcp_sock"),
          Map.entry("TCPv6", "tcp6_sock"),
          Map.entry("UDP", "udp_sock"),
          Map.entry("UDPv6", "udp6_sock"),
          Map.entry("UNIX", "unix_sock"),
          Map.entry("RAW", "raw_sock"));

  /// Pointers to these have marks in their lowest bits, or end in numbers.
  private static final Set<String> MARKED =
      Set.of("struct rhash_head", "struct hlist_bl_node", "struct hlist_nulls_node");

  /// Structures of programs.
  private static final Set<String> OF_PROGRAMS =
      Set.of(
          "struct robust_list_head",
          "struct compat_robust_list_head",
          "struct rseq",
          "struct iovec",
          "struct compat_iovec",
          "struct msghdr",
          "struct user_msghdr",
          "struct siginfo",
          "struct sigaction",
          "struct pollfd",
          "struct timespec",
          "struct __kernel_timespec",
          "struct old_timespec32",
          "struct io_event",
          "struct iocb");

  /// Structures of which many words are what a program gave.
  private static final Set<String> HOLD_OF_PROGRAMS =
      Set.of("task_struct", "sighand_struct", "sigqueue", "io_kiocb", "aio_kiocb", "kioctx");

  private final Kernel kernel;
  private final Map<Long, Optional<StructLayout>> known = new HashMap<>();
  private final Map<Long, String[]> pointees = new HashMap<>();

  public StructNames(Kernel kernel) {
    this.kernel = kernel;
  }

  /// The structure of a cache's objects; empty if it is not known, or one of that name does not
  /// fill them.
  public Optional<StructLayout> of(SlabCache cache) {
    return known.computeIfAbsent(
        cache.address(),
        _ -> {
          String name = BY_CACHE.getOrDefault(cache.name(), cache.name());
          return kernel.struct(name).filter(struct -> isOf(struct, cache));
        });
  }

  /// Whether a cache's objects are of a structure: as large, or larger where it ends in an array of
  /// the machine's size, a task in the registers that the processor has. A cache may also serve
  /// others whose objects are larger. Names alone do not tell: Linux 7.x keeps more before the
  /// `struct socket_alloc` of sock_inode_cache.
  private static boolean isOf(StructLayout struct, SlabCache cache) {
    if (struct.name().equals("task_struct")) {
      return 2 * struct.size() > cache.objectSize();
    }
    if (struct.size() > cache.objectSize() || 2 * struct.size() <= cache.objectSize()) {
      return false;
    }
    return struct.size() == cache.objectSize()
        || cache.refcount() > 1
        || struct.all().stream().anyMatch(member -> isOpenArray(struct, member));
  }

  private static boolean isOpenArray(StructLayout struct, Member member) {
    return member.elementCount() == 0
        || (member.elementCount() > 0 && member.offset() + member.byteSize() == struct.size());
  }

  /// Whether a word of a cache's objects is a pointer that no program chooses, by its type: one to
  /// a structure of the kernel's own. Handlers of signals, lists of robust futexes and others are
  /// stored as they come.
  boolean isKernelsOwn(SlabCache cache, int offset) {
    String pointee = pointee(cache, offset);
    return pointee.startsWith("struct ")
        && !OF_PROGRAMS.contains(pointee)
        && of(cache).filter(struct -> HOLD_OF_PROGRAMS.contains(struct.name())).isEmpty();
  }

  /// The structure or function that a word of a cache's objects points to, by its type; empty if it
  /// is no pointer to one, or not known, or one in which kernels keep marks.
  String pointee(SlabCache cache, int offset) {
    if (!ObjectPass.isOfOneType(cache)) {
      return "";
    }
    String[] all =
        pointees.computeIfAbsent(
            cache.address(),
            _ -> of(cache).map(StructLayout::pointees).orElseGet(() -> new String[0]));
    String pointee = offset / 8 < all.length ? all[offset / 8] : null;
    return pointee == null || MARKED.contains(pointee) ? "" : pointee;
  }
}
