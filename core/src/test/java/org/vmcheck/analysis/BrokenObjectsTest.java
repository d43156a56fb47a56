package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.desk.PointerHash;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// Over what object the kernel stopped itself: its bytes from the log where they were put right,
/// its state, its holders.
class BrokenObjectsTest {
  @TempDir private Path dir;

  private DumpReport check(FakeImage image) throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  private static FakeKernel kernel() {
    return FakeKernel.of(Layout.V6_1)
        .seed(8)
        .cache(FakeCache.named("tracked", 32).debug().partial(2).sheaves(0))
        .cache(FakeCache.named("lab", 256).partial(2).sheaves(0));
  }

  private static String row(String section, long address, int... bytes) {
    StringBuilder hex = new StringBuilder();
    for (int b : bytes) {
      hex.append(" %02x".formatted(b));
    }
    return "%-8s %016x:%s  ...".formatted(section, address, hex);
  }

  private static int[] of(int value) {
    int[] bytes = new int[16];
    Arrays.fill(bytes, value);
    return bytes;
  }

  /// The log of a free object whose poison had a wrong byte, which the kernel restored.
  private static List<String> restored(long object, int at, int wrong) {
    int[] last = of(0x6b);
    last[15] = 0xa5;
    int[] first = of(0x6b);
    first[at] = wrong;
    return List.of(
        "BUG tracked (Not tainted): Poison overwritten",
        "0x%x-0x%x @offset=0. First byte 0x%x instead of 0x6b"
            .formatted(object + at, object + at, wrong),
        "Object 0x%016x @offset=0 fp=0x0000000000000000".formatted(object),
        row("Object", object, first),
        row("Object", object + 16, last),
        "FIX tracked: Restoring Poison 0x%x-0x%x=0x6b".formatted(object + at, object + at));
  }

  private static Finding only(DumpReport report) {
    assertThat(report.findings()).hasSize(1);
    return report.findings().getFirst();
  }

  private static List<String> sentences(Finding finding) {
    return finding.evidence().stream().map(Evidence::sentence).toList();
  }

  @Test
  void damageThatWasRepairedIsReadFromTheLog() throws Exception {
    FakeImage plain = kernel().build();
    SlabImage slab = plain.cache("tracked").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    int free = slab.freelist().getFirst();

    DumpReport report = check(kernel().log(restored(slab.object(free), 8, 'X')).build());

    Finding finding = only(report);
    assertThat(finding.check()).isEqualTo("log.witness");
    assertThat(finding.cause()).isEqualTo(Cause.POISON_OVERWRITTEN);
    assertThat(finding.fate()).isEqualTo(Fate.REPAIRED);
    assertThat(finding.subject().object()).isEqualTo(slab.object(free));
    assertThat(finding.evidence())
        .filteredOn(Evidence.LoggedBytes.class::isInstance)
        .singleElement()
        .satisfies(
            one -> {
              Evidence.LoggedBytes bytes = (Evidence.LoggedBytes) one;
              assertThat(bytes.hex().substring(2 * bytes.markFrom(), 2 * bytes.markTo()))
                  .isEqualTo("58");
              assertThat(bytes.sentence())
                  .contains(
                      "1 byte is wrong of the poison from 0x%x on, where 0x6b belongs"
                          .formatted(slab.object(free) + 8));
            });
    assertThat(sentences(finding))
        .anyMatch(text -> text.contains("is free, on"))
        .anyMatch(text -> text.equals("its first 64 bytes in the dump"))
        .anyMatch(text -> text.startsWith("nothing but the allocator leads to the object"));
  }

