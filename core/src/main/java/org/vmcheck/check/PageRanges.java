package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;

/// Runs of damaged page frames as evidence: where they lie in the file, and what the kernel kept in
/// them.
final class PageRanges {
  private static final int MAX_LISTED = 10;

  /// Frames of one run whose use is looked up.
  private static final int MAX_LOOKED_UP = 256;

  private PageRanges() {}

  /// One sentence a run, the first ten.
  static List<Evidence> evidence(Optional<Kernel> kernel, List<ContainerAudit.Defect> defects) {
    List<Evidence> evidence = new ArrayList<>();
    for (ContainerAudit.Defect defect : defects.subList(0, Math.min(MAX_LISTED, defects.size()))) {
      String use = kernel.flatMap(MemMap::of).map(map -> use(kernel, map, defect)).orElse("");
      evidence.add(
          new Evidence.PageLooksLike(
              defect.firstPfn(),
              defect.kind().words(),
              "%s, %s%s: %s%s"
                  .formatted(
                      defect.firstPfn() == defect.lastPfn()
                          ? "page frame 0x%x".formatted(defect.firstPfn())
                          : "page frames 0x%x to 0x%x (%d stored)"
                              .formatted(defect.firstPfn(), defect.lastPfn(), defect.pages()),
                      defect.fileOffset() == 0
                          ? "nowhere in the file"
                          : "file offset 0x%x".formatted(defect.fileOffset()),
                      defect.pages() > 1 ? " on" : "",
                      defect.reason(),
                      use.isEmpty() ? "" : "; in use as: " + use)));
    }
    return evidence;
  }

  /// Sum of the runs' pages.
  static long pages(List<ContainerAudit.Defect> defects) {
    return defects.stream().mapToLong(ContainerAudit.Defect::pages).sum();
  }

  /// What the kernel used a run for, most frequent first: `12 slab of dentry, 3 page table`.
  private static String use(Optional<Kernel> kernel, MemMap memMap, ContainerAudit.Defect defect) {
    Map<String, Integer> uses = new LinkedHashMap<>();
    long last = Math.min(defect.lastPfn(), defect.firstPfn() + MAX_LOOKED_UP - 1);
    for (long pfn = defect.firstPfn(); pfn <= last; pfn++) {
      PageState state = memMap.state(pfn);
      String words = state.kind().words();
      if (state.kind() == PageState.Kind.SLAB) {
        SlabCache cache = SlabCaches.of(kernel.orElseThrow()).byAddress().get(state.slabCache());
        words += cache == null ? "" : " of " + Printable.of(cache.name(), 40);
      }
      uses.merge(words, 1, Integer::sum);
    }
    StringBuilder text = new StringBuilder();
    uses.entrySet().stream()
        .sorted(Map.Entry.<String, Integer>comparingByValue().reversed())
        .limit(4)
        .forEach(
            entry ->
                text.append(text.isEmpty() ? "" : ", ")
                    .append(entry.getValue())
                    .append(" ")
                    .append(entry.getKey()));
    return text + (uses.size() > 4 ? " and others" : "");
  }
}
