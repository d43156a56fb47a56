package org.vmcheck.cli;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.TemporalAccessor;
import java.util.Locale;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// A day or a time as a user writes it. Without a zone it is UTC, as the catalogue shows times.
///
/// @param first moment of it
/// @param end first moment behind it
record Moment(Instant first, Instant end) {
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm[:ss][XXXXX][XXX][X]", Locale.ROOT);

  static Moment of(String text) {
    if (text.length() == 10) {
      LocalDate day = LocalDate.parse(text);
      return new Moment(
          day.atStartOfDay(ZoneOffset.UTC).toInstant(),
          day.plusDays(1).atStartOfDay(ZoneOffset.UTC).toInstant());
    }
    String iso = text.length() > 10 && text.charAt(10) == ' ' ? text.replaceFirst(" ", "T") : text;
    TemporalAccessor parsed = TIME.parseBest(iso, Instant::from, LocalDateTime::from);
    Instant at =
        parsed instanceof LocalDateTime local
            ? local.toInstant(ZoneOffset.UTC)
            : Instant.from(parsed);
    boolean toTheSecond = iso.length() > 16 && iso.charAt(16) == ':';
    return new Moment(at, at.plusSeconds(toTheSecond ? 1 : 60));
  }

  /// Picocli's hook.
  static final class Converter implements ITypeConverter<Moment> {
    @Override
    public Moment convert(String value) {
      try {
        return of(value);
      } catch (DateTimeException _) {
        throw new TypeConversionException(
            "expected a day such as 2026-11-22, or a time such as 2026-11-22T10:30Z, got " + value);
      }
    }
  }
}
