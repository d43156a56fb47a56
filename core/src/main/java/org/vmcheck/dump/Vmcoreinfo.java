package org.vmcheck.dump;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/// The kernel's own description of itself, parsed once: lines of `KEY=VALUE`.
///
/// Number formats differ by the family of the key (Linux `kernel/vmcore_info.c`): `SYMBOL` and
/// `KERNELOFFSET` are hexadecimal without a prefix, `OFFSET`, `SIZE` and `LENGTH` unsigned decimal,
/// `NUMBER` signed decimal or hexadecimal with a prefix. A value that does not parse is absent.
public final class Vmcoreinfo {
  /// The kernel limits the text to one page; 64 KiB pages are the largest in use.
  static final int MAX_BYTES = 1 << 20;

  private static final int MAX_KEYS = 65536;

  private final String text;
  private final Map<String, String> values;

  private Vmcoreinfo(String text, Map<String, String> values) {
    this.text = text;
    this.values = values;
  }

  /// Parses the text up to its first NUL. Lines that are no `KEY=VALUE` are passed over; the first
  /// of two equal keys counts.
  public static Vmcoreinfo parse(String text) {
    int end = text.indexOf('\0');
    String body = end < 0 ? text : text.substring(0, end);
    Map<String, String> values = new LinkedHashMap<>();
    int at = 0;
    while (at < body.length() && values.size() < MAX_KEYS) {
      int newline = body.indexOf('\n', at);
      int lineEnd = newline < 0 ? body.length() : newline;
      int equals = body.indexOf('=', at);
      if (equals > at && equals < lineEnd) {
        values.putIfAbsent(body.substring(at, equals), body.substring(equals + 1, lineEnd));
      }
      at = lineEnd + 1;
    }
    return new Vmcoreinfo(body, values);
  }

  /// The text as found, unescaped.
  public String text() {
    return text;
  }

  public boolean isEmpty() {
    return values.isEmpty();
  }

  public Optional<String> value(String key) {
    return Optional.ofNullable(values.get(key));
  }

  /// `OSRELEASE`.
  public String release() {
    return values.getOrDefault("OSRELEASE", "");
  }

  /// Address of a symbol. For array-typed symbols the kernel prints the value of the variable.
  public OptionalLong symbol(String name) {
    return hexadecimal(values.get("SYMBOL(" + name + ")"));
  }

  /// `SIZE(type)` in bytes.
  public OptionalLong size(String type) {
    return decimal(values.get("SIZE(" + type + ")"));
  }

  /// `OFFSET(struct.member)` in bytes.
  public OptionalLong offset(String member) {
    return decimal(values.get("OFFSET(" + member + ")"));
  }

  /// `LENGTH(array)` in elements.
  public OptionalLong length(String array) {
    return decimal(values.get("LENGTH(" + array + ")"));
  }

  /// `NUMBER(name)`; may be negative.
  public OptionalLong number(String name) {
    String value = values.get("NUMBER(" + name + ")");
    if (value != null && value.startsWith("0x")) {
      return hexadecimal(value.substring(2));
    }
    return decimal(value);
  }

  /// `KERNELOFFSET`: how far KASLR moved the kernel image.
  public OptionalLong kernelOffset() {
    return hexadecimal(values.get("KERNELOFFSET"));
  }

  /// `CRASHTIME` in seconds since 1970; absent when no panic saved it.
  public OptionalLong crashTime() {
    return decimal(values.get("CRASHTIME"));
  }

  private static OptionalLong hexadecimal(String value) {
    try {
      return value == null
          ? OptionalLong.empty()
          : OptionalLong.of(Long.parseUnsignedLong(value, 16));
    } catch (NumberFormatException _) {
      return OptionalLong.empty();
    }
  }

  private static OptionalLong decimal(String value) {
    try {
      return value == null ? OptionalLong.empty() : OptionalLong.of(Long.parseLong(value));
    } catch (NumberFormatException _) {
      return OptionalLong.empty();
    }
  }
}
