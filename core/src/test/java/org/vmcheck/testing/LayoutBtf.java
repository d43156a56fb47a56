package org.vmcheck.testing;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Writes the structures of a [Layout] as BTF, in the form that pahole gives them: members that
/// overlap stand in anonymous unions, those of a union that start later in anonymous structs.
final class LayoutBtf {
  private final Layout layout;
  private final BtfWriter writer = new BtfWriter();
  private final Map<String, Integer> ids = new HashMap<>();
  private final int intId;

  private LayoutBtf(Layout layout) {
    this.layout = layout;
    intId = writer.integer("int", 4, true);
    ids.put("int", intId);
  }

  static byte[] of(Layout layout) {
    return of(layout, false);
  }

  /// @param kfence whether the types of KFENCE's metadata are to be there
  static byte[] of(Layout layout, boolean kfence) {
    LayoutBtf btf = new LayoutBtf(layout);
    if (kfence) {
      KfenceBuilder.types(
          btf.writer, btf.intId, btf.named("unsigned long", 8), KfenceBuilder.states(layout));
    }
    layout.table().structs().keySet().forEach(btf::struct);
    btf.enumerations();
    if (layout.kallsyms() == Layout.KallsymsEra.V7_0) {
      btf.writer.layoutOfKnownKinds();
    }
    return btf.writer.build();
  }

  private void enumerations() {
    if (layout.isOldSlab()) {
      writer.typedef("freelist_idx_t", named("unsigned char", 1));
    }
    Map<String, Integer> flags = new LinkedHashMap<>(layout.pageFlags());
    flags.put("__NR_PAGEFLAGS", 24);
    writer.enumeration("pageflags", sorted(flags));
    Map<String, Integer> zones = new LinkedHashMap<>();
    List.of("ZONE_DMA", "ZONE_DMA32", "ZONE_NORMAL", "ZONE_MOVABLE", "__MAX_NR_ZONES")
        .forEach(zone -> zones.put(zone, zones.size()));
    writer.enumeration("zone_type", zones);
    if (layout.slabMark() == Layout.SlabMark.TYPE_BYTE) {
      Map<String, Integer> types = new LinkedHashMap<>();
      types.put("PGTY_buddy", 0xf0);
      types.put("PGTY_offline", 0xf1);
      types.put("PGTY_table", 0xf2);
      types.put("PGTY_guard", 0xf3);
      types.put("PGTY_hugetlb", 0xf4);
      types.put("PGTY_slab", 0xf5);
      types.put("PGTY_zsmalloc", 0xf6);
      types.put("PGTY_unaccepted", 0xf7);
      writer.enumeration("pagetype", types);
    }
    if (layout.hasFlagBits()) {
      Map<String, Integer> bits = new LinkedHashMap<>();
      for (CacheFlag flag : CacheFlag.values()) {
        bits.put(flag.enumerator(), flag.bit());
      }
      writer.enumeration("_slab_flag_bits", sorted(bits));
    }
  }

  private static Map<String, Integer> sorted(Map<String, Integer> values) {
    Map<String, Integer> inOrder = new LinkedHashMap<>();
    values.entrySet().stream()
        .sorted(Map.Entry.comparingByValue())
        .forEach(entry -> inOrder.put(entry.getKey(), entry.getValue()));
    return inOrder;
  }

  private int struct(String name) {
    Integer known = ids.get("struct " + name);
    if (known != null) {
      return known;
    }
    LayoutTable.Struct struct = layout.struct(name);
    List<LayoutTable.Member> top = new ArrayList<>();
    for (LayoutTable.Member member : struct.members()) {
      if (member.path().indexOf('.') < 0) {
        top.add(member);
      }
    }
    top.sort(
        Comparator.comparingInt(LayoutTable.Member::offset)
            .thenComparingInt(LayoutTable.Member::bitInByte));
    List<BtfWriter.Field> fields = new ArrayList<>();
    for (int from = 0; from < top.size(); ) {
      int start = top.get(from).offset();
      int end = start + width(struct, top, from);
      int to = from + 1;
      while (to < top.size() && top.get(to).offset() < end) {
        end = Math.max(end, top.get(to).offset() + width(struct, top, to));
        to++;
      }
      if (to == from + 1) {
        fields.add(field(struct, top, from, 0));
      } else {
        fields.add(BtfWriter.Field.at("", union(struct, top, from, to, end), start));
      }
      from = to;
    }
    int id = writer.struct(name, struct.byteCount(), fields);
    ids.put("struct " + name, id);
    return id;
  }

