package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.vmcheck.archive.SampleEntries.damaged;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.SampleReports;

/// What every catalogue does, whatever database it lies in.
abstract class CatalogueContract {
  private static final String SAME_MINUTE = "/var/crash/127.0.0.1-2026-10-01-00:00:00/vmcore";

  /// An empty catalogue, open for writing.
  ///
  /// @param name the same one for the same name
  abstract Catalogue catalogue(String name) throws IOException;

  @Test
  void whatWasPutIsThereAgain() throws IOException {
    CatalogueEntry entry = damaged("a", "/var/crash/x/vmcore", "x", 100);
    DumpReport report = SampleReports.damaged();
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(entry, Optional.of(report));

      assertThat(catalogue.entries(Selection.ALL)).containsExactly(entry);
      assertThat(catalogue.entry(entry.key())).contains(entry);
      catalogue.forEachLine(
          Selection.ALL,
          line -> {
            assertThat(line.key()).isEqualTo(entry.key());
            assertThat(line.release()).isEqualTo(entry.release());
          });
      assertThat(catalogue.report(entry).orElseThrow().verdict().summary())
          .isEqualTo(report.verdict().summary());

      catalogue.put(entry, Optional.empty());
      assertThat(catalogue.entries(Selection.ALL)).containsExactly(entry);
      assertThat(catalogue.report(entry)).isEmpty();
    }
  }

  @Test
  void hostsThatCrashedInTheSameMinuteBothStay() throws IOException {
    CatalogueEntry damaged = damaged("host-a", SAME_MINUTE, "a", 100);
    CatalogueEntry intact =
        SampleEntries.entry("host-b", SAME_MINUTE, "b", "intact", "6.1.190", 1_790_812_801L, 200);
    try (Catalogue a = catalogue("a");
        Catalogue b = catalogue("b");
        Catalogue all = catalogue("all")) {
      a.put(damaged, Optional.of(SampleReports.damaged()));
      b.put(intact, Optional.empty());

      assertThat(all.merge(a)).isEqualTo(1);
      assertThat(all.merge(b)).isEqualTo(1);

      assertThat(all.entries(Selection.ALL)).containsExactly(damaged, intact);
      assertThat(all.report(damaged)).isPresent();
      assertThat(all.report(intact)).isEmpty();
      assertThat(damaged.id()).isNotEqualTo(intact.id());
      assertThat(all.find(damaged.id())).containsExactly(damaged);
      assertThat(all.find(SAME_MINUTE)).containsExactly(damaged, intact);
      assertThat(all.merge(a) + all.merge(b)).isZero();
    }
  }

  @Test
  void ofOneIncidentTheLaterJudgementStays() throws IOException {
    CatalogueEntry early = damaged("a", SAME_MINUTE, "x", 100);
    CatalogueEntry late = SampleEntries.entry("a", SAME_MINUTE, "x", "intact", "6.1.190", 0, 200);
    try (Catalogue first = catalogue("first");
        Catalogue second = catalogue("second")) {
      first.put(early, Optional.empty());
      second.put(late, Optional.empty());

      assertThat(second.merge(first)).isZero();
      assertThat(first.merge(second)).isEqualTo(1);

      assertThat(first.entries(Selection.ALL)).containsExactly(late);
      assertThat(second.entries(Selection.ALL)).containsExactly(late);
    }
  }

  @Test
  void theSameDumpSeenTwiceIsLinked() throws IOException {
    CatalogueEntry first = damaged("b", "/srv/1/vmcore", "x", 100);
    CatalogueEntry otherHost = damaged("c", "/srv/1/vmcore", "x", 300);
    CatalogueEntry otherPlace = damaged("a", "/srv/2/vmcore", "x", 50);
    CatalogueEntry otherDump = damaged("a", "/srv/3/vmcore", "y", 50);
    CatalogueEntry unread = damaged("a", "/srv/4/vmcore", "", 50);
    CatalogueEntry unreadToo = damaged("a", "/srv/5/vmcore", "", 50);
    try (Catalogue catalogue = catalogue("one")) {
      for (CatalogueEntry entry :
          List.of(otherPlace, unread, otherHost, otherDump, first, unreadToo)) {
        catalogue.put(entry, Optional.empty());
      }

      assertThat(catalogue.entries(Selection.ALL))
          .extracting(CatalogueEntry::duplicateOf)
          .containsExactly("", first.id(), first.id(), "", "", "");
      assertThat(catalogue.entry(otherPlace.key()).orElseThrow().duplicateOf())
          .isEqualTo(first.id());
      catalogue.remove(List.of(first.key()));
      assertThat(catalogue.entries(Selection.ALL))
          .extracting(CatalogueEntry::duplicateOf)
          .containsExactly("", otherHost.id(), "", "", "");
    }
  }

  @Test
  void aHostIsFoundByEachOfItsNames() throws IOException {
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(damaged("a", SAME_MINUTE, "x", 1), Optional.empty());
      catalogue.put(damaged("b", SAME_MINUTE, "y", 1), Optional.empty());

      for (String name : List.of("a", "node-of-a")) {
        assertThat(catalogue.entries(new Selection("", "", "", name, 0, 0, "", false)))
            .extracting(CatalogueEntry::origin)
            .containsExactly("a");
      }
      assertThat(catalogue.entries(new Selection("", "", "", "node", 0, 0, "", false))).isEmpty();
    }
  }

  @Test
  void markedAndForgotten() throws IOException {
    CatalogueEntry a = damaged("a", SAME_MINUTE, "x", 1);
    CatalogueEntry b = damaged("b", SAME_MINUTE, "y", 1);
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(a, Optional.empty());
      catalogue.put(b, Optional.empty());

      catalogue.mark(List.of(a.key()), true);
      assertThat(catalogue.entries(Selection.ofVanished()))
          .extracting(CatalogueEntry::key)
          .containsExactly(a.key());
      catalogue.mark(List.of(a.key()), false);
      assertThat(catalogue.entries(Selection.ofVanished())).isEmpty();
      catalogue.remove(List.of(a.key()));
      assertThat(catalogue.entries(Selection.ALL)).containsExactly(b);
    }
  }

  @Test
  void textThatNoDatabaseKeepsCostsACharacterAndNotTheRow() throws IOException {
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(
          SampleEntries.entry("a", SAME_MINUTE, "x", "intact", "6\u0000.1\ud800'--", 0, 1),
          Optional.empty());

      assertThat(catalogue.entries(Selection.ALL))
          .extracting(CatalogueEntry::release)
          .containsExactly("6\ufffd.1\ufffd'--");
    }
  }

  /// Makes all claims run out now.
  abstract void endLeases(String name) throws Exception;

  @Test
  void whatOneScanIsAtNoOtherTakes() throws Exception {
    IncidentKey key = damaged("a", SAME_MINUTE, "x", 1).key();
    IncidentKey otherHost = damaged("b", SAME_MINUTE, "x", 1).key();
    Claimant one = Claimant.ofThisScan();
    Claimant two = Claimant.ofThisScan();
    try (Catalogue catalogue = catalogue("one");
        Catalogue same = catalogue("one")) {
      assertThat(catalogue.claim(key, 1, one)).isTrue();
      assertThat(same.claim(key, 1, two)).isFalse();
      assertThat(same.claim(otherHost, 1, two)).isTrue();
      assertThat(catalogue.claim(key, 1, one)).isTrue();

      catalogue.release(key, two);
      assertThat(same.claim(key, 1, two)).isFalse();
      catalogue.release(key, one);
      assertThat(same.claim(key, 1, two)).isTrue();

      // Whoever judges it ends every claim.
      catalogue.put(damaged("a", SAME_MINUTE, "x", 1), Optional.empty());
      assertThat(catalogue.claim(key, 1, one)).isTrue();
      catalogue.releaseAll(one);
      assertThat(same.claim(key, 1, two)).isTrue();
    }
  }

  @Test
  void theClaimsOfTheDeadAreWorthNothing() throws Exception {
    IncidentKey key = damaged("a", SAME_MINUTE, "x", 1).key();
    Claimant alive = Claimant.ofThisScan();
    String[] parts = alive.id().split("/");
    Claimant dead = new Claimant(parts[0] + "/" + parts[1] + "/" + parts[2] + "/1/1");
    Claimant elsewhere = new Claimant("another-boot/" + parts[1] + "/" + parts[2] + "/1/1");
    try (Catalogue catalogue = catalogue("one")) {
      assertThat(catalogue.claim(key, 1, dead)).isTrue();
      assertThat(catalogue.claim(key, 1, elsewhere)).isFalse();
      assertThat(catalogue.claim(key, 1, alive)).isTrue();
      catalogue.release(key, alive);

      assertThat(catalogue.claim(key, 1, elsewhere)).isTrue();
      assertThat(catalogue.claim(key, 1, alive)).isFalse();
      endLeases("one");
      assertThat(catalogue.claim(key, 1, alive)).isTrue();
      endLeases("one");
      catalogue.renew(alive);
      assertThat(catalogue.claim(key, 1, elsewhere)).isFalse();
    }
  }

  /// Five weeks of two kernels, of which the second has a fault of its own.
  private static void fillFleet(Catalogue catalogue) throws IOException {
    for (int i = 0; i < 20; i++) {
      boolean late = i % 2 == 1;
      CatalogueEntry entry =
          SampleEntries.entry(
              "host-" + i % 3,
              "/srv/" + i + "/vmcore",
              "dump " + i,
              late ? "kernel-damaged" : "intact",
              late ? "6.1.192" : "6.1.19",
              SampleEntries.FIRST_CRASH + i * 86_400L * 2,
              i);
      catalogue.put(entry, Optional.empty());
    }
    // A copy, and a crash of which no time is known.
    catalogue.put(
        SampleEntries.entry(
            "host-9",
            "/srv/1/vmcore",
            "dump 1",
            "kernel-damaged",
            "6.1.192",
            SampleEntries.FIRST_CRASH + 86_400L * 2,
            1),
        Optional.empty());
    catalogue.put(
        SampleEntries.entry("host-1", "/srv/x/vmcore", "x", "intact", "6.1.19", 0, 1),
        Optional.empty());
  }

  @Test
  void groupsAndTheirSumsAgreeWithTheRows() throws IOException {
    try (Catalogue catalogue = catalogue("one")) {
      fillFleet(catalogue);

      assertThat(catalogue.tally(Selection.ALL)).isEqualTo(new Tally(22, 1, 0, 0));
      for (CrashGroup.By by : CrashGroup.By.values()) {
        Tally.Groups all = catalogue.groups(Selection.ALL, by, 100);
        assertThat(all.shown()).isEqualTo(all.keyed());
        assertThat(all.all()).isEqualTo(all.groups().size());
        for (CrashGroup group : all.groups()) {
          long rows =
              catalogue.entries(Selection.ALL).stream()
                  .filter(CatalogueEntry::isCounted)
                  .filter(entry -> isIn(entry, by, group.key()))
                  .count();
          assertThat(group.count()).as(by + " " + group.key()).isEqualTo(rows);
          assertThat(group.newest()).isNotEmpty();
        }
      }
      Tally.Groups top = catalogue.groups(Selection.ALL, CrashGroup.By.KERNEL, 1);
      assertThat(top.groups()).extracting(CrashGroup::key).containsExactly("6.1.19");
      assertThat(top.all()).isEqualTo(2);
      assertThat(top.keyed() - top.shown()).isEqualTo(10);
      CrashGroup damage =
          catalogue.groups(Selection.ALL, CrashGroup.By.DAMAGE, 9).groups().getFirst();
      assertThat(damage.text()).isEqualTo("bit-flip kmalloc-64");
      assertThat(damage.lastCrash()).isEqualTo(SampleEntries.FIRST_CRASH + 19 * 86_400L * 2);
    }
  }

  private static boolean isIn(CatalogueEntry entry, CrashGroup.By by, String key) {
    return switch (by) {
      case PANIC -> entry.panicSignature().id().equals(key);
      case DAMAGE -> entry.damageSignature().id().equals(key);
      case KERNEL -> entry.release().equals(key);
      case HOST -> entry.nodename().equals(key);
      case VERDICT -> entry.verdict().equals(key);
      case CAUSE -> entry.causes().contains(key);
    };
  }

  @Test
  void weeksBeginOnMondayAndAddUp() throws IOException {
    try (Catalogue catalogue = catalogue("one")) {
      fillFleet(catalogue);

      List<Trend> trends = catalogue.trend(Selection.ALL);

      assertThat(trends.stream().mapToLong(Trend::count).sum()).isEqualTo(21);
      assertThat(trends.getFirst().week()).isEqualTo(Trend.UNKNOWN);
      // 2026-10-01 is a Thursday.
      assertThat(trends.get(1).week()).isEqualTo(java.time.LocalDate.of(2026, 9, 28));
      assertThat(trends).extracting(Trend::kernel).containsOnly("6.1.19", "6.1.192");
      assertThat(trends.getLast().verdicts()).containsOnlyKeys("kernel-damaged");
      assertThat(trends.getLast().causes().get("bit-flip")).isEqualTo(trends.getLast().count());
    }
  }

  @Test
  void timesSelectTheirCrashes() throws IOException {
    try (Catalogue catalogue = catalogue("one")) {
      fillFleet(catalogue);
      long third = SampleEntries.FIRST_CRASH + 2 * 2 * 86_400L;

      assertThat(catalogue.entries(new Selection("", "", "", "", third, third + 1, "", false)))
          .extracting(CatalogueEntry::path)
          .containsExactly("/srv/2/vmcore");
      // Of unknown time: neither since nor until.
      assertThat(catalogue.entries(new Selection("", "", "", "", 0, third, "", false))).hasSize(3);
      assertThat(catalogue.entries(new Selection("", "", "6.1.19", "", 0, 0, "", false)))
          .hasSize(11);
      assertThat(catalogue.entries(new Selection("", "", "6.1.", "", 0, 0, "", false))).hasSize(22);
    }
  }

  @Test
  void idsAreFoundByTheirStart() throws IOException {
    CatalogueEntry entry = damaged("a", SAME_MINUTE, "x", 1);
    try (Catalogue catalogue = catalogue("one")) {
      catalogue.put(entry, Optional.empty());

      for (int length : new int[] {1, 5, 12}) {
        assertThat(catalogue.find(entry.id().substring(0, length))).containsExactly(entry);
      }
      assertThat(catalogue.find(entry.id() + "0")).isEmpty();
    }
  }

  @Test
  void aKernelWithAFaultOfItsOwnIsARegression() throws Exception {
    try (Catalogue catalogue = catalogue("one")) {
      fillFleet(catalogue);

      Regressions worse = Regressions.of(catalogue, Selection.ALL, "6.1.19", "6.1.192");
      Regressions better = Regressions.of(catalogue, Selection.ALL, "6.1.192", "6.1.19");

      assertThat(worse.isWorse()).isTrue();
      assertThat(worse.changes())
          .extracting(change -> change.kind() + " " + change.by() + " " + change.now())
          .containsExactly("NEW DAMAGE 10", "NEW CAUSE 10", "NEW CAUSE 10");
      assertThat(better.isWorse()).isFalse();
      assertThat(better.changes())
          .extracting(Regressions.Change::kind)
          .containsOnly(Regressions.Kind.GONE);
      // The same panic in both, and as often: no change.
      assertThat(Regressions.chance(10, 10, 10, 10)).isEqualTo(1);
      assertThat(Regressions.chance(1, 100, 10, 100)).isLessThan(0.01);
      assertThat(Regressions.chance(5, 100, 8, 100)).isGreaterThan(0.1);
      assertThat(Regressions.chance(3, 7, 4, 5))
          .isCloseTo(0.2222, org.assertj.core.data.Offset.offset(0.2));
    }
  }

  @Test
  void theQueueGivesTheLargestFirstAndEachToOne() throws Exception {
    IncidentKey small = damaged("a", "/srv/1/vmcore", "x", 1).key();
    IncidentKey large = damaged("b", "/srv/1/vmcore", "x", 1).key();
    Claimant one = Claimant.ofThisScan();
    Claimant two = Claimant.ofThisScan();
    Claimant dead = new Claimant(one.id().replaceFirst("/\\d+/\\d+$", "/1/1"));
    try (Catalogue catalogue = catalogue("one");
        Catalogue same = catalogue("one")) {
      catalogue.enqueue(java.util.Map.of(small, 1L, large, 1000L));
      catalogue.enqueue(java.util.Map.of(small, 1L));

      assertThat(catalogue.next(one).orElseThrow().key()).isEqualTo(large);
      assertThat(same.next(two).orElseThrow().key()).isEqualTo(small);
      assertThat(catalogue.next(one)).isEmpty();
      assertThat(catalogue.queued()).isEqualTo(2);

      // Given back, it waits again; judged or dropped, it is gone.
      same.releaseAll(two);
      assertThat(catalogue.next(dead).orElseThrow().attempts()).isEqualTo(1);
      assertThat(same.next(two).orElseThrow().attempts()).isEqualTo(2);
      same.put(damaged("a", "/srv/1/vmcore", "x", 1), Optional.empty());
      endLeases("one");
      assertThat(same.next(two).orElseThrow().key()).isEqualTo(large);
      same.dequeue(large);
      assertThat(same.queued()).isZero();
    }
  }
}
