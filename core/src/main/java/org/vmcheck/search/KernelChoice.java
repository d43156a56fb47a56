package org.vmcheck.search;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import org.vmcheck.arch.Architecture;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.kernel.Kernel;

/// Which of the kernels in one memory is looked at. A guest that its host dumps while the capture
/// kernel runs holds two: the crashed one is judged, and each leads to the other, the capture
/// kernel by the ELF header that `elfcorehdr=` names, the crashed one by `crashk_res`.
final class KernelChoice {
  private static final int MAX_KERNELS = 8;

  /// A kernel's description with how it was come by.
  ///
  /// @param basis why it is believed; empty for the dump's own note
  record Candidate(Vmcoreinfo info, String found, String basis) {}

  /// A candidate whose memory could be read.
  private record InMemory(Kernel kernel, Candidate candidate, OptionalLong elfHeader) {
    boolean isCapture() {
      return elfHeader.isPresent();
    }

    boolean isSame(Vmcoreinfo info) {
      Vmcoreinfo own = kernel.vmcoreinfo();
      Architecture architecture = kernel.architecture();
      return own.symbol("init_uts_ns").equals(info.symbol("init_uts_ns"))
          && own.symbol("swapper_pg_dir").equals(info.symbol("swapper_pg_dir"))
          && architecture
              .imageOffset(own, List.of())
              .equals(architecture.imageOffset(info, List.of()));
    }
  }

  private final Dump dump;
  private final Function<Vmcoreinfo, KernelSearch> reader;
  private final List<InMemory> kernels = new ArrayList<>();
  private KernelSearch refusal;

  private KernelChoice(Dump dump, Function<Vmcoreinfo, KernelSearch> reader) {
    this.dump = dump;
    this.reader = reader;
  }

  /// Reads the candidates and what they lead to, and chooses.
  ///
  /// @param candidates at least one, the most likely first
  /// @param reader reads the kernel that a VMCOREINFO describes
  /// @param number of the kernel that the user wants; 0 for the crashed one
  static KernelSearch choose(
      Dump dump,
      List<Candidate> candidates,
      Function<Vmcoreinfo, KernelSearch> reader,
      int number) {
    KernelChoice choice = new KernelChoice(dump, reader);
    candidates.forEach(choice::read);
    if (choice.kernels.isEmpty()) {
      return choice.refusal;
    }
    choice.follow();
    return new KernelSearch.Found(choice.chosen(number));
  }

  private Optional<InMemory> read(Candidate candidate) {
    if (kernels.size() >= MAX_KERNELS
        || kernels.stream().anyMatch(known -> known.isSame(candidate.info))) {
      return Optional.empty();
    }
    KernelSearch search = reader.apply(candidate.info);
    if (!(search instanceof KernelSearch.Found(Kernel kernel))) {
      refusal = refusal == null ? search : refusal;
      return Optional.empty();
    }
    InMemory read =
        new InMemory(kernel, candidate, ElfCoreHeader.address(kernel.identity().commandLine()));
    kernels.add(read);
    return Optional.of(read);
  }

  /// Where the kernels so far lead to.
  private void follow() {
    for (InMemory known : List.copyOf(kernels)) {
      if (known.isCapture()) {
        boolean isRead =
            ElfCoreHeader.vmcoreinfo(dump.memory(), known.elfHeader.getAsLong())
                .flatMap(
                    info ->
                        read(
                            new Candidate(
                                info,
                                "the capture kernel's elfcorehdr",
                                "its ELF core header names the note")))
                .isPresent();
        if (!isRead && kernels.stream().allMatch(InMemory::isCapture)) {
          search(0, Long.MAX_VALUE, "a note in memory");
        }
      } else {
        reserved(known.kernel);
      }
    }
  }

  /// Looks into the memory that a kernel reserved for its capture kernel, if the dump has that.
  private void reserved(Kernel kernel) {
    OptionalLong resource = kernel.symbol("crashk_res");
    if (resource.isEmpty()) {
      return;
    }
    long start = kernel.word(resource.getAsLong()).orElse(0);
    long end = kernel.word(resource.getAsLong() + 8).orElse(0);
    int pageSize = dump.memory().pageSize();
    if (start > 0 && end > start) {
      search(start / pageSize, end / pageSize + 1, "a note in the crashkernel's memory");
    }
  }

  private void search(long fromPfn, long endPfn, String found) {
    VmcoreinfoSearch.within(dump, fromPfn, endPfn)
        .forEach(note -> read(new Candidate(note.info(), found, note.evidence())));
  }

  private Kernel chosen(int number) {
    List<InMemory> order = new ArrayList<>(kernels);
    order.sort((a, b) -> Boolean.compare(a.isCapture(), b.isCapture()));
    int chosen = number >= 1 && number <= order.size() ? number - 1 : 0;
    List<KernelEntry> entries = new ArrayList<>();
    for (int i = 0; i < order.size(); i++) {
      InMemory one = order.get(i);
      entries.add(
          new KernelEntry(
              i + 1,
              i == chosen,
              one.isCapture(),
              one.kernel.identity().release(),
              one.kernel.memory().map().physBase(),
              one.kernel.identity().commandLine(),
              one.candidate.found(),
              one.candidate.basis()));
    }
    List<Kernel> others = new ArrayList<>(order.stream().map(InMemory::kernel).toList());
    Kernel kernel = others.remove(chosen);
    return kernel.among(entries, others);
  }
}
