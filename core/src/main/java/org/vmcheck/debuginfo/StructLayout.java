package org.vmcheck.debuginfo;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The layout of a structure or union: its size and its members by name.
///
/// Members of anonymous members count as its own, at any depth, whether or not the anonymous
/// member's type has a name.
public final class StructLayout {
  private final String name;
  private final long size;
  private final Map<String, Member> members = new HashMap<>();

  /// @param size bytes
  /// @param members the members with anonymous ones already resolved; of two equal names the first
  ///   counts
  public StructLayout(String name, long size, List<Member> members) {
    this.name = name;
    this.size = size;
    for (Member member : members) {
      this.members.putIfAbsent(member.name(), member);
    }
  }

  public String name() {
    return name;
  }

  public long size() {
    return size;
  }

  public int memberCount() {
    return members.size();
  }

  /// Finds a member by its name, or by a path through named structures such as `nr_slabs.counter`.
  public Optional<Member> member(String path) {
    int dot = path.indexOf('.');
    if (dot < 0) {
      return Optional.ofNullable(members.get(path));
    }
    Member outer = members.get(path.substring(0, dot));
    if (outer == null) {
      return Optional.empty();
    }
    return outer
        .struct()
        .flatMap(inner -> inner.member(path.substring(dot + 1)))
        .map(found -> found.shifted(path, outer.bitOffset()));
  }

  /// The first of several names that exists: members are renamed from kernel to kernel.
  public Optional<Member> firstMember(String... paths) {
    for (String path : paths) {
      Optional<Member> member = member(path);
      if (member.isPresent()) {
        return member;
      }
    }
    return Optional.empty();
  }

  public boolean has(String path) {
    return member(path).isPresent();
  }
}
