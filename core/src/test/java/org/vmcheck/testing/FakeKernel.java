package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Builds the memory of a whole small kernel in code: page tables, VMCOREINFO, symbols, types, page
/// descriptors and slab caches, in the layout of one generation. Equal settings and seeds give
/// equal bytes.
///
/// ```java
/// FakeImage image = FakeKernel.of(Layout.V6_1).seed(7).cpus(2).cache("kmalloc-512", 512).build();
/// image.corruptWord(image.cache("kmalloc-512").slabs().getFirst().slot(0), 0);
/// SlabSurvey survey = image.survey();
/// ```
public final class FakeKernel {
  /// What the objects hold.
  public enum Contents {
    ZEROS,
    TEXT,
    CODE,
    POINTERS,
    COMPRESSED,
    RANDOM,
    /// Of each a bit, zeros most.
    MIXED
  }

  /// A record of the log.
  ///
  /// @param facility 0 for what the kernel says itself
  record LogRecord(int facility, String text) {}

  /// More memory than the usual.
  ///
  /// @param startPfn first frame
  record Ram(long startPfn, long frames, int node) {}

  private final Layout layout;
  private final List<FakeCache> caches = new ArrayList<>();
  private final List<Ram> moreRam = new ArrayList<>();
  private final List<String> functions = new ArrayList<>();
  private long initStackBytes;
  private final List<String> commandLine = new ArrayList<>(List.of("root=/dev/vda1", "ro"));
  private final List<LogRecord> log = new ArrayList<>();
  private long seed = 1;
  private int cpus = 2;
  private int offlineCpus;
  private int nodes = 1;
  private boolean fiveLevels;
  private int encryptionBit;
  private long imagePhysical = -1;
  private long kernelOffset = -1;
  private long pageOffsetBase;
  private long vmemmapBase;
  private boolean regionVariables = true;
  private long crashStart;
  private long crashEnd;
  private int kfenceFrames;
  private boolean kfenceMetadata;
  private boolean hwPoison;
  private boolean initOnFree;
  private OptionalInt debugKey = OptionalInt.empty();
  private boolean lowMemoryReserved;
  private boolean genuine;
  private boolean running;
  private boolean vmcoreinfoInFile = true;
  private Contents contents = Contents.MIXED;

  private FakeKernel(Layout layout) {
    this.layout = layout;
    this.lowMemoryReserved = layout.kallsyms().compareTo(Layout.KallsymsEra.V6_1) >= 0;
  }

  public static FakeKernel of(Layout layout) {
    return new FakeKernel(layout);
  }

  public FakeKernel seed(long value) {
    seed = value;
    return this;
  }

  /// Possible CPUs, 1 to 512, all of them online.
  public FakeKernel cpus(int count) {
    cpus = count;
    return this;
  }

  /// CPUs that are possible and not online, besides the others.
  public FakeKernel offlineCpus(int count) {
    offlineCpus = count;
    return this;
  }

  /// NUMA nodes, each with memory of its own in a section of its own.
  public FakeKernel nodes(int count) {
    nodes = count;
    return this;
  }

  /// More RAM, behind a hole.
  public FakeKernel ram(long startPfn, long frames, int node) {
    moreRam.add(new Ram(startPfn, frames, node));
    return this;
  }

  public FakeKernel fiveLevels() {
    fiveLevels = true;
    return this;
  }

  /// SME is active: page-table entries carry this bit.
  public FakeKernel sme(int bit) {
    encryptionBit = bit;
    return this;
  }

  /// Physical address of the kernel image: a multiple of 2 MiB, from 2 MiB on.
  public FakeKernel imagePhysical(long paddr) {
    imagePhysical = paddr;
    return this;
  }

  /// How far KASLR moved the image; a multiple of 2 MiB.
  public FakeKernel kernelOffset(long byteCount) {
    kernelOffset = byteCount;
    return this;
  }

  public FakeKernel pageOffsetBase(long vaddr) {
    pageOffsetBase = vaddr;
    return this;
  }

  public FakeKernel vmemmapBase(long vaddr) {
    vmemmapBase = vaddr;
    return this;
  }

  /// Built without `CONFIG_RANDOMIZE_MEMORY`: no variable says where the regions lie.
  public FakeKernel noRegionVariables() {
    regionVariables = false;
    return this;
  }

  /// Reserved memory for a capture kernel (`crashk_res`), both ends inclusive.
  public FakeKernel crashKernel(long start, long end) {
    crashStart = start;
    crashEnd = end;
    return this;
  }

  /// A KFENCE pool, some of whose pages are in use.
  ///
  /// @param objects `CONFIG_KFENCE_NUM_OBJECTS`
  public FakeKernel kfence(int objects) {
    kfenceFrames = 2 * (objects + 1);
    return this;
  }

  /// As [#kfence], with the metadata that tells of its objects and the bytes that KFENCE sets
  /// around them: every fifth was never used, of the rest every third is free again.
  public FakeKernel kfenceWithMetadata(int objects) {
    kfenceMetadata = true;
    return kfence(objects);
  }

