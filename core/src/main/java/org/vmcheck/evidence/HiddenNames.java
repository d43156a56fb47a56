package org.vmcheck.evidence;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;

/// Names of files and of the machine, each with the one that takes its place.
///
/// A short name may be a word ("dump", "slab"): it is hidden where it stands alone, and not inside
/// of words or of dotted names. Time grows with the text, whatever it and the names repeat.
final class HiddenNames {
  /// Longer names are no words, and are hidden inside of others too.
  private static final int WORD_CHARS = 16;

  /// Where messages cut the names of members, without their ellipsis.
  private static final int CUT_CHARS = 197;

  private final Map<String, String> others = new LinkedHashMap<>();

  /// Longest first: a path before the name at its end.
  private List<String> ordered = List.of();

  /// Hides a file by all that it may be called: as it was named, relative and absolute, with links
  /// resolved, its directory, its own name, a member of an archive by what is behind `!`.
  void file(String name, String other) {
    add(name, other);
    String outer = name;
    for (int at = name.indexOf('!'); at >= 0; at = name.indexOf('!', at + 1)) {
      String member = name.substring(at + 1);
      add(member, other);
      add(member.substring(member.lastIndexOf('/') + 1), other);
      outer = name.substring(0, name.indexOf('!'));
    }
    path(outer, other);
  }

  private void path(String name, String other) {
    Path path;
    try {
      path = Path.of(name);
    } catch (InvalidPathException _) {
      return; // A member's name that no file can have.
    }
    List<Path> forms =
        new ArrayList<>(List.of(path, path.normalize(), path.toAbsolutePath().normalize()));
    forms.add(path.toAbsolutePath());
    try {
      forms.add(path.toRealPath());
    } catch (IOException _) {
      // It is gone by now.
    }
    for (Path form : forms) {
      add(form.toString(), other);
      if (form.getFileName() != null) {
        add(form.getFileName().toString(), other);
      }
      // One alone may be any word, and stands before the name, which is hidden with it.
      if (form.getParent() != null && form.getParent().getNameCount() > 1) {
        add(form.getParent().toString(), "(path)");
      }
    }
  }

  /// Hides a text, and the form in which it is printed.
  void add(String name, String other) {
    String printed = Printable.of(name);
    for (String form : List.of(name, printed)) {
      put(form, other);
      if (form.length() > CUT_CHARS) {
        put(form.substring(0, CUT_CHARS), other);
      }
    }
  }

  private void put(String form, String other) {
    if (!form.isBlank() && !form.equals(".") && !form.equals("..") && !form.equals("/")) {
      others.putIfAbsent(form, other);
      ordered =
          others.keySet().stream()
              .sorted(Comparator.comparingInt(String::length).reversed())
              .toList();
    }
  }

  /// The text with every name replaced.
  String in(String text) {
    BitSet taken = new BitSet();
    TreeMap<Integer, String> found = new TreeMap<>();
    for (String name : ordered) {
      if (name.length() <= text.length()) {
        find(name, text, taken, found);
      }
    }
    if (found.isEmpty()) {
      return text;
    }
    StringBuilder out = new StringBuilder(text.length());
    int at = 0;
    for (Map.Entry<Integer, String> place : found.entrySet()) {
      out.append(text, at, place.getKey()).append(others.get(place.getValue()));
      at = place.getKey() + place.getValue().length();
    }
    return out.append(text, at, text.length()).toString();
  }

  /// Knuth, Morris and Pratt's search: a name and a text of one letter each take no longer.
  private static void find(String name, String text, BitSet taken, Map<Integer, String> found) {
    Cancellation token = Cancellation.current();
    int[] shorter = borders(name);
    int matched = 0;
    for (int i = 0; i < text.length(); i++) {
      token.step();
      while (matched > 0 && text.charAt(i) != name.charAt(matched)) {
        token.step();
        matched = shorter[matched - 1];
      }
      if (text.charAt(i) == name.charAt(matched)) {
        matched++;
      }
      if (matched == name.length()) {
        int start = i + 1 - matched;
        // A longer name that this one meets holds one of its ends.
        if (!taken.get(start) && !taken.get(i) && standsAlone(name, text, start)) {
          taken.set(start, i + 1);
          found.put(start, name);
          matched = 0;
        } else {
          matched = shorter[matched - 1];
        }
      }
    }
  }

  /// For each start of the name the length of its longest end that the name begins with.
  private static int[] borders(String name) {
    int[] border = new int[name.length()];
    for (int i = 1, length = 0; i < name.length(); i++) {
      while (length > 0 && name.charAt(i) != name.charAt(length)) {
        length = border[length - 1];
      }
      if (name.charAt(i) == name.charAt(length)) {
        length++;
      }
      border[i] = length;
    }
    return border;
  }

  private static boolean standsAlone(String name, String text, int start) {
    int end = start + name.length();
    return name.length() > WORD_CHARS
        || !(joins(text, start - 1, -1, name.charAt(0))
            || joins(text, end, 1, name.charAt(name.length() - 1)));
  }

  /// Whether the character at a place carries a word on, which ends there with another.
  private static boolean joins(String text, int at, int step, char edge) {
    if (at < 0 || at >= text.length() || !isWord(edge)) {
      return false;
    }
    if (isWord(text.charAt(at))) {
      return true;
    }
    int beyond = at + step;
    return text.charAt(at) == '.'
        && beyond >= 0
        && beyond < text.length()
        && isWord(text.charAt(beyond));
  }

  private static boolean isWord(char c) {
    return Character.isLetterOrDigit(c) || c == '_' || c == '-' || Character.isSurrogate(c);
  }
}
