package org.vmcheck.json;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/// The JSON that this program prints, described: one JSON Schema (draft 2020-12) each, in the file
/// `NAME.schema.json` beside this class. A new member is a minor change; a changed meaning raises
/// the version in the schema's `$id`.
public enum Schema {
  /// What `check --format json` prints of a dump, one object a line.
  REPORT,
  /// A line of `catalogue ... --format json`.
  CATALOGUE,
  /// A line of `scan --progress json`.
  PROGRESS,
  /// What the questions about one dump print: a definition a command.
  ANSWERS,
  /// What `compare --format json` prints.
  COMPARISON;

  /// As it is typed.
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /// The schema itself.
  public String text() {
    String name = word() + ".schema.json";
    try (InputStream file = Schema.class.getResourceAsStream(name)) {
      if (file == null) {
        throw new IllegalStateException(name + " is missing from the program");
      }
      return new String(file.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }
}
