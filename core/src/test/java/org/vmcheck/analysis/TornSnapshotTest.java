package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.task.Moments;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SampleReports;
import org.vmcheck.testing.SlabImage;

/// What is put down to a copy made while the kernel ran, and what never is.
class TornSnapshotTest {
  /// Every page is by itself and holds this and that.
  private static final TornSnapshot.Pages ORDINARY = pages(pfn -> pfn, -1);

  private interface Heads {
    long head(long pfn);
  }

  private static TornSnapshot.Pages pages(Heads heads, int onlyByte) {
    return new TornSnapshot.Pages() {
      @Override
      public long head(long pfn) {
        return heads.head(pfn);
      }

      @Override
      public long pfn(long physical) {
        return physical >>> 12;
      }

      @Override
      public int onlyByte(long physical) {
        return onlyByte;
      }
    };
  }

  private static KernelFacts kernel(String panic, int cpu, long crashTime) {
    KernelFacts.PanicFacts facts = new KernelFacts.PanicFacts(panic, cpu, crashTime, List.of());
    return SampleReports.kernel(facts);
  }

  private static final KernelFacts RUNNING = kernel("", -1, 0);

  private static Finding finding(String check, Cause cause, String cache, long pfn) {
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        "of " + cache,
        Subject.cache(cache).withAddress(0xffff888000000000L + (pfn << 12), pfn << 12),
        List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
        List.of(),
        check + "/" + cache);
  }

  private static TornSnapshot.Words words(boolean textIsStrange, boolean mayBeOlder) {
    return new TornSnapshot.Words() {
      @Override
      public boolean usersHaveNoText(Finding finding) {
        return textIsStrange;
      }

      @Override
      public boolean mayBeOlder(Finding finding) {
        return mayBeOlder;
      }
    };
  }

  private static final List<Moments.Disagreement> PROOF =
      List.of(
          new Moments.Disagreement(Moments.Kind.TICKS, "ticks", 0x1000),
          new Moments.Disagreement(Moments.Kind.CURRENT_TASK, "two tasks", 0x9000));

  private static CheckOutcome ran(String check, List<Finding> findings) {
    return new CheckOutcome.Ran(check, "", Map.of(), findings, List.of(), Coverage.NONE);
  }

  /// One broken list in each of some caches, on frames that lie so far from each other, and a wrong
  /// counter in the first.
  private static List<CheckOutcome> broken(int caches, int distance) {
    List<Finding> lists = new ArrayList<>();
    for (int i = 0; i < caches; i++) {
      lists.add(
          finding(
              "slab.freelist", Cause.USE_AFTER_FREE_WRITE, "c" + i, 1000 + (long) i * distance));
    }
    return List.of(
        ran("slab.freelist", lists),
        ran("slab.counts", List.of(finding("slab.counts", Cause.COUNTER_MISMATCH, "c0", 9_000))));
  }

  private static List<CheckOutcome> gather(
      List<CheckOutcome> outcomes, KernelFacts kernel, TornSnapshot.Pages pages) {
    return gather(outcomes, kernel, pages, List.of());
  }

  private static List<CheckOutcome> gather(
      List<CheckOutcome> outcomes,
      KernelFacts kernel,
      TornSnapshot.Pages pages,
      List<Moments.Disagreement> proof) {
    return TornSnapshot.gather(
        outcomes,
        kernel,
        () -> new TornSnapshot(pages, words(true, false), proof, "no line of its log says so"));
  }

  private static List<Cause> causes(List<CheckOutcome> outcomes) {
    return outcomes.stream()
        .flatMap(outcome -> outcome.findingsIfRan().stream())
        .map(Finding::cause)
        .distinct()
        .toList();
  }

  @Test
  void manyCachesFarApartAreTorn() {
    assertThat(causes(gather(broken(8, 2), RUNNING, ORDINARY)))
        .containsExactly(Cause.TORN_SNAPSHOT);
  }

  @Test
  void fewerAreNot() {
    List<CheckOutcome> outcomes = broken(7, 2);

    assertThat(gather(outcomes, RUNNING, ORDINARY)).isSameAs(outcomes);
  }

  @Test
  void pointersAloneAreNot() {
    List<CheckOutcome> outcomes = broken(20, 2).subList(0, 1);

    assertThat(gather(outcomes, RUNNING, ORDINARY)).isSameAs(outcomes);
  }

  @Test
  void whatLiesOnOnePageOrInARunOfPagesIsOneFault() {
    for (int distance : new int[] {0, 1}) {
      List<CheckOutcome> outcomes = broken(64, distance);

      assertThat(gather(outcomes, RUNNING, ORDINARY)).isSameAs(outcomes);
    }
  }

  @Test
  void whatLiesInOneBlockOfPagesIsOneFault() {
    List<CheckOutcome> outcomes = broken(16, 2);

    assertThat(gather(outcomes, RUNNING, pages(pfn -> pfn & ~63, -1))).isSameAs(outcomes);
  }

  @Test
  void manyPlacesOfFewCachesAreNotTorn() {
    List<Finding> lists = new ArrayList<>();
    for (int i = 0; i < 64; i++) {
      lists.add(finding("slab.lists", Cause.LIST_BROKEN, "c" + i, 500));
      lists.add(finding("slab.freelist", Cause.USE_AFTER_FREE_WRITE, "c1", 1000 + 2L * i));
    }
    List<CheckOutcome> outcomes = List.of(ran("slab.lists", lists));

    assertThat(gather(outcomes, RUNNING, ORDINARY)).isSameAs(outcomes);
  }

  @Test
  void aKernelThatHadPanickedIsNeverTorn() {
    List<CheckOutcome> outcomes = broken(20, 2);
    for (KernelFacts kernel :
        List.of(kernel("Kernel panic", -1, 0), kernel("", 0, 0), kernel("", -1, 1))) {
      assertThat(gather(outcomes, kernel, ORDINARY)).isSameAs(outcomes);
    }
  }

  /// An older head may differ in one bit from the one that belongs there: real torn dumps have
  /// such.
  private static Finding headOneBitOff() {
    long slab = 0xffffea0000001000L;
    return new Finding(
        "slab.freelist",
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.BIT_FLIP,
        "at its head",
        Subject.cache("c2").withSlab(slab).withAddress(slab + 32, 1000L << 12),
        List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
        List.of(),
        "slab.freelist/c2");
  }

  /// That the rest of a list would close is no proof where its halves are of different moments.
  @Test
  void aListThatWouldCloseElsewhereIsTornToo() {
    List<CheckOutcome> outcomes = broken(9, 3);
    CheckOutcome.Ran lists = (CheckOutcome.Ran) outcomes.getFirst();
    List<Finding> closing =
        lists.findings().stream()
            .map(
                one ->
                    one.withEvidence(
                        List.of(new Evidence.WhatIf("the rest of the list", "it closes"))))
            .toList();
    List<CheckOutcome> changed = List.of(lists.withFindings(closing), outcomes.get(1));
    assertThat(gather(changed, RUNNING, ORDINARY).stream().flatMap(o -> o.findingsIfRan().stream()))
        .extracting(Finding::cause)
        .containsOnly(Cause.TORN_SNAPSHOT);
  }

  @Test
  void whatNoTwoMomentsExplainStays() {
    List<Finding> lists = new ArrayList<>(broken(20, 2).getFirst().findingsIfRan());
    Finding flip = finding("slab.freelist", Cause.BIT_FLIP, "c0", 1000);
    Finding member =
        finding("slab.freelist", Cause.METADATA_OVERWRITTEN, "c1", 1000)
            .withEvidence(List.of(new Evidence.WhatIf("kmem_cache.random", "all close")));
    lists.add(flip);
    lists.add(member);
    lists.add(headOneBitOff());
    List<CheckOutcome> outcomes = List.of(ran("slab.freelist", lists), broken(1, 0).get(1));

    List<Finding> left = gather(outcomes, RUNNING, ORDINARY).getFirst().findingsIfRan();

    assertThat(left).hasSize(3).startsWith(flip, member);
    assertThat(left.getLast().cause()).isEqualTo(Cause.TORN_SNAPSHOT);
  }

  @Test
  void oneDisagreementIsTornWhereTwoMomentsAreProven() {
    List<CheckOutcome> outcomes = broken(1, 0);

    assertThat(gather(outcomes, RUNNING, ORDINARY)).isSameAs(outcomes);
    assertThat(causes(gather(outcomes, RUNNING, ORDINARY, PROOF)))
        .containsExactly(Cause.TORN_SNAPSHOT);
    assertThat(gather(outcomes, kernel("Kernel panic", -1, 0), ORDINARY, PROOF)).isSameAs(outcomes);
  }

  @Test
  void provenMomentsAreAFindingOfTheirOwn() {
    List<CheckOutcome> outcomes = List.of(ran("slab.lists", List.of()));

    assertThat(causes(gather(outcomes, RUNNING, ORDINARY, PROOF)))
        .containsExactly(Cause.TORN_SNAPSHOT);
  }

  /// The objects of a slab are often one bit of an address apart.
  @Test
  void aFlippedBitStaysUnlessItGivesAnOlderPointer() {
    List<CheckOutcome> outcomes =
        List.of(
            ran("slab.freelist", List.of(finding("slab.freelist", Cause.BIT_FLIP, "c0", 1000))));

    assertThat(causes(gather(outcomes, RUNNING, ORDINARY, PROOF))).containsExactly(Cause.BIT_FLIP);
    assertThat(
            causes(
                new TornSnapshot(ORDINARY, words(false, true), PROOF, "no line").gather(outcomes)))
        .containsExactly(Cause.TORN_SNAPSHOT);
  }

  /// Text in a list that is whole but for it, of a cache whose users have none: nobody left it.
  @Test
  void textThatNoUserLeavesStays() {
    Finding text = finding("slab.freelist", Cause.USE_AFTER_FREE_WRITE, "c0", 1000);
    text =
        new Finding(
            text.check(),
            text.layer(),
            text.severity(),
            text.cause(),
            text.claim(),
            text.subject().withObject(0xffff888000001000L).withWord(0x4141414141414141L, 0),
            List.of(new Evidence.WhatIf("the rest of the list", "it closes")),
            List.of(),
            text.fingerprint());
    List<CheckOutcome> outcomes = List.of(ran("slab.freelist", List.of(text)));

    assertThat(causes(gather(outcomes, RUNNING, ORDINARY, PROOF)))
        .containsExactly(Cause.USE_AFTER_FREE_WRITE);
    assertThat(
            causes(
                new TornSnapshot(ORDINARY, words(false, false), PROOF, "no line").gather(outcomes)))
        .containsExactly(Cause.TORN_SNAPSHOT);
  }

  @Test
  void aPageOfOneValueIsTornOnlyIfItMayBeCleared() {
    List<CheckOutcome> outcomes = broken(20, 2);

    // The counter's page of zeros is the allocator's own: then pointers alone are left.
    assertThat(gather(outcomes, RUNNING, pages(pfn -> pfn, 0))).isSameAs(outcomes);
    assertThat(gather(outcomes, RUNNING, pages(pfn -> pfn, 0x41))).isSameAs(outcomes);
  }

  @Test
  void whatIsGatheredIsCountedAndNoted() {
    List<CheckOutcome> outcomes = new ArrayList<>(broken(9, 2));
    CheckOutcome sound = ran("slab.lists", List.of());
    Finding page = finding("container.pages", Cause.PAGE_EXCLUDED, "", 70);
    CheckOutcome container = ran("container.pages", List.of(page));
    outcomes.addAll(List.of(sound, container));

    List<CheckOutcome> gathered = gather(outcomes, RUNNING, ORDINARY);

    CheckOutcome.Ran lists = (CheckOutcome.Ran) gathered.getFirst();
    assertThat(lists.findings().getFirst().claim())
        .isEqualTo(
            "the dump mixes moments: 9 caches disagree with themselves, and no panic is known");
    assertThat(lists.findings().getFirst().evidence())
        .extracting(Evidence::sentence)
        .containsExactly(
            "10 disagreements between page descriptors, lists and objects in 9 caches",
            "no line of its log says so",
            "for example: of c0");
    assertThat(lists.notes())
        .containsExactly(new Note("torn snapshot", "9 findings are put down to the torn snapshot"));
    CheckOutcome.Ran counts = (CheckOutcome.Ran) gathered.get(1);
    assertThat(counts.findings()).isEmpty();
    assertThat(counts.notes())
        .containsExactly(new Note("torn snapshot", "1 finding is put down to the torn snapshot"));
    assertThat(gathered.get(2)).isSameAs(sound);
    assertThat(gathered.get(3)).isSameAs(container);
  }

  /// The guard page's word and its metadata are of two moments too; other checks' findings are not.
  @Test
  void canariesOfATornDumpAreGathered() {
    List<CheckOutcome> outcomes = new ArrayList<>(broken(8, 2));
    outcomes.add(
        ran(
            "kfence.canaries",
            List.of(finding("kfence.canaries", Cause.REDZONE_OVERWRITTEN, "k", 9))));
    Finding panic = finding("log.witness", Cause.REDZONE_OVERWRITTEN, "k", 9);
    outcomes.add(ran("log.witness", List.of(panic)));

    List<CheckOutcome> gathered = gather(outcomes, RUNNING, ORDINARY);

    assertThat(gathered.get(2).findingsIfRan()).isEmpty();
    assertThat(gathered.get(3).findingsIfRan()).containsExactly(panic);
  }

  @Test
  void aClearedPageOfASlabIsTornAndAFilledOneIsNot() {
    List<CheckOutcome> outcomes = broken(9, 2);
    TornSnapshot.Pages cleared = onPages(physical -> physical == 1000L << 12 ? 0 : -1);
    TornSnapshot.Pages filled = onPages(physical -> physical == 1000L << 12 ? 0x6b : -1);

    assertThat(gather(outcomes, RUNNING, cleared).getFirst().findingsIfRan())
        .extracting(Finding::cause)
        .containsExactly(Cause.TORN_SNAPSHOT);
    assertThat(gather(outcomes, RUNNING, filled).getFirst().findingsIfRan())
        .extracting(Finding::cause)
        .containsExactly(Cause.USE_AFTER_FREE_WRITE, Cause.TORN_SNAPSHOT);
    assertThat(((CheckOutcome.Ran) gather(outcomes, RUNNING, filled).getFirst()).notes())
        .containsExactly(new Note("torn snapshot", "8 findings are put down to the torn snapshot"));
  }

  @Test
  void whatHasNoPlaceIsGatheredAndIsNoPlace() {
    List<Finding> lists = new ArrayList<>(broken(8, 2).getFirst().findingsIfRan());
    Finding nowhere =
        new Finding(
            "slab.lists",
            Layer.KERNEL,
            Severity.CORRUPT,
            Cause.LIST_BROKEN,
            "of c9",
            Subject.cache("c9"),
            List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
            List.of(),
            "slab.lists/c9");
    TornSnapshot.Pages pages = onPages(physical -> physical == Evidence.UNKNOWN ? 0x6b : -1);
    List<CheckOutcome> many =
        List.of(ran("slab.freelist", lists), ran("slab.lists", List.of(nowhere)));
    List<CheckOutcome> few =
        List.of(ran("slab.freelist", lists.subList(0, 7)), ran("slab.lists", List.of(nowhere)));

    assertThat(causes(gather(many, RUNNING, pages))).containsExactly(Cause.TORN_SNAPSHOT);
    assertThat(gather(few, RUNNING, pages)).isSameAs(few);
  }

  private interface Bytes {
    int only(long physical);
  }

  private static TornSnapshot.Pages onPages(Bytes bytes) {
    return new TornSnapshot.Pages() {
      @Override
      public long head(long pfn) {
        return pfn;
      }

      @Override
      public long pfn(long physical) {
        return physical >>> 12;
      }

      @Override
      public int onlyByte(long physical) {
        return bytes.only(physical);
      }
    };
  }

  /// Two caches share a page, and one of them has another place: each has one of its own.
  @Test
  void sharedPlacesAreGivenToWhoHasNoOther() {
    List<Finding> lists = new ArrayList<>(broken(6, 2).getFirst().findingsIfRan());
    lists.add(finding("slab.freelist", Cause.USE_AFTER_FREE_WRITE, "a", 500));
    lists.add(finding("slab.freelist", Cause.USE_AFTER_FREE_WRITE, "a", 600));
    List<Finding> counts = new ArrayList<>();
    counts.add(finding("slab.counts", Cause.COUNTER_MISMATCH, "b", 500));
    List<CheckOutcome> outcomes = List.of(ran("slab.freelist", lists), ran("slab.counts", counts));

    assertThat(causes(gather(outcomes, RUNNING, ORDINARY))).containsExactly(Cause.TORN_SNAPSHOT);

    counts.add(finding("slab.counts", Cause.COUNTER_MISMATCH, "c", 500));
    lists.removeIf(one -> one.subject().cache().equals("c0"));
    List<CheckOutcome> fewer = List.of(ran("slab.freelist", lists), ran("slab.counts", counts));
    assertThat(gather(fewer, RUNNING, ORDINARY)).isSameAs(fewer);
  }

  private static FakeKernel withCaches() {
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).seed(5).running();
    for (int i = 0; i < 16; i++) {
      kernel.cache("cache-" + i, 64 + 8 * i);
    }
    return kernel;
  }

  private static DumpReport check(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  /// What the rule is told of a kernel's pages.
  @Test
  void pagesOfABlockAreOnePlaceAndAPageOfOneByteIsKnown() {
    FakeImage image =
        FakeKernel.of(Layout.V6_1)
            .seed(5)
            .cache(FakeCache.named("wide", 1024).partial(4).full(2))
            .build();
    SlabImage slab = image.cache("wide").slabs().getFirst();
    assertThat(slab.order()).isPositive();
    long first = slab.pfn() << 12;
    image.fill(slab.base() + 4096, 0x5a, 4096);
    image.fill(slab.base(), 0, 4096);
    image.corruptWord(slab.base() + 8, 1);
    SlabImage gone = image.cache("wide").slabs().getLast();
    image.exclude(gone.pfn());

    TornSnapshot.Pages pages = TornSnapshot.pages(image.kernel());

    assertThat(pages.head(slab.pfn())).isEqualTo(slab.pfn());
    assertThat(pages.head(slab.pfn() + 1)).isEqualTo(slab.pfn());
    // Of no block, and where no descriptor is.
    assertThat(pages.head(slab.pfn() - 1)).isNotEqualTo(slab.pfn());
    assertThat(pages.head(1L << 40)).isEqualTo(1L << 40);
    assertThat(pages.pfn(first + 4095)).isEqualTo(slab.pfn());
    assertThat(pages.pfn(first + 4096)).isEqualTo(slab.pfn() + 1);
    assertThat(pages.onlyByte(first + 4096)).isEqualTo(0x5a);
    assertThat(pages.onlyByte(first + 8191)).isEqualTo(0x5a);
    assertThat(pages.onlyByte(first)).isEqualTo(-1);
    assertThat(pages.onlyByte(gone.pfn() << 12)).isEqualTo(-1);
    image.corruptWord(slab.base() + 8, 0);
    assertThat(TornSnapshot.pages(image.kernel()).onlyByte(first)).isZero();
  }

  /// The nodes of many caches lie on one page: it breaks their lists and sets their counters to 0.
  @Test
  void aWipedPageOfNodesIsTheKernelsFault(@TempDir Path dir) throws Exception {
    FakeImage image = withCaches().build();
    image.fill(image.cache("cache-3").node(0) & -4096L, 0, 4096);

    DumpReport report = check(image.writeKdump(dir));

    assertThat(report.kernel().map(KernelFacts::panic).map(KernelFacts.PanicFacts::hasPanicked))
        .isEqualTo(Optional.of(false));
    assertThat(report.findings().stream().map(f -> f.subject().cache()).distinct().count())
        .isGreaterThanOrEqualTo(8);
    assertThat(report.findings().stream().map(Finding::check).distinct().count())
        .isGreaterThanOrEqualTo(2);
    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings()).extracting(Finding::cause).doesNotContain(Cause.TORN_SNAPSHOT);
  }

  @Test
  void theSameKernelUnharmedIsIntact(@TempDir Path dir) throws Exception {
    DumpReport report = check(withCaches().build().writeKdump(dir));

    assertThat(report.findings()).isEmpty();
    assertThat(report.verdict().kind()).isEqualTo("intact");
  }
}
