package org.vmcheck.report;

/// Cells of a CSV file (RFC 4180), made harmless to spreadsheets: a cell that a spreadsheet would
/// run as a formula begins with an apostrophe.
public final class Csv {
  private Csv() {}

  public static String cell(String text) {
    String harmless =
        !text.isEmpty() && "=+-@\t\r".indexOf(text.charAt(0)) >= 0 ? "'" + text : text;
    return harmless.matches("(?s).*[\",\r\n].*")
        ? '"' + harmless.replace("\"", "\"\"") + '"'
        : harmless;
  }
}
