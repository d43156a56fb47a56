package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.Words;

/// Freelists that end at a page which the dump does not hold: many findings with one cause, and not
/// the kernel's. They become one.
public final class MissingSlabs {
  private static final int MAX_EVIDENCE = 10;

  private MissingSlabs() {}

  /// The findings with those of each container cause folded into one.
  ///
  /// @param container no dump level leaves out slab pages, so where the writer says page by page
  ///   what it left out, it misread the kernel
  public static List<Finding> fold(List<Finding> findings, Container container) {
    Map<Cause, List<Finding>> byCause = new LinkedHashMap<>();
    List<Finding> others = new ArrayList<>();
    for (Finding finding : findings) {
      switch (finding.cause()) {
        case PAGE_EXCLUDED, DUMP_TRUNCATED, PAGE_UNDECODABLE ->
            byCause.computeIfAbsent(finding.cause(), _ -> new ArrayList<>()).add(finding);
        default -> others.add(finding);
      }
    }
    byCause.forEach((cause, same) -> others.add(folded(cause, same, container)));
    return others;
  }

  /// A slab of which pages are not in the dump, although no freelist ends there.
  public static Finding finding(Kernel kernel, String check, SlabFault.Absent absent) {
    Slab slab = absent.slab();
    long physical = kernel.memory().physicalAddress(absent.address());
    return new Finding(
        check,
        Layer.CONTAINER,
        Severity.CORRUPT,
        cause(absent.why()),
        "%s of a slab of cache %s cannot be read"
            .formatted(
                Words.plural(absent.objects(), "object", "objects"), Words.name(slab.cache())),
        Subject.cache(Words.name(slab.cache()))
            .withSlab(slab.address())
            .withAddress(absent.address(), physical),
        List.of(
            new Evidence.PageLooksLike(
                kernel.memory().pfn(physical),
                absent.why().words(),
                "page frame 0x%x, a slab of cache %s, is %s"
                    .formatted(
                        kernel.memory().pfn(physical),
                        Words.name(slab.cache()),
                        absent.why().words()))),
        List.of(),
        check + "/" + cause(absent.why()).id());
  }

  /// Why a page that should be in the dump is not.
  static Cause cause(PageRead why) {
    return switch (why) {
      case PageRead.Excluded _, PageRead.NotInDump _ -> Cause.PAGE_EXCLUDED;
      case PageRead.Damaged(long _, long _, PageRead.Damage damage, String _) ->
          damage == PageRead.Damage.UNDECODABLE ? Cause.PAGE_UNDECODABLE : Cause.DUMP_TRUNCATED;
      case PageRead.Unreadable _ -> Cause.DUMP_TRUNCATED;
      case PageRead.Present _ -> throw new IllegalArgumentException("the page is there");
    };
  }

  /// Whether a finding says that slabs cannot be read, and not that one is wrong.
  public static boolean isOf(Finding finding) {
    return switch (finding.cause()) {
      case PAGE_EXCLUDED, DUMPER_EXCLUDED_SLAB, DUMP_TRUNCATED, PAGE_UNDECODABLE -> true;
      default -> false;
    };
  }

  private static Finding folded(Cause cause, List<Finding> same, Container container) {
    Finding first = same.getFirst();
    List<Evidence> evidence = new ArrayList<>();
    for (Finding finding : same.subList(0, Math.min(MAX_EVIDENCE, same.size()))) {
      evidence.add(finding.evidence().getFirst());
    }
    String state =
        switch (cause) {
          case PAGE_EXCLUDED -> "were left out of";
          case DUMP_TRUNCATED -> "are missing from";
          default -> "do not decode in";
        };
    return new Finding(
        first.check(),
        first.layer(),
        first.severity(),
        cause == Cause.PAGE_EXCLUDED && container.dumpLevel() >= 0
            ? Cause.DUMPER_EXCLUDED_SLAB
            : cause,
        "%s of the kernel cannot be read whole: pages of them %s the dump"
            .formatted(Words.plural(same.size(), "slab", "slabs"), state),
        same.size() == 1 ? first.subject() : Subject.NONE,
        evidence,
        List.of(),
        first.check() + "/" + cause.id());
  }
}
