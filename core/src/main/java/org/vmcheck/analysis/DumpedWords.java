package org.vmcheck.analysis;

import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// The words that findings are about, as the dump has them.
final class DumpedWords implements TornSnapshot.Words {
  /// Links lie at one place in all page descriptors, which are that far apart.
  private static final long DESCRIPTOR = 64;

  private final Kernel kernel;
  private final Optional<MemMap> memMap;
  private final Optional<LivingObjects> living;

  DumpedWords(Kernel kernel) {
    this.kernel = kernel;
    this.memMap = MemMap.of(kernel);
    this.living = memMap.map(map -> new LivingObjects(kernel, map));
  }

  @Override
  public boolean usersHaveNoText(Finding finding) {
    Subject subject = finding.subject();
    return living.isPresent()
        && subject.object() != Evidence.UNKNOWN
        && living.get().neverText(subject.cache(), subject.address() - subject.object());
  }

  @Override
  public boolean mayBeOlder(Finding finding) {
    Subject subject = finding.subject();
    return switch (finding.check()) {
      case "slab.freelist" -> leadsToObject(subject);
      case "slab.lists" -> isLink(subject);
      default -> false;
    };
  }

  private boolean leadsToObject(Subject subject) {
    if (memMap.isEmpty()
        || subject.object() == Evidence.UNKNOWN
        || subject.decoded() == Evidence.UNKNOWN) {
      return false;
    }
    PageState page =
        memMap.get().state(kernel.memory().pfn(kernel.memory().physicalAddress(subject.object())));
    if (page.kind() != PageState.Kind.SLAB) {
      return false;
    }
    List<SlabView> views = SlabSurvey.views(kernel, memMap.get(), List.of(page.headPfn()));
    return !views.isEmpty() && views.getFirst().slab().index(subject.decoded()) >= 0;
  }

  private boolean isLink(Subject subject) {
    long raw = subject.raw();
    if (raw >= 0 || (raw & 7) != 0 || kernel.memory().physicalAddress(raw) < 0) {
      return false;
    }
    // Both words of a link lead to the first of another.
    long distance = raw - subject.address();
    return !isDescriptor(raw)
        || !isDescriptor(subject.address())
        || distance % DESCRIPTOR == 0
        || (distance + 8) % DESCRIPTOR == 0;
  }

  private boolean isDescriptor(long address) {
    return memMap.filter(map -> map.pfn(address & -DESCRIPTOR) >= 0).isPresent();
  }
}
