package org.vmcheck.finding;

/// Counts with what they count, in words.
public final class Counted {
  private Counted() {}

  /// The count and its nouns, in the singular where it is one: `1 compound page`, `1 list of CPUs`.
  ///
  /// @param nouns in the plural, the noun itself the first word that ends with an s: `lists of
  ///   CPUs`
  public static String of(long count, String nouns) {
    return "%,d %s".formatted(count, count == 1 ? singular(nouns) : nouns);
  }

  private static String singular(String nouns) {
    String[] words = nouns.split(" ", -1);
    for (int i = 0; i < words.length; i++) {
      if (words[i].endsWith("s") && !words[i].endsWith("ss")) {
        words[i] = one(words[i]);
        break;
      }
    }
    return String.join(" ", words);
  }

  private static String one(String many) {
    if (many.endsWith("ies")) {
      return many.substring(0, many.length() - 3) + "y";
    }
    boolean isLong = many.endsWith("sses") || many.endsWith("xes") || many.endsWith("ches");
    // A cache is no "cach".
    return many.substring(0, many.length() - (isLong && !many.endsWith("caches") ? 2 : 1));
  }
}
