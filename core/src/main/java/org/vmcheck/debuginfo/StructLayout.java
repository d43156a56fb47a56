package org.vmcheck.debuginfo;

import java.util.BitSet;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The layout of a structure or union: its size and its members by name.
///
/// Members of anonymous members count as its own, at any depth, whether or not the anonymous
/// member's type has a name.
public final class StructLayout {
  /// Structures within structures that a path leads through.
  private static final int MAX_DEPTH = 8;

  private static final int WORD = 8;
  private static final int MAX_WORDS = 1 << 13;

  /// Members of structures within structures, each as often as it is met.
  private static final int MAX_STEPS = 1 << 18;

  /// The smaller of two members of a union says more.
  private static final Comparator<Member> PREFERRED =
      Comparator.comparingLong(Member::byteSize).thenComparing(Member::name);

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

  /// Its members, those of anonymous ones among them, in no order.
  public Collection<Member> all() {
    return Collections.unmodifiableCollection(members.values());
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

  /// The path of the smallest member that has the byte at an offset, through named structures: of
  /// those of a union the first by name. Empty if none has it.
  public Optional<String> pathAt(long offset) {
    return pathAt(offset, MAX_DEPTH);
  }

  private Optional<String> pathAt(long offset, int depth) {
    Member best = null;
    for (Member member : members.values()) {
      if (member.offset() <= offset
          && offset < member.offset() + Math.max(1, member.byteSize())
          && (best == null || PREFERRED.compare(member, best) < 0)) {
        best = member;
      }
    }
    if (best == null) {
      return Optional.empty();
    }
    Member found = best;
    long inside = offset - found.offset();
    boolean isArray = found.elementCount() > 0 && found.elementSize() > 0;
    String path = found.name() + (isArray ? "[%d]".formatted(inside / found.elementSize()) : "");
    long inElement = isArray ? inside % found.elementSize() : inside;
    Optional<String> deeper =
        depth == 0
            ? Optional.empty()
            : found.struct().flatMap(inner -> inner.pathAt(inElement, depth - 1));
    return Optional.of(deeper.map(rest -> path + "." + rest).orElse(path));
  }

  /// What each word of the structure points to ([Member#pointee]) where all members of its unions
  /// agree that the word is such a pointer; null elsewhere.
  public String[] pointees() {
    String[] pointees = new String[(int) Math.min(size / WORD, MAX_WORDS)];
    BitSet others = new BitSet();
    if (!pointees(0, MAX_DEPTH, new int[] {MAX_STEPS}, pointees, others)) {
      return new String[0];
    }
    others.stream().filter(i -> i < pointees.length).forEach(i -> pointees[i] = null);
    return pointees;
  }

  /// @param budget how many members may still be looked at
  /// @return false if there were more
  private boolean pointees(long base, int depth, int[] budget, String[] pointees, BitSet others) {
    for (Member member : members.values()) {
      if (--budget[0] < 0) {
        return false;
      }
      long start = base + member.offset();
      int first = (int) Math.min(start / WORD, pointees.length);
      int end = (int) Math.min((start + member.byteSize() + WORD - 1) / WORD, pointees.length);
      Optional<StructLayout> inner = member.struct();
      long each = member.elementSize();
      if (inner.isPresent() && depth > 0 && each > 0) {
        for (long at = start; at < start + member.byteSize() && at / WORD < pointees.length; ) {
          if (!inner.get().pointees(at, depth - 1, budget, pointees, others)) {
            return false;
          }
          at += each;
          budget[0]--;
        }
      } else if (!member.pointee().isEmpty() && each == WORD && start % WORD == 0) {
        for (int i = first; i < end; i++) {
          pointees[i] = member.pointee();
        }
      } else {
        others.set(first, Math.max(first, end));
      }
    }
    return true;
  }

  public boolean has(String path) {
    return member(path).isPresent();
  }
}
