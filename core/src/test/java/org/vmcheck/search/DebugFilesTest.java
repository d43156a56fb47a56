package org.vmcheck.search;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.debuginfo.DebugFile;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.DebugSources.Kind;
import org.vmcheck.debuginfo.KernelIdentity.Match;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.testing.TestData;

class DebugFilesTest {
  /// `VMCHECK_VMLINUX` names the debug vmlinux of the dump's kernel, `VMCHECK_VMLINUZ` its vmlinuz.
  private static final String VMLINUX = System.getenv("VMCHECK_VMLINUX");

  private static final String VMLINUZ = System.getenv("VMCHECK_VMLINUZ");

  @TempDir private Path folder;

  /// A vmlinux of another kernel.
  private Path other;

  @BeforeEach
  void writeOther() throws IOException {
    other = folder.resolve("other");
    try (InputStream in = getClass().getResourceAsStream("/dwarf/dwarf5")) {
      Files.write(other, in.readAllBytes());
    }
  }

  private static Kernel kernel(DebugSources sources) throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      return ((KernelSearch.Found) KernelFinder.find(dump, sources)).kernel();
    }
  }

  @Test
  void vmlinuxOfAnotherKernelIsRefusedWithBothIdentities() throws Exception {
    Kernel kernel = kernel(DebugSources.DEFAULT.ignoring(Kind.BTF).withVmlinux(other));

    assertThat(kernel.types()).isEmpty();
    DebugFile file = kernel.debugFiles().getFirst();
    assertThat(file.isNamed()).isTrue();
    assertThat(file.match()).isEqualTo(Match.DIFFERENT);
    assertThat(file.isUsed()).isFalse();
    assertThat(file.ofDump().buildId()).isEqualTo("3b43fad5034874490492495d552c0af6a5fab235");
    assertThat(file.ofDump().banner()).startsWith("Linux version 6.1.0-56-cloud-amd64 ");
    assertThat(file.ofFile().buildId()).hasSize(40).isNotEqualTo(file.ofDump().buildId());
  }

  @Test
  void wrongVmlinuxIsNamedEvenWhereNothingOfItIsNeeded() throws Exception {
    Kernel kernel = kernel(DebugSources.DEFAULT.withVmlinux(other));

    assertThat(kernel.types().orElseThrow().source()).isEqualTo("btf");
    assertThat(kernel.debugFiles()).extracting(DebugFile::match).containsExactly(Match.DIFFERENT);
  }

  @Test
  void forceUsesItAndSaysSo() throws Exception {
    Kernel kernel =
        kernel(DebugSources.DEFAULT.ignoring(Kind.BTF).withVmlinux(other).withForce(true));

    assertThat(kernel.types().orElseThrow().source()).isEqualTo("dwarf");
    assertThat(kernel.debugFiles()).extracting(DebugFile::isForced).containsExactly(true);
    assertThat(kernel.debugFiles().getFirst().gives()).isEqualTo("dwarf");
  }

  @Test
  void fileThatIsNoKernelIsAnErrorOfTheUser() throws Exception {
    Path text = Files.writeString(folder.resolve("text"), "no kernel");

    assertThatThrownBy(() -> kernel(DebugSources.DEFAULT.withVmlinux(text)))
        .isInstanceOf(UnsupportedFormatException.class);
    assertThatThrownBy(() -> kernel(DebugSources.DEFAULT.withVmlinux(folder.resolve("none"))))
        .isInstanceOf(NoSuchFileException.class);
  }

  @Test
  void fileInAPlaceIsTakenOnlyIfItIsTheKernels() throws Exception {
    Path boot = Files.createDirectories(folder.resolve("boot"));
    Files.copy(other, boot.resolve("vmlinux-6.1.0-56-cloud-amd64"));

    Kernel kernel =
        kernel(
            DebugSources.DEFAULT.ignoring(Kind.BTF, Kind.PLACES).withDirectories(List.of(folder)));

    assertThat(kernel.types()).isEmpty();
    assertThat(kernel.debugFiles()).extracting(DebugFile::isNamed).containsExactly(false);
    assertThat(kernel.debugFiles()).extracting(DebugFile::match).containsExactly(Match.DIFFERENT);
  }

  @Test
  void realVmlinuxStandsInForBtfAndForKallsyms() throws Exception {
    assumeTrue(VMLINUX != null);
    Kernel whole = kernel(DebugSources.DEFAULT);
    Kernel kernel =
        kernel(
            DebugSources.DEFAULT.ignoring(Kind.BTF, Kind.KALLSYMS).withVmlinux(Path.of(VMLINUX)));

    assertThat(kernel.missing()).isEmpty();
    assertThat(kernel.symbols().orElseThrow().source()).isEqualTo("symtab");
    assertThat(kernel.types().orElseThrow().source()).isEqualTo("dwarf");
    assertThat(kernel.debugFiles().getFirst().match()).isEqualTo(Match.SAME_BUILD_ID);
    for (String name :
        List.of("slab_caches", "init_task", "__per_cpu_offset", "page_offset_base", "_stext")) {
      assertThat(kernel.symbol(name)).as(name).isEqualTo(whole.symbol(name));
    }
    assertThat(kernel.memory().map()).isEqualTo(whole.memory().map());
  }

  @Test
  void realVmlinuzStandsInForKallsyms() throws Exception {
    assumeTrue(VMLINUZ != null);
    Kernel whole = kernel(DebugSources.DEFAULT);
    Kernel kernel =
        kernel(DebugSources.DEFAULT.ignoring(Kind.KALLSYMS).withVmlinux(Path.of(VMLINUZ)));

    assertThat(kernel.missing()).isEmpty();
    assertThat(kernel.symbols().orElseThrow().count()).isEqualTo(87_347);
    assertThat(kernel.types().orElseThrow().source()).isEqualTo("btf");
    assertThat(kernel.symbol("slab_caches")).isEqualTo(whole.symbol("slab_caches"));
    assertThat(kernel.debugFiles().getFirst().ofFile().banner())
        .isEqualTo(kernel.debugFiles().getFirst().ofDump().banner());
  }
}