  /// A page that the kernel gave up after a memory error.
  public FakeKernel hwPoison() {
    hwPoison = true;
    return this;
  }

  /// `init_on_free=1`: free objects are zeros but for their free pointers.
  public FakeKernel initOnFree() {
    initOnFree = true;
    return this;
  }

  /// The static key `slub_debug_enabled`, which the kernel otherwise does not have.
  ///
  /// @param counter 0 for off: debugging options have flags and room, and no effect
  public FakeKernel debugKey(int counter) {
    debugKey = OptionalInt.of(counter);
    return this;
  }

  /// Whether the low 1 MiB is reserved; otherwise as the generation has it.
  public FakeKernel lowMemoryReserved(boolean value) {
    lowMemoryReserved = value;
    return this;
  }

  /// As kernels of this generation come: VMCOREINFO names the kallsyms tables only from 6.1 on, BTF
  /// is there only where the layout has it, and there are as many symbols as a search by signature
  /// needs. Otherwise every image names its tables and carries BTF, as some distributions'
  /// backports do, which takes less time.
  public FakeKernel genuine() {
    genuine = true;
    return this;
  }

  /// Dumped while it ran: VMCOREINFO has no time of a crash.
  public FakeKernel running() {
    running = true;
    return this;
  }

  /// VMCOREINFO lies in memory only, not in the file.
  public FakeKernel noVmcoreinfoInFile() {
    vmcoreinfoInFile = false;
    return this;
  }

  public FakeKernel contents(Contents value) {
    contents = value;
    return this;
  }

  /// Adds words to the kernel's command line.
  public FakeKernel commandLine(String words) {
    commandLine.add(words);
    return this;
  }

  /// Adds records to the log, each as the kernel's own. Without any there is no log.
  public FakeKernel log(List<String> lines) {
    lines.forEach(line -> log.add(new LogRecord(0, line)));
    return this;
  }

  /// Adds records to the log as a program writes them through /dev/kmsg.
  public FakeKernel logOfPrograms(List<String> lines) {
    lines.forEach(line -> log.add(new LogRecord(1, line)));
    return this;
  }

  /// The linker script's marks around the first task's stack say how large a stack is.
  public FakeKernel initStack(long byteCount) {
    initStackBytes = byteCount;
    return this;
  }

  /// One more symbol in the kernel's text.
  public FakeKernel function(String name) {
    functions.add(name);
    return this;
  }

  public FakeKernel cache(String name, int objectSize) {
    return cache(FakeCache.named(name, objectSize));
  }

  /// Adds a cache; without any, a usual handful is built.
  public FakeKernel cache(FakeCache cache) {
    caches.add(cache);
    return this;
  }

  public FakeImage build() {
    return new ImageBuilder(this).build();
  }

  Layout layout() {
    return layout;
  }

  List<FakeCache> caches() {
    return caches;
  }

  List<Ram> moreRam() {
    return moreRam;
  }

  long initStackBytes() {
    return initStackBytes;
  }

  List<String> functions() {
    return functions;
  }

  List<LogRecord> log() {
    return log;
  }

  String commandLineText() {
    return String.join(" ", commandLine);
  }

  long seed() {
    return seed;
  }

  int cpus() {
    return cpus;
  }

  int possibleCpus() {
    return cpus + offlineCpus;
  }

  int nodes() {
    return nodes;
  }

  boolean isFiveLevels() {
    return fiveLevels;
  }

  long encryptionMask() {
    return encryptionBit == 0 ? 0 : 1L << encryptionBit;
  }

  long imagePhysical() {
    return imagePhysical;
  }

  long kernelOffset() {
    return kernelOffset;
  }

  long pageOffsetBase() {
    return pageOffsetBase;
  }

  long vmemmapBase() {
    return vmemmapBase;
  }

  long crashStart() {
    return crashStart;
  }

  long crashEnd() {
    return crashEnd;
  }

  boolean hasRegionVariables() {
    return regionVariables;
  }

  int kfenceFrames() {
    return kfenceFrames;
  }

  boolean hasKfenceMetadata() {
    return kfenceMetadata;
  }

  boolean hasHwPoison() {
    return hwPoison;
  }

  boolean isInitOnFree() {
    return initOnFree;
  }

  OptionalInt debugKey() {
    return debugKey;
  }

  boolean isDebugging() {
    return debugKey.orElse(1) != 0;
  }

  boolean isLowMemoryReserved() {
    return lowMemoryReserved;
  }

  boolean isRunning() {
    return running;
  }

  boolean isKallsymsNamed() {
    return !genuine || layout.kallsyms().compareTo(Layout.KallsymsEra.V6_1) >= 0;
  }

  boolean hasBtf() {
    return !genuine || layout.hasBtf();
  }

  boolean isVmcoreinfoInFile() {
    return vmcoreinfoInFile;
  }

  int fillerSymbols() {
    return genuine ? 3000 : 0;
  }

  Contents contents() {
    return contents;
  }
}
