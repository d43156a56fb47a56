package org.vmcheck.cli;

import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.io.Printable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// An address on the command line, which only the kernel of the dump may be able to tell.
///
/// @param text as given
record AddressArgument(String text) {
  /// What `--help` says of it.
  static final String FORMS =
      "In hexadecimal, or symbol, symbol+0x10, symbol:2 (CPU 2's copy of a per-CPU variable).";

  private static final int MAX_QUOTED = 200;

  /// Picocli's hook for addresses.
  static final class Converter implements ITypeConverter<AddressArgument> {
    @Override
    public AddressArgument convert(String value) {
      if (!Analyzer.isAddress(value)) {
        throw new TypeConversionException(
            "expected a hexadecimal address, symbol or symbol+0x10, got "
                + Printable.of(value, MAX_QUOTED));
      }
      return new AddressArgument(value);
    }
  }

  long in(Analyzer analyzer) throws UnansweredException {
    return analyzer.address(text);
  }
}
