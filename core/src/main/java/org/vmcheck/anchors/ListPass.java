package org.vmcheck.anchors;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Ring;
import org.vmcheck.memory.MemoryRead;

/// The pass of a [ListSurvey].
final class ListPass {
  private static final int WORD = 8;
  private static final int MAX_NODES = 1 << 22;
  private static final int MAX_FILE_SYSTEMS = 4096;
  private static final int MAX_NAME = 64;

  /// Heads of circular lists that have a symbol of their own.
  private static final List<String> HEADS =
      List.of(
          "modules",
          "super_blocks",
          "net_namespace_list",
          "cgroup_roots",
          "workqueues",
          "vmap_area_list",
          "bdi_list",
          "crypto_alg_list",
          "dpm_list",
          "tty_drivers",
          "misc_list",
          "clocksource_list",
          "clockevent_devices",
          "ftrace_events",
          "formats",
          "pernet_list",
          "key_types_list",
          "shrinker_list",
          "acpi_bus_id_list",
          "irq_domain_list",
          "elv_list",
          "link_ops");

  /// Heads within a variable that has a symbol.
  private static final List<Inner> INNER =
      List.of(
          new Inner("init_net", "net", "dev_base_head"),
          new Inner("init_user_ns", "user_namespace", "keyring_name_list"),
          new Inner("init_css_set", "css_set", "tasks"),
          new Inner("init_css_set", "css_set", "cgrp_links"),
          new Inner("cgrp_dfl_root", "cgroup_root", "cgrp.cset_links"),
          new Inner("root_task_group", "task_group", "children"));

  /// Heads within each node of another list.
  private static final List<Below> BELOW =
      List.of(
          new Below("super_blocks", "super_block", "s_list", "s_inodes"),
          new Below("super_blocks", "super_block", "s_list", "s_mounts"),
          new Below("workqueues", "workqueue_struct", "list", "pwqs"),
          new Below("net_namespace_list", "net", "list", "dev_base_head"),
          new Below("modules", "module", "list", "source_list"),
          new Below("modules", "module", "list", "target_list"));

  private record Inner(String symbol, String struct, String member) {}

  private record Below(String symbol, String struct, String node, String head) {}

  private final Kernel kernel;
  private final boolean isStill;
  private final SortedMap<String, Long> lookedAt = new TreeMap<>();
  private final SortedMap<String, Long> notRead = new TreeMap<>();
  private final List<LinkFault> faults = new ArrayList<>();
  private final List<String> transients = new ArrayList<>();
  private final Set<Long> walked = new HashSet<>();
  private long bytes;

  ListPass(Kernel kernel, boolean isStill) {
    this.kernel = kernel;
    this.isStill = isStill;
  }

  ListSurvey run() {
    Map<String, List<Long>> nodes = new TreeMap<>();
    for (String name : HEADS) {
      List<Symbol> named = kernel.symbols().map(all -> all.all(name)).orElse(List.of());
      if (named.size() == 1) {
        nodes.put(name, ring(name, named.getFirst().address()));
      }
    }
    for (Inner inner : INNER) {
      OptionalLong at = kernel.symbol(inner.symbol);
      Optional<Member> member =
          kernel.struct(inner.struct).flatMap(t -> t.member(inner.member)).filter(ListPass::isList);
      if (at.isPresent() && member.isPresent()) {
        ring(inner.symbol + "." + inner.member, at.getAsLong() + member.get().offset());
      }
    }
    for (Below below : BELOW) {
      Optional<StructLayout> type = kernel.struct(below.struct, below.node, below.head);
      if (type.isPresent()
          && isList(type.get().member(below.node).orElseThrow())
          && isList(type.get().member(below.head).orElseThrow())) {
        int from = type.get().member(below.node).orElseThrow().offset();
        int to = type.get().member(below.head).orElseThrow().offset();
        for (long node : nodes.getOrDefault(below.symbol, List.of())) {
          Cancellation.check();
          ring(below.struct + "." + below.head, node - from + to);
        }
      }
    }
    fileSystems();
    DataLinks links = DataLinks.of(kernel, isStill);
    links.faults().stream()
        .filter(fault -> faults.stream().noneMatch(known -> known.address() == fault.address()))
        .forEach(faults::add);
    lookedAt.put("links in data", links.links());
    links.notRead().forEach((why, count) -> notRead.merge(why, count, Long::sum));
    bytes += links.links() * WORD;
    lookedAt.values().removeIf(count -> count == 0);
    return new ListSurvey(lookedAt, notRead, faults, transients, bytes);
  }

