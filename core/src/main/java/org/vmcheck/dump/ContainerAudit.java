package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/// What a container's tables say when they are held against each other and against the file's
/// length. Pages are counted; what is wrong with them is listed by runs of frames.
///
/// @param pages frames of the machine by what became of them
/// @param storedAs stored pages by codec, `raw`, or `shared page of zeros`
/// @param descriptors page descriptors that were read; 0 in formats without
/// @param defects what is wrong, in the order of the frames, at most [#MAX_LISTED]
/// @param unlisted defects beyond that
/// @param disorder tables that contradict each other, though each page may decode: bitmaps that
///   disagree, data that overlaps, one page's data in another's place
/// @param remarks what is unusual and does no harm
public record ContainerAudit(
    Pages pages,
    SortedMap<String, Long> storedAs,
    long descriptors,
    List<Defect> defects,
    long unlisted,
    List<String> disorder,
    List<String> remarks) {
  /// Runs listed one by one; a file with more is damaged all over.
  static final int MAX_LISTED = 256;

  public ContainerAudit {
    storedAs = new TreeMap<>(storedAs);
    defects = List.copyOf(defects);
    disorder = List.copyOf(disorder);
    remarks = List.copyOf(remarks);
  }

  /// Frames by state.
  ///
  /// @param total frames the machine had
  /// @param stored frames whose tables are in order
  /// @param excluded frames left out on purpose
  /// @param damaged frames that should be here and are not, by kind
  public record Pages(long total, long stored, long excluded, Map<PageRead.Damage, Long> damaged) {
    public Pages {
      damaged = damaged.isEmpty() ? Map.of() : new EnumMap<>(damaged);
    }

    public long damagedInAll() {
      return damaged.values().stream().mapToLong(Long::longValue).sum();
    }
  }

  /// Frames next to each other (among the stored ones) that the same thing is wrong with.
  ///
  /// @param firstPfn first frame
  /// @param lastPfn last frame, inclusive
  /// @param pages stored frames among them
  /// @param fileOffset where the first trouble lies in the (logical) file; 0 if nowhere
  /// @param reason of the first frame
  public record Defect(
      PageRead.Damage kind,
      long firstPfn,
      long lastPfn,
      long pages,
      long fileOffset,
      String reason) {}

  /// Gathers damaged frames, given in ascending order, into runs.
  static final class Collector {
    private final List<Defect> runs = new ArrayList<>();
    private final Map<PageRead.Damage, Long> counts = new EnumMap<>(PageRead.Damage.class);
    private Defect open;
    private long lastStored = -1;
    private long unlisted;

    /// A stored frame with nothing wrong.
    void good() {
      close();
    }

    void bad(PageRead.Damaged damaged) {
      counts.merge(damaged.damage(), 1L, Long::sum);
      if (open != null && open.kind == damaged.damage()) {
        open =
            new Defect(
                open.kind,
                open.firstPfn,
                damaged.pfn(),
                open.pages + 1,
                open.fileOffset,
                open.reason);
      } else {
        close();
        open =
            new Defect(
                damaged.damage(),
                damaged.pfn(),
                damaged.pfn(),
                1,
                damaged.fileOffset(),
                damaged.reason());
      }
      lastStored = damaged.pfn();
    }

    private void close() {
      if (open == null) {
        return;
      }
      if (runs.size() < MAX_LISTED) {
        runs.add(open);
      } else {
        unlisted++;
      }
      open = null;
    }

    List<Defect> runs() {
      close();
      return List.copyOf(runs);
    }

    long unlisted() {
      return unlisted;
    }

    Map<PageRead.Damage, Long> counts() {
      return counts;
    }

    long damaged() {
      return counts.values().stream().mapToLong(Long::longValue).sum();
    }

    /// The last damaged frame, or -1.
    long last() {
      return lastStored;
    }
  }
}
