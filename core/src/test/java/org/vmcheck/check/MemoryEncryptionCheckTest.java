package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// The encryption bit of page-table entries, named by VMCOREINFO or not.
final class MemoryEncryptionCheckTest {
  private static final String FACT = "encryption bit in page-table entries";

  private static CheckOutcome.Ran encryption(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      DumpReport report = analyzer.check("test");
      assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
      return report.checks().stream()
          .filter(CheckOutcome.Ran.class::isInstance)
          .map(CheckOutcome.Ran.class::cast)
          .filter(ran -> ran.id().equals("memory.encryption"))
          .findFirst()
          .orElseThrow();
    }
  }

  /// Older makedumpfile and kernels: the bit is there and `NUMBER(sme_mask)` is not.
  @Test
  void aBitThatVmcoreinfoDoesNotNameIsANote(@TempDir Path dir) throws Exception {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(3).sme(47).build();
    Path dump = image.writeElf(dir);

    assertThat(encryption(dump).notes()).isEmpty();
    assertThat(encryption(dump).facts()).containsEntry(FACT, "0x800000000000");

    rename(dump, "NUMBER(sme_mask)", "NUMBER(xxx_mask)");
    CheckOutcome.Ran unnamed = encryption(dump);

    assertThat(unnamed.facts()).containsEntry(FACT, "0x800000000000");
    assertThat(unnamed.notes())
        .extracting(Note::text)
        .singleElement()
        .asString()
        .contains("0x800000000000", "VMCOREINFO has no NUMBER(sme_mask)");
  }

  @Test
  void aKernelWithoutEncryptionHasNoNote(@TempDir Path dir) throws Exception {
    CheckOutcome.Ran plain = encryption(FakeKernel.of(Layout.V6_1).seed(3).build().writeElf(dir));

    assertThat(plain.notes()).isEqualTo(List.of());
    assertThat(plain.facts()).doesNotContainKey(FACT);
  }

  @Test
  void aGuestInARealmIsNamed(@TempDir Path dir) throws Exception {
    FakeImage image =
        FakeKernel.of(Layout.V6_1).seed(3).log(List.of("RME: Using RSI version 1.0")).build();

    assertThat(encryption(image.writeElf(dir)).facts())
        .containsEntry("memory encryption", "guest (a realm of Arm CCA)");
  }

  /// Replaces a key wherever it stands in the file: in the note and in the memory.
  private static void rename(Path file, String key, String other) throws Exception {
    String bytes = Files.readString(file, StandardCharsets.ISO_8859_1);
    assertThat(bytes).contains(key);
    Files.writeString(file, bytes.replace(key, other), StandardCharsets.ISO_8859_1);
  }
}
