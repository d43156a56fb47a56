package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.io.Cancellation;

/// The kernel's own description of itself, parsed once: lines of `KEY=VALUE`.
///
/// Number formats differ by the family of the key (Linux `kernel/vmcore_info.c`): `SYMBOL` and
/// `KERNELOFFSET` are hexadecimal without a prefix, `OFFSET`, `SIZE` and `LENGTH` unsigned decimal,
/// `NUMBER` signed decimal or hexadecimal with a prefix. A value that does not parse, or that
/// cannot be (a bit of the page flags beyond 63), is absent: see [#implausible].
public final class Vmcoreinfo {
  /// The kernel limits the text to one page; 64 KiB pages are the largest in use.
  static final int MAX_BYTES = 1 << 20;

  private static final int MAX_KEYS = 65536;

  /// Values that cannot be and are listed; a text with more is none.
  private static final int MAX_IMPLAUSIBLE = 16;

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
    Cancellation cancellation = Cancellation.current();
    int at = 0;
    int equals = -1;
    while (at < body.length() && values.size() < MAX_KEYS) {
      cancellation.step();
      int newline = body.indexOf('\n', at);
      int lineEnd = newline < 0 ? body.length() : newline;
      if (equals < at) {
        // Looked for once, however many lines lie before it.
        int found = body.indexOf('=', at);
        equals = found < 0 ? body.length() : found;
      }
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

  /// Values that cannot be, as `KEY=VALUE: why`, unescaped: none of them is used. The first few.
  public List<String> implausible() {
    List<String> found = new ArrayList<>();
    for (Map.Entry<String, String> entry : values.entrySet()) {
      if (found.size() == MAX_IMPLAUSIBLE) {
        break;
      }
      refusal(entry.getKey(), entry.getValue())
          .ifPresent(why -> found.add(entry.getKey() + "=" + entry.getValue() + ": " + why));
    }
    return List.copyOf(found);
  }

  private Optional<String> refusal(String key, String value) {
    String struct = VmcoreinfoRules.structOf(key);
    return VmcoreinfoRules.refusal(
        key, value, struct == null ? null : values.get("SIZE(" + struct + ")"));
  }

  /// The value of a key, or null if there is none that can be.
  private String usable(String key) {
    String value = values.get(key);
    return value == null || refusal(key, value).isPresent() ? null : value;
  }

  /// `OSRELEASE`.
  public String release() {
    return values.getOrDefault("OSRELEASE", "");
  }

  /// `PAGESIZE` of the kernel, in bytes.
  public OptionalLong pageSize() {
    return decimal(values.get("PAGESIZE"));
  }

  /// Address of a symbol. For array-typed symbols the kernel prints the value of the variable.
  public OptionalLong symbol(String name) {
    return hexadecimal(usable("SYMBOL(" + name + ")"));
  }

  /// `SIZE(type)` in bytes.
  public OptionalLong size(String type) {
    return decimal(usable("SIZE(" + type + ")"));
  }

  /// `OFFSET(struct.member)` in bytes.
  public OptionalLong offset(String member) {
    return decimal(usable("OFFSET(" + member + ")"));
  }

  /// `LENGTH(array)` in elements.
  public OptionalLong length(String array) {
    return decimal(usable("LENGTH(" + array + ")"));
  }

  /// `NUMBER(name)`; may be negative.
  public OptionalLong number(String name) {
    String value = usable("NUMBER(" + name + ")");
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
    return decimal(usable("CRASHTIME"));
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
