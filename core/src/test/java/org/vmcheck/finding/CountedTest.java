package org.vmcheck.finding;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CountedTest {
  @ParameterizedTest
  @CsvSource({
    "compound pages, compound page",
    "canaries of CPUs, canary of CPUs",
    "entries by arithmetic, entry by arithmetic",
    "addresses, address",
    "caches, cache",
    "branches, branch",
    "frames by struct page, frame by struct page",
    "pages that no level leaves out, page that no level leaves out",
    "class pages, class page",
    "lists of free pages, list of free pages",
  })
  void oneIsSingular(String many, String one) {
    assertThat(Counted.of(1, many)).isEqualTo("1 " + one);
    assertThat(Counted.of(2, many)).isEqualTo("2 " + many);
  }

  @Test
  void thousandsAreGrouped() {
    assertThat(Counted.of(1_234_567, "slabs")).isEqualTo("1,234,567 slabs");
    assertThat(Counted.of(0, "slabs")).isEqualTo("0 slabs");
  }
}
