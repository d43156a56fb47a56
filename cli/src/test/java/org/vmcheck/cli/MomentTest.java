package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

/// Days and times as users write them.
class MomentTest {
  @ParameterizedTest
  @CsvSource({
    "2026-11-22, 2026-11-22T00:00:00Z, 2026-11-23T00:00:00Z",
    "2026-11-22T10:30, 2026-11-22T10:30:00Z, 2026-11-22T10:31:00Z",
    "2026-11-22 10:30:05, 2026-11-22T10:30:05Z, 2026-11-22T10:30:06Z",
    "2026-11-22T10:30Z, 2026-11-22T10:30:00Z, 2026-11-22T10:31:00Z",
    "2026-11-22T10:30:05Z, 2026-11-22T10:30:05Z, 2026-11-22T10:30:06Z",
    "2026-11-22T10:30+01:00, 2026-11-22T09:30:00Z, 2026-11-22T09:31:00Z",
    "2026-11-22T10:30:05-0530, 2026-11-22T16:00:05Z, 2026-11-22T16:00:06Z",
  })
  void withAndWithoutZone(String text, String first, String end) {
    assertThat(Moment.of(text).first()).hasToString(first);
    assertThat(Moment.of(text).end()).hasToString(end);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "yesterday", "2026-13-01", "2026-11-22T25:00", "22.11.2026", "2026"})
  void whatIsNoTimeIsRefused(String text) {
    assertThatThrownBy(() -> new Moment.Converter().convert(text))
        .isInstanceOf(TypeConversionException.class);
  }
}
