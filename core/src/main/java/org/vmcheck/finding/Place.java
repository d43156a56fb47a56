package org.vmcheck.finding;

/// What lies at a kernel address.
///
/// @param address as asked
/// @param kind what it is
/// @param name of the cache, symbol, module, task or area, unescaped; empty if it has none
/// @param start address of the first byte of the object, symbol, stack or area; of the page where
///   nothing more is known
/// @param size bytes of it; 0 if not known
/// @param number index of a slab object in its slab, CPU of a per-CPU variable or stack, PID of a
///   task's stack, page frame of a page or a page descriptor; -1 where there is none
/// @param member what lies there inside it: a member of the cache's or descriptor's struct, the
///   function whose frame it is; empty if not known
/// @param state of a slab object (`allocated`, `free, on …`); what the kernel says of a page; empty
///   for others
public record Place(
    long address,
    Kind kind,
    String name,
    long start,
    long size,
    long number,
    String member,
    String state) {
  /// Kinds of place.
  public enum Kind {
    SLAB_OBJECT("slab object"),
    SLAB("slab, outside its objects"),
    TEXT("kernel text"),
    DATA("kernel data"),
    MODULE("module"),
    PER_CPU("per-CPU data"),
    TASK_STACK("stack of a task"),
    CPU_STACK("stack of a CPU"),
    VMALLOC("vmalloc area"),
    PAGE_DESCRIPTOR("page descriptor"),
    PAGE("page"),
    MAPPED("mapped"),
    NOT_MAPPED("not mapped");

    private final String words;

    Kind(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// Bytes from the start.
  public long offset() {
    return address - start;
  }

  /// Whether the kernel has something there.
  public boolean isSomething() {
    return kind != Kind.NOT_MAPPED;
  }

  /// Whether it is a slab object that nobody holds.
  public boolean isFreeObject() {
    return kind == Kind.SLAB_OBJECT && state.startsWith("free");
  }

  private String plus() {
    return offset() == 0 ? "" : "%s0x%x".formatted(offset() < 0 ? "-" : "+", Math.abs(offset()));
  }

  /// One clause, unescaped.
  public String words() {
    String inside = member.isEmpty() ? "" : " (" + member + ")";
    return switch (kind) {
      case SLAB_OBJECT ->
          "%s object %d at 0x%x%s%s, %s".formatted(name, number, start, plus(), inside, state);
      case SLAB -> "a slab of %s, outside its objects".formatted(name);
      case TEXT -> "kernel text %s%s".formatted(name, plus());
      case DATA -> "kernel data %s%s".formatted(name, plus());
      case MODULE -> "module %s".formatted(member.isEmpty() ? name : member);
      case PER_CPU -> "per-CPU %s%s of cpu %d".formatted(name, plus(), number);
      case TASK_STACK -> "stack of PID %d \"%s\"%s%s".formatted(number, name, plus(), inside);
      case CPU_STACK -> "%s stack of cpu %d%s".formatted(name, number, plus());
      case VMALLOC ->
          "vmalloc area 0x%x%s%s".formatted(start, plus(), name.isEmpty() ? "" : " of " + name);
      case PAGE_DESCRIPTOR ->
          "descriptor of page frame 0x%x%s%s, %s".formatted(number, plus(), inside, state);
      case PAGE -> "page frame 0x%x%s: %s".formatted(number, plus(), state);
      case MAPPED -> "mapped to page frame 0x%x".formatted(number);
      case NOT_MAPPED -> "not mapped";
    };
  }
}
