package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.codec.Codecs;

/// Reads every page descriptor of a kdump-compressed dump and holds bitmaps, descriptors and the
/// file's length against each other.
final class KdumpAudit {
  /// Places of data that are kept to look for overlaps once data is found out of order.
  private static final int MAX_SPANS = 1 << 22;

  private static final int MAX_SHARED = 1024;

  private final KdumpDump dump;
  private final ContainerAudit.Collector collector = new ContainerAudit.Collector();
  private final SortedMap<String, Long> storedAs = new TreeMap<>();
  private final List<String> disorder = new ArrayList<>();
  private final List<String> remarks = new ArrayList<>();
  private long descriptors;
  private long stored;

  private KdumpAudit(KdumpDump dump) {
    this.dump = dump;
  }

  static ContainerAudit of(KdumpDump dump) {
    KdumpAudit audit = new KdumpAudit(dump);
    audit.run();
    PageBitmap exists = dump.exists();
    return new ContainerAudit(
        new ContainerAudit.Pages(
            exists.setCount(),
            audit.stored,
            exists.countNotIn(dump.dumpable()),
            audit.collector.counts()),
        audit.storedAs,
        audit.descriptors,
        audit.collector.runs(),
        audit.collector.unlisted(),
        audit.disorder,
        audit.remarks);
  }

  private void run() {
    PageBitmap dumpable = dump.dumpable();
    long notInFirst = dumpable.countNotIn(dump.exists());
    if (notInFirst > 0) {
      disorder.add(
          "%d frames are marked as stored in the second bitmap and as no memory in the first"
              .formatted(notInFirst));
    }
    long pfn = dumpable.nextSet(0);
    for (KdumpPart part : dump.parts()) {
      while (pfn >= 0 && pfn < part.startPfn()) {
        missing(pfn);
        pfn = dumpable.nextSet(pfn + 1);
      }
      pfn = part(part, pfn);
      FlattenedSource.remarks(part.source(), remarks);
    }
    while (pfn >= 0) {
      missing(pfn);
      pfn = dumpable.nextSet(pfn + 1);
    }
  }

  private void missing(long pfn) {
    if (dump.defect(pfn).orElse(null) instanceof PageRead.Damaged damaged) {
      collector.bad(damaged);
    }
  }

  /// The frames of one file.
  ///
  /// @return the first stored frame behind it, or -1
  private long part(KdumpPart part, long firstPfn) {
    PageBitmap dumpable = dump.dumpable();
    Spans spans = new Spans();
    long pfn = firstPfn;
    for (long index = 0; pfn >= 0 && pfn < part.endPfn(); index++) {
      switch (locate(pfn, part, index)) {
        case KdumpDump.Location.At at -> {
          descriptors++;
          stored++;
          boolean own = spans.add(at, pfn);
          if (own) {
            collector.good();
          }
          // A page of zeros lies at the start of the file: it says nothing of its neighbours.
          String how =
              !own
                  ? "shared page of zeros"
                  : at.codecFlags() == 0
                      ? "raw"
                      : Codecs.byFlag(at.codecFlags()).orElseThrow().name();
          storedAs.merge(how, 1L, Long::sum);
        }
        case KdumpDump.Location.Nowhere(PageRead why) -> {
          if (why instanceof PageRead.Damaged damaged) {
            if (damaged.damage() == PageRead.Damage.UNDECODABLE) {
              descriptors++;
              dump.damagedPages().add(damaged.pfn());
            }
            collector.bad(damaged);
          }
          // What cannot be read is no damage of the file: the dump itself keeps count of it.
        }
      }
      pfn = dumpable.nextSet(pfn + 1);
    }
    spans.judge(part);
    return pfn;
  }

  private KdumpDump.Location locate(long pfn, KdumpPart part, long index) {
    try {
      return dump.locate(pfn, part, index);
    } catch (IOException e) {
      return new KdumpDump.Location.Nowhere(
          new PageRead.Damaged(pfn, 0, PageRead.Damage.TRUNCATED, e.getMessage()));
    } catch (InternalError lost) {
      return new KdumpDump.Location.Nowhere(dump.unreadable(pfn, lost));
    }
  }

