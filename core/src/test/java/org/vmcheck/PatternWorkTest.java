package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.vmcheck.dump.Dump;
import org.vmcheck.io.Lines;

/// Every regular expression that the library keeps takes time in proportion to the line that it is
/// matched against: lines made of its own words and of what its loops repeat.
class PatternWorkTest {
  /// Looks at characters that one match may take for each character of the line.
  private static final int MOST_A_CHARACTER = 128;

  private static final int MOST_WORDS = 6;

  /// Half of what lines are cut to: the square would show.
  private static final int LENGTH = Lines.MAX_CHARS / 2;

  /// Those that are only ever matched against a whole text.
  private static final Set<String> WHOLE =
      Set.of(
          "Incidents",
          "SideCarCheck.README_KERNEL",
          "CrashSignature.COMMON",
          "CrashSignature.FRAME",
          "PanicRelation.ALLOCATOR",
          "Claimant.ID",
          "KernelReports.REPORTER",
          "ReportFindings.FREEING");

  private static final List<String> PUMPS =
      List.of(
          " ",
          "a",
          "A",
          "0",
          ".",
          ":",
          "a.",
          ".1",
          "0x1",
          "a+0x1/0x1 ",
          "[",
          "[a:1",
          "a ",
          ": ",
          "a: ",
          "a, ",
          "-",
          "\\",
          "\"",
          "/a",
          "a-",
          "(",
          "1 ",
          "\t",
          "f0 ");

  /// Counts looks at characters.
  private static final class Counted implements CharSequence {
    private final String text;
    private long looks;

    Counted(String text) {
      this.text = text;
    }

    @Override
    public int length() {
      return text.length();
    }

    @Override
    public char charAt(int index) {
      if (++looks > 1L << 22) {
        throw new IllegalStateException("more than 4 million looks");
      }
      return text.charAt(index);
    }

    @Override
    public CharSequence subSequence(int start, int end) {
      return text.substring(start, end);
    }

    @Override
    public String toString() {
      return text;
    }
  }

  @Test
  void noPatternTakesMoreThanItsLine() throws Exception {
    Map<String, Pattern> patterns = patterns();
    assertThat(patterns).as("patterns that were found").hasSizeGreaterThan(40);
    Set<String> slow = new TreeSet<>();
    for (Map.Entry<String, Pattern> entry : patterns.entrySet()) {
      boolean isWhole = WHOLE.stream().anyMatch(entry.getKey()::startsWith);
      String worst = worst(entry.getValue(), isWhole);
      if (!worst.isEmpty()) {
        slow.add(entry.getKey() + " " + entry.getValue() + ": " + worst);
      }
    }
    assertThat(slow).isEmpty();
  }

  private static String worst(Pattern pattern, boolean isWhole) {
    List<String> all = words(pattern.pattern());
    List<String> words = all.subList(0, Math.min(MOST_WORDS, all.size()));
    Set<String> starts = new LinkedHashSet<>(List.of("", "a: "));
    words.forEach(word -> starts.add(word));
    Set<String> pumps = new LinkedHashSet<>(PUMPS);
    words.forEach(word -> pumps.add(word));
    for (String start : starts) {
      for (String pump : pumps) {
        StringBuilder line = new StringBuilder(start);
        while (line.length() < LENGTH) {
          line.append(pump);
        }
        Counted text = new Counted(line.substring(0, LENGTH));
        try {
          if (isWhole) {
            pattern.matcher(text).matches();
          } else {
            pattern.matcher(text).find();
          }
        } catch (IllegalStateException | StackOverflowError tooMuch) {
          return "'" + start + "' and '" + pump + "'s: " + tooMuch;
        }
        if (text.looks > (long) MOST_A_CHARACTER * LENGTH) {
          return "'" + start + "' and '" + pump + "'s: " + text.looks;
        }
      }
    }
    return "";
  }

  /// What stands in the pattern word for word.
  private static List<String> words(String pattern) {
    List<String> words = new ArrayList<>();
    String plain = pattern.replaceAll("\\\\([\\[\\](){}.+*?|^$\\\\])", "$1").replace("\\Q", "");
    for (String part :
        plain.split(
            "\\(\\?\\w*\\)|\\(\\?<\\w+>|\\\\[A-Za-z]|[\\\\()|*^$?]|\\.\\*|\\{[0-9,]+}|\\[[^]]*]")) {
      if (!part.isEmpty()) {
        words.add(part);
      }
    }
    return words;
  }

  private static Map<String, Pattern> patterns() throws ReflectiveOperationException {
    Map<String, Pattern> found = new LinkedHashMap<>();
    for (JavaClass type :
        new ClassFileImporter()
            .importUrl(Dump.class.getProtectionDomain().getCodeSource().getLocation())) {
      Class<?> reflected;
      try {
        reflected = Class.forName(type.getName());
      } catch (ClassNotFoundException | LinkageError _) {
        continue;
      }
      for (Field field : reflected.getDeclaredFields()) {
        if (Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive()) {
          field.setAccessible(true);
          collect(type.getSimpleName() + "." + field.getName(), field.get(null), found, 0);
        }
      }
    }
    return found;
  }

  private static void collect(String name, Object value, Map<String, Pattern> found, int depth)
      throws ReflectiveOperationException {
    if (value instanceof Pattern pattern) {
      found.put(name, pattern);
    } else if (depth < 3 && value instanceof Iterable<?> many) {
      int i = 0;
      for (Object one : many) {
        collect(name + "[" + i++ + "]", one, found, depth + 1);
      }
    } else if (depth < 3
        && value != null
        && (value instanceof Enum<?> || value instanceof Record)
        && value.getClass().getName().startsWith("org.vmcheck")) {
      Class<?> declaring =
          value instanceof Enum<?> constant ? constant.getDeclaringClass() : value.getClass();
      for (Field field : declaring.getDeclaredFields()) {
        if (!Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive()) {
          field.setAccessible(true);
          collect(name + "." + field.getName(), field.get(value), found, depth + 1);
        }
      }
    }
  }
}