  private int union(
      LayoutTable.Struct struct, List<LayoutTable.Member> top, int from, int to, int end) {
    int start = top.get(from).offset();
    List<BtfWriter.Field> fields = new ArrayList<>();
    for (int i = from; i < to; i++) {
      LayoutTable.Member member = top.get(i);
      if (member.offset() == start && member.bits() == 0) {
        fields.add(field(struct, top, i, start));
      } else {
        int inner = writer.struct("", end - start, List.of(field(struct, top, i, start)));
        fields.add(BtfWriter.Field.at("", inner, 0));
      }
    }
    return writer.union("", end - start, fields.toArray(BtfWriter.Field[]::new));
  }

  private BtfWriter.Field field(
      LayoutTable.Struct struct, List<LayoutTable.Member> top, int index, int base) {
    LayoutTable.Member member = top.get(index);
    int type = type(struct, member, width(struct, top, index));
    int offset = member.offset() - base;
    return member.bits() == 0
        ? BtfWriter.Field.at(member.path(), type, offset)
        : BtfWriter.Field.bits(member.path(), type, offset * 8 + member.bitInByte(), member.bits());
  }

  /// Bytes that a member takes: those of its type, of a type that is not known up to what follows.
  private int width(LayoutTable.Struct struct, List<LayoutTable.Member> top, int index) {
    LayoutTable.Member member = top.get(index);
    if (member.bits() != 0) {
      return (member.bitInByte() + member.bits() + 7) / 8;
    }
    int known = layout.sizeOf(member.type());
    if (known >= 0) {
      return known;
    }
    for (int i = index + 1; i < top.size(); i++) {
      if (top.get(i).offset() > member.offset()) {
        return top.get(i).offset() - member.offset();
      }
    }
    return struct.byteCount() - member.offset();
  }

  private int type(LayoutTable.Struct struct, LayoutTable.Member member, int width) {
    String type = member.type();
    int array = type.indexOf('[');
    if (array >= 0 && !type.contains("(*)")) {
      String count = type.substring(array + 1, type.indexOf(']'));
      int element = named(type.substring(0, array).strip(), width);
      return writer.array(element, intId, count.isEmpty() ? 0 : Integer.parseInt(count));
    }
    List<LayoutTable.Member> inner =
        struct.members().stream().filter(m -> m.path().startsWith(member.path() + ".")).toList();
    if (!inner.isEmpty() && !type.startsWith("struct ")) {
      return wrapped(member, inner, width);
    }
    return named(type, width);
  }

  /// A typedef of a structure without a name, such as `atomic_t`.
  private int wrapped(LayoutTable.Member member, List<LayoutTable.Member> inner, int width) {
    Integer known = ids.get(member.type());
    if (known != null) {
      return known;
    }
    List<BtfWriter.Field> fields = new ArrayList<>();
    for (LayoutTable.Member part : inner) {
      fields.add(
          BtfWriter.Field.at(
              part.path().substring(member.path().length() + 1),
              named(part.type(), width),
              part.offset() - member.offset()));
    }
    int id = writer.typedef(member.type(), writer.struct("", width, fields));
    ids.put(member.type(), id);
    return id;
  }

  private int named(String type, int width) {
    Integer known = ids.get(type);
    if (known != null) {
      return known;
    }
    int id;
    if (type.contains("(*)")) {
      id = writer.pointer(writer.prototype(0));
    } else if (type.endsWith("*")) {
      String target = type.substring(0, type.length() - 1).strip();
      boolean isConst = target.startsWith("const ");
      int pointee = pointee(isConst ? target.substring("const ".length()) : target);
      id = writer.pointer(isConst ? writer.constOf(pointee) : pointee);
    } else if (type.startsWith("struct ")) {
      String name = type.substring("struct ".length());
      id = layout.has(name) ? struct(name) : writer.struct(name, width, List.of());
    } else if (type.startsWith("enum ")) {
      id = writer.enumeration(type.substring("enum ".length()), Map.of());
    } else if (isPlain(type)) {
      id = writer.integer(type, width, !type.startsWith("u"));
    } else {
      int size = layout.sizeOf(type);
      int bytes = size > 0 ? size : width;
      id =
          writer.typedef(
              type,
              bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8
                  ? writer.integer("__" + type, bytes, false)
                  : writer.struct("", bytes, List.of()));
    }
    ids.put(type, id);
    return id;
  }

  /// What a pointer points to: only its name counts, so a structure may stay a declaration.
  private int pointee(String type) {
    if (type.equals("void")) {
      return 0;
    }
    if (type.startsWith("struct ")) {
      Integer known = ids.get(type);
      return known != null
          ? known
          : ids.computeIfAbsent(
              "forward " + type, _ -> writer.forward(type.substring("struct ".length()), false));
    }
    return type.equals("char") ? named("char", 1) : named(type, 8);
  }

  private static boolean isPlain(String type) {
    return switch (type) {
      case "char",
          "unsigned char",
          "short",
          "unsigned short",
          "int",
          "unsigned int",
          "long",
          "unsigned long",
          "long long",
          "unsigned long long",
          "_Bool" ->
          true;
      default -> false;
    };
  }
}