  /// Where the data of one file's pages lies. Writers lay it out in the order of the frames without
  /// gaps; only the page of zeros is shared.
  private final class Spans {
    private long end;
    private long outOfOrder;
    private long firstOutOfOrder = -1;
    private long sameData;
    private long firstSameData = -1;
    private final Set<Long> zeroPages = new HashSet<>();
    private long[] offsets = new long[1024];
    private int[] sizes = new int[1024];
    private int count;

    /// @return false if the page shares a page of zeros
    boolean add(KdumpDump.Location.At at, long pfn) {
      if (at.offset() >= end) {
        end = at.offset() + at.byteCount();
        keep(at);
        return true;
      }
      if (at.codecFlags() == 0 && (zeroPages.contains(at.offset()) || isZeroPage(at))) {
        if (zeroPages.size() < MAX_SHARED) {
          zeroPages.add(at.offset());
        }
        return false;
      }
      int earlier = outOfOrder == 0 ? Arrays.binarySearch(offsets, 0, count, at.offset()) : -1;
      if (earlier >= 0 && sizes[earlier] == at.byteCount()) {
        sameData++;
        firstSameData = firstSameData < 0 ? pfn : firstSameData;
        return true;
      }
      outOfOrder++;
      firstOutOfOrder = firstOutOfOrder < 0 ? pfn : firstOutOfOrder;
      keep(at);
      return true;
    }

    private void keep(KdumpDump.Location.At at) {
      if (count == MAX_SPANS) {
        return;
      }
      if (count == offsets.length) {
        offsets = Arrays.copyOf(offsets, count * 2);
        sizes = Arrays.copyOf(sizes, count * 2);
      }
      offsets[count] = at.offset();
      sizes[count++] = at.byteCount();
    }

    private boolean isZeroPage(KdumpDump.Location.At at) {
      if (at.codecFlags() != 0) {
        return false;
      }
      try {
        return isZero(at.part().source().slice(at.offset(), at.byteCount()));
      } catch (IOException _) {
        return false;
      }
    }

    void judge(KdumpPart part) {
      String name = part.source().name();
      if (sameData > 0) {
        disorder.add(
            "[%s] %d pages share the data of another page, which is not a page of zeros; first frame 0x%x"
                .formatted(name, sameData, firstSameData));
      }
      if (outOfOrder > 0) {
        long overlapping = overlaps();
        (overlapping > 0 ? disorder : remarks)
            .add(
                ("[%s] the data of %d pages lies before that of the page before it, first at frame"
                        + " 0x%x; %s")
                    .formatted(
                        name,
                        outOfOrder,
                        firstOutOfOrder,
                        overlapping > 0
                            ? overlapping + " pages overlap the data of others"
                            : count < MAX_SPANS
                                ? "none overlaps another"
                                : "none of the first " + MAX_SPANS + " overlaps another"));
      }
    }

    private long overlaps() {
      long[] packed = new long[count];
      boolean fits = true;
      for (int i = 0; i < count; i++) {
        // Sizes are at most 256 KiB: 19 bits.
        fits &= offsets[i] < 1L << 44;
        packed[i] = offsets[i] << 19 | sizes[i];
      }
      if (!fits) {
        return 0;
      }
      Arrays.sort(packed);
      long overlapping = 0;
      long until = 0;
      for (long span : packed) {
        long offset = span >>> 19;
        if (offset < until) {
          overlapping++;
        }
        until = Math.max(until, offset + (span & (1 << 19) - 1));
      }
      return overlapping;
    }
  }

  private static boolean isZero(MemorySegment bytes) {
    return bytes.mismatch(MemorySegment.ofArray(new byte[Math.toIntExact(bytes.byteSize())])) == -1;
  }
}
