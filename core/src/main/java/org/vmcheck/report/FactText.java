package org.vmcheck.report;

import java.util.Map;

/// The facts behind a check's answer, for a person.
final class FactText {
  /// What a word stands for that is short in JSON.
  private static final Map<String, String> NAMES =
      Map.of(
          "bytes", "bytes compared with other memory",
          "compared", "addresses that were compared",
          "different", "addresses that differ",
          "not mapped", "addresses that are not mapped",
          "stored", "pages stored",
          "excluded", "pages left out on purpose",
          "missing", "pages missing",
          "total", "pages of the machine",
          "damaged", "pages damaged",
          "page size", "bytes of a page");

  private FactText() {}

  /// A fact in a line.
  static String of(String name, String value) {
    String number = value.matches("\\d{4,18}") ? "%,d".formatted(Long.parseLong(value)) : value;
    return NAMES.getOrDefault(name, name) + ": " + number;
  }
}
