package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Function;

/// Incidents that have something in common. Copies of one dump, and kdump's own tests, count once
/// and not at all.
///
/// @param key what they share: a signature's id, a release, a verdict or a cause
/// @param text the key in words
/// @param kernels releases met
/// @param verdicts verdicts met
/// @param members in order of crash time
public record CrashGroup(
    String key,
    String text,
    SortedSet<String> kernels,
    SortedSet<String> verdicts,
    List<Entry> members) {
  public CrashGroup {
    kernels = new TreeSet<>(kernels);
    verdicts = new TreeSet<>(verdicts);
    members = List.copyOf(members);
  }

  /// What incidents can be grouped by.
  public enum By {
    PANIC,
    DAMAGE,
    KERNEL,
    VERDICT,
    CAUSE
  }

  /// The groups, largest first; an incident without the key is in none.
  public static List<CrashGroup> of(List<Entry> entries, By by) {
    Function<Entry, Map<String, String>> keys =
        switch (by) {
          case PANIC -> entry -> key(entry.panicSignature());
          case DAMAGE -> entry -> key(entry.damageSignature());
          case KERNEL ->
              entry -> entry.release().isEmpty() ? Map.of() : Map.of(entry.release(), "");
          case VERDICT -> entry -> Map.of(entry.verdict(), "");
          case CAUSE ->
              entry -> {
                Map<String, String> causes = new LinkedHashMap<>();
                entry.causes().forEach(cause -> causes.put(cause, ""));
                return causes;
              };
        };
    Map<String, List<Entry>> members = new LinkedHashMap<>();
    Map<String, String> texts = new LinkedHashMap<>();
    for (Entry entry : entries) {
      if (!isCounted(entry)) {
        continue;
      }
      keys.apply(entry)
          .forEach(
              (key, text) -> {
                members.computeIfAbsent(key, _ -> new ArrayList<>()).add(entry);
                texts.put(key, text);
              });
    }
    List<CrashGroup> groups = new ArrayList<>();
    members.forEach((key, list) -> groups.add(group(key, texts.get(key), list)));
    groups.sort(
        Comparator.comparingInt((CrashGroup group) -> group.members.size())
            .reversed()
            .thenComparing(CrashGroup::key));
    return groups;
  }

  /// Whether an incident counts: copies of one dump count once, kdump's own tests not at all.
  public static boolean isCounted(Entry entry) {
    return entry.duplicateOf().isEmpty() && entry.state() != Entry.State.SELF_TEST;
  }

  private static Map<String, String> key(Signature signature) {
    return signature.id().isEmpty() ? Map.of() : Map.of(signature.id(), signature.text());
  }

  private static CrashGroup group(String key, String text, List<Entry> members) {
    SortedSet<String> kernels = new TreeSet<>();
    SortedSet<String> verdicts = new TreeSet<>();
    for (Entry member : members) {
      if (!member.release().isEmpty()) {
        kernels.add(member.release());
      }
      verdicts.add(member.verdict());
    }
    List<Entry> ordered = new ArrayList<>(members);
    ordered.sort(Comparator.comparingLong(Entry::crashTime).thenComparing(Entry::key));
    return new CrashGroup(key, text, kernels, verdicts, ordered);
  }
}
