package org.vmcheck.page;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;

/// The page frames of each NUMA node (`pglist_data.node_start_pfn`, `node_spanned_pages`). Spans of
/// nodes may overlap; a frame outside a node's span is not the node's.
public final class NodeSpans {
  private static final int MAX_NODES = 1024;

  private final List<Span> spans;

  private NodeSpans(List<Span> spans) {
    this.spans = spans;
  }

  /// @param exists false for a number that no node of this machine has
  private record Span(long start, long end, boolean exists) {}

  /// Empty where the kernel has one node only, or does not tell.
  public static Optional<NodeSpans> of(Kernel kernel) {
    OptionalLong table = kernel.symbol("node_data");
    Optional<StructLayout> type =
        kernel.struct("pglist_data", "node_start_pfn", "node_spanned_pages");
    int nodes = (int) Math.min(kernel.variable32("nr_node_ids").orElse(0), MAX_NODES);
    if (table.isEmpty() || type.isEmpty() || nodes < 2) {
      return Optional.empty();
    }
    List<Span> spans = new ArrayList<>();
    for (int id = 0; id < nodes; id++) {
      OptionalLong node = kernel.word(table.getAsLong() + 8L * id);
      if (node.isPresent() && node.getAsLong() == 0) {
        spans.add(new Span(0, Long.MAX_VALUE, false));
        continue;
      }
      if (node.isEmpty()
          || !(StructRef.read(kernel.memory(), type.get(), node.getAsLong())
              instanceof StructRef data)) {
        spans.add(new Span(0, Long.MAX_VALUE, true));
        continue;
      }
      long start = data.get("node_start_pfn");
      spans.add(new Span(start, start + data.get("node_spanned_pages"), true));
    }
    // Node numbers that are only claimed cost work for each cache.
    while (!spans.isEmpty() && !spans.getLast().exists) {
      spans.removeLast();
    }
    return Optional.of(new NodeSpans(List.copyOf(spans)));
  }

  /// How many numbers of nodes there are, up to the last that exists.
  public int count() {
    return spans.size();
  }

  /// Whether each frame is of one node at most, so that [#nodeOf] tells which.
  public boolean areDisjoint() {
    List<Span> inOrder =
        spans.stream()
            .filter(span -> span.exists && span.start < span.end)
            .sorted(Comparator.comparingLong(Span::start))
            .toList();
    for (int i = 1; i < inOrder.size(); i++) {
      if (inOrder.get(i).start < inOrder.get(i - 1).end) {
        return false;
      }
    }
    return true;
  }

  /// The node of a frame, if spans are disjoint; -1 if it is in none.
  public int nodeOf(long pfn) {
    for (int id = 0; id < spans.size(); id++) {
      Span span = spans.get(id);
      if (span.exists && pfn >= span.start && pfn < span.end) {
        return id;
      }
    }
    return -1;
  }

  /// Whether a frame can be of a node.
  public boolean has(int node, long pfn) {
    return node < 0
        || node >= spans.size()
        || (pfn >= spans.get(node).start && pfn < spans.get(node).end);
  }
}
