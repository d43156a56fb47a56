package org.vmcheck.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// Picocli's hook for a number of bytes: `64`, `0x40`, `4K`, `1M`.
final class ByteCount implements ITypeConverter<Integer> {
  /// What `--help` says of it.
  static final String FORMS = "bytes, as 64, 0x40, 4K or 1M";

  private static final Pattern FORM = Pattern.compile("(0[xX][0-9a-fA-F]{1,8}|\\d{1,10})([KkMm]?)");

  @Override
  public Integer convert(String value) {
    Matcher matcher = FORM.matcher(value);
    if (!matcher.matches()) {
      throw new TypeConversionException("expected a number of " + FORMS + ", got " + value);
    }
    String digits = matcher.group(1);
    long number =
        digits.startsWith("0x") || digits.startsWith("0X")
            ? Long.parseLong(digits.substring(2), 16)
            : Long.parseLong(digits);
    int shift =
        switch (matcher.group(2)) {
          case "K", "k" -> 10;
          case "M", "m" -> 20;
          default -> 0;
        };
    return (int) Math.min(Integer.MAX_VALUE, number << shift);
  }
}
