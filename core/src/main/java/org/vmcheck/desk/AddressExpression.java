package org.vmcheck.desk;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;

/// An address as an engineer writes it: a number in hexadecimal, or `symbol`, `symbol+0x10`,
/// `symbol:2` for CPU 2's copy of a per-CPU variable.
///
/// @param name of the symbol; empty for a number
/// @param cpu whose copy is meant, if any
/// @param number the address, or what is added to the symbol's
public record AddressExpression(String name, OptionalInt cpu, long number) {
  private static final Pattern HEX = Pattern.compile("(?:0[xX])?[0-9a-fA-F]{1,16}");
  private static final Pattern SYMBOL =
      Pattern.compile(
          "([A-Za-z_.$][\\w.$]{0,255})(?::(\\d{1,5}))?(?:([+-])(0[xX][0-9a-fA-F]{1,16}|\\d{1,9}))?");

  /// @return empty if the text is no address
  public static Optional<AddressExpression> parse(String text) {
    if (HEX.matcher(text).matches()) {
      String digits = text.startsWith("0x") || text.startsWith("0X") ? text.substring(2) : text;
      return Optional.of(
          new AddressExpression("", OptionalInt.empty(), Long.parseUnsignedLong(digits, 16)));
    }
    Matcher symbol = SYMBOL.matcher(text);
    if (!symbol.matches()) {
      return Optional.empty();
    }
    long offset = symbol.group(4) == null ? 0 : number(symbol.group(4));
    return Optional.of(
        new AddressExpression(
            symbol.group(1),
            symbol.group(2) == null
                ? OptionalInt.empty()
                : OptionalInt.of(Integer.parseInt(symbol.group(2))),
            "-".equals(symbol.group(3)) ? -offset : offset));
  }

  private static long number(String text) {
    return text.startsWith("0x") || text.startsWith("0X")
        ? Long.parseUnsignedLong(text.substring(2), 16)
        : Long.parseLong(text);
  }

  public boolean isNumber() {
    return name.isEmpty();
  }

  /// The address in a kernel.
  ///
  /// @return empty if the kernel has no such symbol, or no such CPU
  public OptionalLong in(Kernel kernel) {
    if (isNumber()) {
      return OptionalLong.of(number);
    }
    OptionalLong base = kernel.symbol(name);
    for (Modules.Module module :
        base.isPresent() ? List.<Modules.Module>of() : kernel.modules().all()) {
      Optional<Symbols> symbols = kernel.modules().symbols(module);
      List<Symbol> named = symbols.map(s -> s.all(name)).orElse(List.of());
      if (!named.isEmpty()) {
        base = OptionalLong.of(named.getFirst().address());
        break;
      }
    }
    if (base.isEmpty()) {
      return base;
    }
    long address = base.getAsLong() + number;
    if (cpu.isEmpty()) {
      return OptionalLong.of(address);
    }
    int index = kernel.perCpu().cpus().indexOf(cpu.getAsInt());
    return index < 0
        ? OptionalLong.empty()
        : OptionalLong.of(kernel.perCpu().address(address, index));
  }
}
