package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.memory.PageMask;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.LowSlabs;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.SmeReading;

/// How often each reading is found, by the number of affected pages, with and without types and
/// encryption; what becomes of a real fault beneath; and that healthy memory is silent. Prints the
/// table that `testdata/MEASURED.md` shows.
@Tag("slow")
class LowMemoryDetectionTest {
  private static final int KERNELS = 8;

  /// Pages of the range that is copied.
  private static final int ALL = 158;

  private static final int[] AFFECTED = {1, 2, 4, 8, 16, 32, 64, 128, ALL};
  private static final long DAMAGE = 0x4141414141414141L;

  /// Generations before the fix; those without types carry no BTF.
  private static final List<Layout> WITH_TYPES =
      List.of(Layout.V5_3, Layout.V5_3_PLAIN, Layout.V4_14, Layout.V4_18_RHEL8);

  private static final List<Layout> WITHOUT_TYPES =
      List.of(Layout.V5_3, Layout.V5_3_PLAIN, Layout.V4_14);

  private static final int HEALTHY = 10_000;
  private static final int MEMORIES = 200;

  private static FakeImage image(long seed) {
    FakeKernel.Contents[] contents = FakeKernel.Contents.values();
    Layout layout = Layout.ALL.get((int) (seed % Layout.ALL.size()));
    return FakeKernel.of(layout)
        .seed(seed)
        .sme(47)
        .lowMemoryReserved(false)
        .contents(contents[(int) (seed / 3 % contents.length)])
        .commandLine("crashkernel=256M")
        .cache(FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x30, 0x31, 0x50, 0x61))
        .cache(FakeCache.named("dma-kmalloc-64", 64).order(0).lowPartial(0x41, 0x42, 0x43))
        .cache(FakeCache.named("dma-kmalloc-1k", 1024).order(1).lowPartial(0x70, 0x72))
        .build();
  }

  private static LowMemoryReading read(FakeImage image, Kernel kernel) {
    FreelistDecoder decoder =
        switch (image.layout().freePointer()) {
          case PLAIN -> FreelistDecoder.PLAIN;
          case HARDENED -> FreelistDecoder.HARDENED;
          case HARDENED_SWAPPED -> FreelistDecoder.HARDENED_SWAPPED;
        };
    return LowMemoryReading.of(image.memory(), Optional.of(kernel), Optional.of(decoder));
  }

  /// What spoils pages.
  private enum Spoiled {
    RAW("read raw", LowMemoryReading.Answer.RANDOM),
    TWO_SIDED("two-sided", LowMemoryReading.Answer.RANDOM),
    ONE_SIDED("mask", LowMemoryReading.Answer.MASKED),
    WIDE("wide masks", LowMemoryReading.Answer.MASKED);

    private final String words;
    private final LowMemoryReading.Answer right;

    Spoiled(String words, LowMemoryReading.Answer right) {
      this.words = words;
      this.right = right;
    }

    SmeReading.Spoiler spoiler(long seed) {
      return switch (this) {
        case RAW -> SmeReading.RAW.spoiler(seed);
        case TWO_SIDED -> SmeReading.TWO_SIDED.spoiler(seed);
        case ONE_SIDED -> SmeReading.ONE_SIDED.spoiler(seed);
        case WIDE -> SmeReading.wideMasks(seed);
      };
    }
  }

  /// One kernel with 80 slabs below 640 KiB.
  ///
  /// @param types whether the dump has types, so that slabs can be walked
  /// @param encrypts whether the kernel says that it encrypts its memory
  private record Machine(Layout layout, long seed, boolean types, boolean encrypts) {
    FakeImage image() {
      FakeKernel.Contents[] contents = FakeKernel.Contents.values();
      FakeKernel kernel =
          LowSlabs.kernel(layout, seed).contents(contents[(int) (seed % contents.length)]);
      return LowSlabs.image((types ? kernel : kernel.genuine()).sme(encrypts ? 47 : 0));
    }
  }

  /// What came out.
  ///
  /// @param real what became of a free pointer that was overwritten before the copy was made
  /// @param masks pages whose mask was recovered
  /// @param whole of these, those that come out as they were
  /// @param alarms faults that stay the kernel's where nothing was damaged
  /// @param wrong bytes that come out wrong and are not called a guess
  private record Case(
      Machine machine,
      Spoiled which,
      int affected,
      boolean damaged,
      LowMemoryReading.Answer answer,
      Fault real,
      int masks,
      int whole,
      long alarms,
      List<String> wrong) {}

  /// What became of a real fault.
  private enum Fault {
    NONE,
    /// It is a finding.
    NAMED,
    /// The answer leaves it open, or says that the page cannot be read.
    OPEN,
    /// It is put down to ciphertext, or lost under a mask.
    EXPLAINED_AWAY
  }

  @Test
  void eachReadingIsFoundByTheNumberOfAffectedPages() {
    List<Machine> machines = new ArrayList<>();
    for (long seed = 1; seed <= KERNELS; seed++) {
      for (boolean encrypts : new boolean[] {true, false}) {
        machines.add(
            new Machine(WITH_TYPES.get((int) seed % WITH_TYPES.size()), seed, true, encrypts));
        machines.add(
            new Machine(
                WITHOUT_TYPES.get((int) seed % WITHOUT_TYPES.size()), seed, false, encrypts));
      }
    }
    List<Case> cases =
        machines.parallelStream().flatMap(machine -> cases(machine).stream()).toList();
    print(cases);

    assertThat(cases).allSatisfy(c -> assertThat(c.wrong).isEmpty());
    assertThat(cases.stream().filter(c -> c.real == Fault.EXPLAINED_AWAY)).isEmpty();
    // Where the whole range was copied, nothing sound is called damaged.
    assertThat(cases.stream().filter(c -> c.affected == ALL && c.alarms > 0)).isEmpty();
    assertThat(
            cases.stream()
                .filter(c -> c.which == Spoiled.ONE_SIDED && c.alarms > 0)
                .filter(c -> c.answer == LowMemoryReading.Answer.MASKED))
        .isEmpty();
    // The copy takes the whole range: a part of it that is random proves nothing.
    assertThat(
            cases.stream()
                .filter(c -> c.affected < ALL && c.which.right == LowMemoryReading.Answer.RANDOM)
                .filter(c -> c.answer == LowMemoryReading.Answer.RANDOM))
        .isEmpty();
    assertThat(
            cases.stream()
                .filter(c -> c.affected == ALL && c.machine.encrypts)
                .filter(c -> c.answer != c.which.right))
        .isEmpty();
    assertThat(
            cases.stream()
                .filter(c -> c.affected == ALL)
                .filter(c -> c.answer == LowMemoryReading.Answer.PLAIN))
        .isEmpty();
  }

  private static void print(List<Case> cases) {
    for (boolean types : new boolean[] {true, false}) {
      for (boolean encrypts : new boolean[] {true, false}) {
        System.out.printf(
            "%s types, encryption %s: found / cannot tell, of %d kernels%n| affected pages |",
            types ? "with" : "without", encrypts ? "on" : "off", KERNELS);
        for (Spoiled which : Spoiled.values()) {
          System.out.printf(" %s |", which.words);
        }
        System.out.printf(
            " masks whole (mask) | masks whole (wide) |%n|---:|---:|---:|---:|---:|---:|---:|%n");
        for (int affected : AFFECTED) {
          List<Case> row =
              cases.stream()
                  .filter(c -> c.machine.types == types && c.machine.encrypts == encrypts)
                  .filter(c -> c.affected == affected && !c.damaged)
                  .toList();
          System.out.printf("| %d |", affected);
          for (Spoiled which : Spoiled.values()) {
            long found =
                row.stream().filter(c -> c.which == which && c.answer == which.right).count();
            long open =
                row.stream()
                    .filter(c -> c.which == which)
                    .filter(c -> c.answer == LowMemoryReading.Answer.CANNOT_TELL)
                    .count();
            System.out.printf(" %d / %d |", found, open);
          }
          for (Spoiled which : List.of(Spoiled.ONE_SIDED, Spoiled.WIDE)) {
            List<Case> masks = row.stream().filter(c -> c.which == which).toList();
            System.out.printf(
                " %d of %d |",
                masks.stream().mapToInt(Case::whole).sum(),
                masks.stream().mapToInt(Case::masks).sum());
          }
          System.out.println();
        }
      }
    }
    System.out.println("a real fault in the range: named / open / explained away");
    for (boolean encrypts : new boolean[] {true, false}) {
      for (Spoiled which : Spoiled.values()) {
        for (boolean whole : new boolean[] {false, true}) {
          List<Case> of =
              cases.stream()
                  .filter(c -> c.damaged && c.machine.types && c.machine.encrypts == encrypts)
                  .filter(c -> c.which == which && c.affected == ALL == whole)
                  .toList();
          System.out.printf(
              "encryption %s, %s, %s: %d / %d / %d%n",
              encrypts ? "on" : "off",
              which.words,
              whole ? "all pages" : "a part",
              of.stream().filter(c -> c.real == Fault.NAMED).count(),
              of.stream().filter(c -> c.real == Fault.OPEN).count(),
              of.stream().filter(c -> c.real == Fault.EXPLAINED_AWAY).count());
        }
      }
    }
  }

  private static List<Case> cases(Machine machine) {
    FakeImage image = machine.image();
    Kernel kernel = image.kernel();
    SlabImage slab = toDamage(image, machine.seed);
    List<Case> cases = new ArrayList<>();
    for (boolean damaged : machine.types ? new boolean[] {false, true} : new boolean[] {false}) {
      if (damaged) {
        image.corruptWord(slab.slot(slab.freelist().get(slab.freelist().size() / 2)), DAMAGE);
      }
      Map<Long, byte[]> plain = LowSlabs.pages(image);
      List<Long> order = new ArrayList<>(plain.keySet());
      Collections.shuffle(order, new Random(machine.seed));
      // The damaged page is among them: under a mask it is hardest to see.
      order.remove(slab.pfn());
      order.addFirst(slab.pfn());
      for (Spoiled which : Spoiled.values()) {
        SmeReading.Spoiler spoiler = which.spoiler(machine.seed);
        Map<Long, byte[]> changed = new TreeMap<>();
        plain.forEach((pfn, page) -> changed.put(pfn, spoiler.spoiled(pfn << 12, page)));
        for (int affected : AFFECTED) {
          List<Long> hit = order.subList(0, affected);
          plain.forEach(
              (pfn, page) ->
                  image.memory().store(pfn, hit.contains(pfn) ? changed.get(pfn) : page));
          cases.add(judged(machine, image, kernel, which, affected, damaged ? slab : null, plain));
        }
      }
      plain.forEach((pfn, page) -> image.memory().store(pfn, page));
    }
    return cases;
  }

  private static SlabImage toDamage(FakeImage image, long seed) {
    List<SlabImage> low = new ArrayList<>(image.cache("dma-kmalloc-512").slabs());
    low.addAll(image.cache("dma-kmalloc-64").slabs());
    low.removeIf(slab -> slab.pfn() >= LowSlabs.END_PFN || slab.freelist().size() < 4);
    return low.get(new Random(seed).nextInt(low.size()));
  }

  private static Case judged(
      Machine machine,
      FakeImage image,
      Kernel kernel,
      Spoiled which,
      int affected,
      SlabImage damaged,
      Map<Long, byte[]> plain) {
    CheckContext context =
        new CheckContext(image.dump(), new KernelSearch.Found(kernel), 1, false, () -> false);
    LowMemoryReading reading =
        machine.types
            ? context.lowMemory()
            : LowMemoryReading.of(image.memory(), Optional.of(kernel), Optional.empty());
    int whole = 0;
    List<String> wrong = new ArrayList<>();
    for (Map.Entry<Long, PageMask> entry : reading.masks().entrySet()) {
      long pfn = entry.getKey();
      byte[] read =
          entry
              .getValue()
              .applyTo(MemorySegment.ofArray(image.memory().pages().get(pfn)))
              .toArray(ValueLayout.JAVA_BYTE);
      whole += Arrays.equals(read, plain.get(pfn)) ? 1 : 0;
      for (int at = 0; at < read.length; at += 8) {
        if (read[at] != plain.get(pfn)[at] && !reading.isGuessed(pfn, at)) {
          wrong.add("%s at 0x%x".formatted(entry.getValue().hex(), pfn));
          break;
        }
      }
    }
    return new Case(
        machine,
        which,
        affected,
        damaged != null,
        reading.answer(),
        damaged == null ? Fault.NONE : fate(context, damaged),
        reading.masks().size(),
        whole,
        damaged == null && machine.types ? alarms(context) : 0,
        wrong);
  }

  private static long alarms(CheckContext context) {
    return context.unmasked().soundFaults().size()
        + context.lowMemory().lists().lost().stream()
            .filter(LowMemoryReading.Lost::underAll)
            .count();
  }

  private static Fault fate(CheckContext context, SlabImage damaged) {
    LowMemoryReading reading = context.lowMemory();
    boolean isNamed =
        context.unmasked().soundFaults().stream()
                .anyMatch(
                    fault ->
                        fault instanceof SlabFault.Broken broken
                            && broken.slab().address() == damaged.address())
            || reading.lists().lost().stream()
                .anyMatch(l -> l.underAll() && l.head().slab().address() == damaged.address());
    if (isNamed) {
      return Fault.NAMED;
    }
    boolean isOpen =
        switch (reading.answer()) {
          // Nothing of the page can be read, and nothing is said of it.
          case RANDOM, CANNOT_TELL -> true;
          case MASKED ->
              reading.lists().lost().stream()
                      .anyMatch(l -> l.head().slab().address() == damaged.address())
                  || context.unmasked().ciphertextFaults().stream()
                      .anyMatch(
                          fault ->
                              fault instanceof SlabFault.Broken broken
                                  && broken.slab().address() == damaged.address());
          case PLAIN, NOT_STORED -> false;
        };
    return isOpen ? Fault.OPEN : Fault.EXPLAINED_AWAY;
  }

  @Test
  void notOneOfTenThousandHealthyImagesIsCalledCiphertext() {
    // Every kernel serves for two hundred memories, each kernel on a thread of its own.
    long cannotTell =
        LongStream.rangeClosed(1, HEALTHY / MEMORIES)
            .parallel()
            .map(LowMemoryDetectionTest::healthy)
            .sum();
    System.out.printf("%d healthy images, %d of them cannot be told%n", HEALTHY, cannotTell);
  }

  /// Reads healthy memories of one kernel; returns how many cannot be told.
  private static long healthy(long seed) {
    FakeImage image = image(seed);
    Kernel kernel = image.kernel();
    List<Long> slabs = new ArrayList<>(List.of(0x30L, 0x31L, 0x50L, 0x61L, 0x41L, 0x42L, 0x43L));
    slabs.addAll(List.of(0x70L, 0x71L, 0x72L, 0x73L));
    Random random = new Random(seed);
    long cannotTell = 0;
    for (int i = 0; i < MEMORIES; i++) {
      for (long pfn = 1; pfn < 0xa0; pfn++) {
        if (slabs.contains(pfn)) {
          continue;
        }
        boolean free = pfn >= 0x10 && pfn < 0x99;
        if (free && random.nextInt(3) == 0) {
          byte[] page = new byte[4096];
          random.nextBytes(page);
          image.memory().store(pfn, page);
        } else {
          image.memory().store(pfn, LowMemorySmeCheckTest.contents(random));
        }
      }
      LowMemoryReading reading = read(image, kernel);
      assertThat(reading.answer().isCiphertext()).as("seed %d image %d", seed, i).isFalse();
      if (i % 5 == 0) {
        LowMemoryReading untyped =
            LowMemoryReading.of(image.memory(), Optional.of(kernel), Optional.empty());
        assertThat(untyped.answer().isCiphertext()).as("untyped %d %d", seed, i).isFalse();
      }
      assertThat(reading.masks()).isEmpty();
      cannotTell += reading.answer() == LowMemoryReading.Answer.CANNOT_TELL ? 1 : 0;
    }
    return cannotTell;
  }
}