  /// Whether it is a `struct list_head`, which newer kernels made other lists of here and there.
  private static boolean isList(Member member) {
    return member.struct().filter(type -> type.name().equals("list_head")).isPresent();
  }

  /// The nodes of a list whose links are looked at; each list is walked once.
  private List<Long> ring(String name, long head) {
    if (!walked.add(head)) {
      return List.of();
    }
    if (kernel.word(head).orElse(0) == 0) {
      return List.of(); // Not set up in this kernel.
    }
    Ring ring = Ring.of(kernel, head, MAX_NODES, isStill);
    switch (ring.state()) {
      case Ring.State.Whole _ -> {
        lookedAt.merge("lists", 1L, Long::sum);
        lookedAt.merge("nodes", (long) ring.nodes().size(), Long::sum);
        bytes += 2L * WORD * (ring.nodes().size() + 1);
      }
      case Ring.State.Unread _ -> notRead.merge("lists", 1L, Long::sum);
      case Ring.State.TooLong _ -> notRead.merge("lists of more nodes", 1L, Long::sum);
      case Ring.State.HalfLinked(long address) ->
          transients.add("%s was being changed at 0x%x".formatted(name, address));
      case Ring.State.Wrong wrong -> {
        if ((wrong.expected() == 0 && wrong.value() == 0) || !isAnswered(head)) {
          return List.of(); // A list of another kind, or something else of that name.
        }
        lookedAt.merge("lists", 1L, Long::sum);
        LinkFault fault =
            new LinkFault(
                LinkFault.Kind.CIRCLE,
                name,
                wrong.member(),
                wrong.address(),
                wrong.value(),
                wrong.expected());
        if (isStill || fault.isFlip()) {
          faults.add(fault);
        } else {
          transients.add("%s is of more than one moment at 0x%x".formatted(name, wrong.address()));
        }
      }
    }
    return ring.nodes();
  }

  /// Whether one of a head's links leads to a node that leads back to it: one wrong word leaves the
  /// other.
  private boolean isAnswered(long head) {
    return kernel.word(kernel.word(head).orElse(0) + WORD).orElse(0) == head
        || kernel.word(kernel.word(head + WORD).orElse(0)).orElse(0) == head;
  }

  /// `file_systems` is singly linked: each node lies in the image or a module, and has a name that
  /// can be printed (Linux `fs/filesystems.c`).
  private void fileSystems() {
    OptionalLong head = kernel.symbol("file_systems");
    Optional<StructLayout> type = kernel.struct("file_system_type", "name", "next");
    if (head.isEmpty() || type.isEmpty()) {
      return;
    }
    int nameAt = type.get().member("name").orElseThrow().offset();
    int nextAt = type.get().member("next").orElseThrow().offset();
    long slot = head.getAsLong();
    Set<Long> met = new HashSet<>();
    while (met.size() < MAX_FILE_SYSTEMS) {
      OptionalLong at = kernel.word(slot);
      if (at.isEmpty()) {
        notRead.merge("lists", 1L, Long::sum);
        return;
      }
      if (at.getAsLong() == 0) {
        lookedAt.merge("lists", 1L, Long::sum);
        return;
      }
      long node = at.getAsLong();
      if (isMissing(node) || isMissing(node + nameAt)) {
        notRead.merge("lists", 1L, Long::sum);
        return;
      }
      if ((node & 7) != 0 || !isNamed(node + nameAt) || !met.add(node)) {
        if (isStill) {
          faults.add(new LinkFault(LinkFault.Kind.CHAIN, "file_systems", "next", slot, node, 0));
        }
        return;
      }
      lookedAt.merge("nodes", 1L, Long::sum);
      bytes += 2 * WORD;
      slot = node + nextAt;
    }
  }

  private boolean isMissing(long at) {
    return kernel.memory().read(at, WORD) instanceof MemoryRead.Missing;
  }

  private boolean isNamed(long at) {
    OptionalLong name = kernel.word(at);
    if (name.isEmpty() || isMissing(name.getAsLong())) {
      return name.isPresent();
    }
    String text = kernel.string(name.getAsLong(), MAX_NAME).orElse("");
    return !text.isEmpty() && Printable.of(text).equals(text);
  }
}