  @Test
  void aFlippedBitOfTheLogIsOne() throws Exception {
    FakeImage plain = kernel().build();
    SlabImage slab = plain.cache("tracked").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    long object = slab.object(slab.freelist().getFirst());

    DumpReport report = check(kernel().log(restored(object, 8, 0x4b)).build());

    assertThat(only(report).cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(report.origin().orElseThrow().flips())
        .singleElement()
        .satisfies(
            flip -> {
              assertThat(flip.physical()).isEqualTo(plain.physical(object + 8));
              assertThat(flip.bit()).isEqualTo(5);
              assertThat(flip.isSet()).isFalse();
            });
  }

  @Test
  void whoStillLeadsToTheBrokenObjectIsNamed() throws Exception {
    FakeImage image = kernel().build();
    SlabImage slab = image.cache("lab").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    int free = slab.freelist().getFirst();
    SlabImage other = image.cache("lab").slabs(SlabImage.Place.NODE_PARTIAL).getLast();
    int holder = 0;
    while (other.isFree(holder)) {
      holder++;
    }
    assertThat(other.base()).isNotEqualTo(slab.base());
    image.corrupt(slab.slot(free), "overwrit".getBytes(StandardCharsets.UTF_8));
    image.corruptWord(other.object(holder) + 24, slab.object(free) + 8);

    Finding finding = only(check(image));

    assertThat(finding.subject().object()).isEqualTo(slab.object(free));
    assertThat(sentences(finding))
        .contains(
            "0x%x, in lab object %d at 0x%x+0x18, allocated, leads to 0x%x"
                .formatted(
                    other.object(holder) + 24, holder, other.object(holder), slab.object(free) + 8))
        .anyMatch(
            sentence ->
                sentence.matches(
                    "1 word leads to the object; [0-9,]+ pages of kernel memory searched"));
  }

  private static List<String> oops(long object, long poison) {
    return List.of(
        "general protection fault, probably for non-canonical address 0x%x: 0000 [#1] PREEMPT SMP"
            .formatted(poison + 8),
        "CPU: 0 PID: 1 Comm: sh Not tainted 6.1.0 #1",
        "RIP: 0010:lab_poke+0x10/0x20",
        "RAX: %016x RBX: %016x RCX: 0000000000000000".formatted(poison, object),
        "---[ end trace 0000000000000000 ]---");
  }

  private static List<String> notes(DumpReport report) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals("log.witness"))
        .flatMap(outcome -> ((CheckOutcome.Ran) outcome).notes().stream())
        .filter(note -> note.topic().equals("object of the oops"))
        .map(Note::text)
        .toList();
  }

  @Test
  void anOopsOnPoisonNamesTheObjectThatHeldIt() throws Exception {
    FakeImage plain = kernel().build();
    SlabImage slab = plain.cache("lab").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    int used = 0;
    while (slab.isFree(used)) {
      used++;
    }
    long poison = 0xdead_0000_0000_0100L;
    FakeImage image = kernel().log(oops(slab.object(used), poison)).build();
    // The healthy twin: the object does not hold the poison.
    assertThat(notes(check(image))).isEmpty();

    image.corruptWord(slab.object(used) + 40, poison);
    assertThat(notes(check(image)))
        .containsExactly(
            "likely over lab object %d at 0x%x, allocated: RBX led to it, and its word at +0x28 is still 0xdead000000000100, the poison that the oops in lab_poke+0x10/0x20 followed"
                .formatted(used, slab.object(used)));
  }

  /// Kernels without `no_hash_pointers` print hashes; the dump has the key.
  @Test
  void aHashedReportGetsItsObject() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-7.2").dump())) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      List<Long> objects = new ArrayList<>();
      SlabSurvey.eachView(
          kernel,
          MemMap.of(kernel).orElseThrow(),
          0,
          dump.memory().endPfn(),
          cache -> cache.name().equals("dentry"),
          view -> {
            objects.add(view.slab().object(2));
            return false;
          });
      int hash = PointerHash.of(kernel).orElseThrow().of(objects.getFirst());
      String line = "BUG dentry: Object 0x%016x is bad".formatted(hash & 0xffff_ffffL);

      assertThat(hashed(kernel, "dentry", line).object()).isEqualTo(objects.getFirst());
      // Another cache's object is not the report's, and a hash of nothing is none.
      assertThat(hashed(kernel, "inode_cache", line).object()).isEqualTo(Evidence.UNKNOWN);
      assertThat(hashed(kernel, "dentry", line.replaceAll("is bad", "").replace("0x0", "0x1")))
          .extracting(Subject::object)
          .isEqualTo(Evidence.UNKNOWN);
    }
  }

  private static Subject hashed(Kernel kernel, String cache, String line) {
    Finding finding =
        new Finding(
            "log.witness",
            Layer.KERNEL,
            Severity.CORRUPT,
            Cause.REPORTED_BY_KERNEL,
            "a report",
            Subject.cache(cache),
            List.of(new Evidence.LogLineSays(1, line, line)),
            List.of(),
            "log.witness/x");
    CheckOutcome.Ran ran =
        new CheckOutcome.Ran(
            "log.witness", "a report", Map.of(), List.of(finding), List.of(), Coverage.NONE);
    return HashedReports.attach(List.of(ran), kernel)
        .getFirst()
        .findingsIfRan()
        .getFirst()
        .subject();
  }
}
