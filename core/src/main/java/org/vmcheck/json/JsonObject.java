package org.vmcheck.json;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// One object of a JSON text, whose members are asked for by name and type. A member that is
/// missing or of another type is named in the exception.
///
/// @param file what messages call the text
/// @param at where the object stands in it, for example `checks[2]`
record JsonObject(String file, String at, Map<?, ?> members) {

  static JsonObject of(String file, String at, Object value) throws MalformedFileException {
    if (value instanceof Map<?, ?> map) {
      return new JsonObject(file, at, map);
    }
    throw new MalformedFileException(
        "[%s] %s: expected an object, got %s".formatted(file, at, words(value)));
  }

  boolean has(String name) {
    return members.get(name) != null;
  }

  /// Whether a member is there and null.
  boolean isNull(String name) {
    return members.containsKey(name) && members.get(name) == null;
  }

  /// The names of all members, in order.
  List<String> names() {
    return members.keySet().stream().map(String::valueOf).sorted().toList();
  }

  String string(String name) throws MalformedFileException {
    if (members.get(name) instanceof String text) {
      return text;
    }
    throw wrong(name, "a string");
  }

  long number(String name) throws MalformedFileException {
    if (members.get(name) instanceof Long number) {
      return number;
    }
    throw wrong(name, "a whole number");
  }

  /// A whole number in a range.
  long number(String name, long least, long most) throws MalformedFileException {
    long number = number(name);
    if (number < least || number > most) {
      throw wrong(name, "a number from %d to %d".formatted(least, most));
    }
    return number;
  }

  int integer(String name) throws MalformedFileException {
    long number = number(name);
    if (number == (int) number) {
      return (int) number;
    }
    throw wrong(name, "a number of 32 bits");
  }

  double decimal(String name) throws MalformedFileException {
    return decimal(name, members.get(name));
  }

  private double decimal(String name, Object value) throws MalformedFileException {
    return switch (value) {
      case Long whole -> whole;
      case Double number -> number;
      case null, default -> throw wrong(name, "a number");
    };
  }

  List<Double> decimals(String name) throws MalformedFileException {
    List<Double> numbers = new ArrayList<>();
    for (Object element : list(name)) {
      numbers.add(decimal(name, element));
    }
    return numbers;
  }

  boolean flag(String name) throws MalformedFileException {
    if (members.get(name) instanceof Boolean flag) {
      return flag;
    }
    throw wrong(name, "true or false");
  }

  /// A word written as a hexadecimal string; [Evidence#UNKNOWN] where it is null.
  long word(String name) throws MalformedFileException {
    if (members.containsKey(name) && members.get(name) == null) {
      return Evidence.UNKNOWN;
    }
    String text = string(name);
    try {
      if (text.startsWith("0x")) {
        return Long.parseUnsignedLong(text, 2, text.length(), 16);
      }
    } catch (NumberFormatException _) {
      // Said below.
    }
    throw wrong(name, "a hexadecimal number of 64 bits");
  }

  JsonObject object(String name) throws MalformedFileException {
    return of(file, at + "." + name, members.get(name));
  }

  List<JsonObject> objects(String name) throws MalformedFileException {
    List<JsonObject> objects = new ArrayList<>();
    for (Object element : list(name)) {
      objects.add(of(file, "%s.%s[%d]".formatted(at, name, objects.size()), element));
    }
    return objects;
  }

  List<String> strings(String name) throws MalformedFileException {
    List<String> strings = new ArrayList<>();
    for (Object element : list(name)) {
      if (!(element instanceof String text)) {
        throw wrong(name, "an array of strings");
      }
      strings.add(text);
    }
    return strings;
  }

  List<Integer> integers(String name) throws MalformedFileException {
    List<Integer> integers = new ArrayList<>();
    for (Object item : list(name)) {
      if (!(item instanceof Number number) || number.intValue() != number.doubleValue()) {
        throw wrong(name, "an array of integers");
      }
      integers.add(number.intValue());
    }
    return integers;
  }

  /// Names come escaped: they are printed as headings and counts are, where a value is escaped.
  Map<String, String> stringMap(String name) throws MalformedFileException {
    JsonObject object = object(name);
    Map<String, String> map = new TreeMap<>();
    for (Object key : object.members.keySet()) {
      map.put(Printable.of((String) key), object.string((String) key));
    }
    return map;
  }

  /// Names come escaped, as those of [#stringMap].
  Map<String, Long> numberMap(String name) throws MalformedFileException {
    JsonObject object = object(name);
    Map<String, Long> map = new TreeMap<>();
    for (Object key : object.members.keySet()) {
      map.put(Printable.of((String) key), object.number((String) key));
    }
    return map;
  }

  private List<?> list(String name) throws MalformedFileException {
    if (members.get(name) instanceof List<?> list) {
      return list;
    }
    throw wrong(name, "an array");
  }

  /// The exception that names a member, what was expected of it and what it is.
  MalformedFileException wrong(String name, String expected) {
    return new MalformedFileException(
        "[%s] %s.%s: expected %s, got %s"
            .formatted(file, at, name, expected, words(members.get(name))));
  }

  private static String words(Object value) {
    return switch (value) {
      case null -> "nothing";
      case Map<?, ?> _ -> "an object";
      case List<?> _ -> "an array";
      case String text -> '"' + Printable.of(text, 60) + '"';
      default -> value.toString();
    };
  }
}
