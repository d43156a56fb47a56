package org.vmcheck.debuginfo;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/// The types of one kernel. Safe for use by several threads at once.
public interface Types {
  /// Where they come from: `btf`, `dwarf`.
  String source();

  /// Every complete structure or union of that name; names are not unique.
  List<StructLayout> structs(String name);

  /// The value of an enumerator of the named enumeration.
  ///
  /// @param enumName empty to look in every enumeration, anonymous ones too
  OptionalLong enumerator(String enumName, String enumerator);

  /// Bytes of the type behind a typedef.
  OptionalLong typedefSize(String name);

  /// The structure of that name that has all of these members; empty if none has, or if two that
  /// differ have.
  default Optional<StructLayout> struct(String name, String... requiredMembers) {
    StructLayout match = null;
    for (StructLayout candidate : structs(name)) {
      boolean fits = true;
      for (String member : requiredMembers) {
        fits &= candidate.has(member);
      }
      if (!fits) {
        continue;
      }
      if (match != null && match.size() != candidate.size()) {
        return Optional.empty();
      }
      match = match == null ? candidate : match;
    }
    return Optional.ofNullable(match);
  }
}
