package org.vmcheck.debuginfo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// BTF, the compact type data that kernels carry in memory (Linux `include/uapi/linux/btf.h`).
///
/// Opening walks every record once and checks it; types are built when asked for.
public final class BtfTypes implements Types {
  private static final int MAGIC = 0xeb9f;
  private static final int MAX_TYPES = 1 << 20;
  private static final int MAX_DEPTH = 32;

  private static final int KIND_INT = 1;
  private static final int KIND_PTR = 2;
  private static final int KIND_ARRAY = 3;
  private static final int KIND_STRUCT = 4;
  private static final int KIND_UNION = 5;
  private static final int KIND_ENUM = 6;
  private static final int KIND_TYPEDEF = 8;
  private static final int KIND_VOLATILE = 9;
  private static final int KIND_CONST = 10;
  private static final int KIND_RESTRICT = 11;
  private static final int KIND_FUNC_PROTO = 13;
  private static final int KIND_VAR = 14;
  private static final int KIND_DATASEC = 15;
  private static final int KIND_FLOAT = 16;
  private static final int KIND_DECL_TAG = 17;
  private static final int KIND_TYPE_TAG = 18;
  private static final int KIND_ENUM64 = 19;

  private final ByteView types;
  private final ByteView strings;

  /// Offset of each record in `types`, by id; id 0 is void.
  private final int[] recordAt;

  private final int typeCount;

  /// Open-addressing table over named structs, unions, enums and typedefs: hash of the name → id.
  private final int[] named;

  private final ConcurrentHashMap<Integer, StructLayout> layouts = new ConcurrentHashMap<>();

  private BtfTypes(ByteView types, ByteView strings, int[] recordAt, int typeCount, int[] named) {
    this.types = types;
    this.strings = strings;
    this.recordAt = recordAt;
    this.typeCount = typeCount;
    this.named = named;
  }

  /// Reads a blob such as the section `.BTF` of a vmlinux.
  ///
  /// @throws MalformedFileException if a record breaks the format's rules, naming it
  public static BtfTypes parse(ByteView blob) throws MalformedFileException {
    if (blob.size() < 24) {
      throw blob.malformed("length", 0, "at least 24 bytes", Long.toString(blob.size()));
    }
    int magic = blob.u16(0);
    if (magic == 0x9feb) {
      throw blob.malformed("magic", 0, "0xeb9f", "0x9feb: big-endian BTF is not supported");
    }
    if (magic != MAGIC) {
      throw blob.malformed("magic", 0, "0xeb9f", "0x%x".formatted(magic));
    }
    if (blob.u8(2) != 1) {
      throw blob.malformed("version", 2, "1", Integer.toString(blob.u8(2)));
    }
    long headerLength = blob.u32(4);
    if (headerLength < 24 || headerLength > blob.size()) {
      throw blob.malformed("hdr_len", 4, "24 to " + blob.size(), Long.toString(headerLength));
    }
    ByteView typeSection = section(blob, headerLength, 8, "type");
    ByteView stringSection = section(blob, headerLength, 16, "str");
    Layouts layouts =
        headerLength >= 32 && blob.u32(28) > 0
            ? new Layouts(section(blob, headerLength, 24, "layout"))
            : new Layouts(null);
    return index(typeSection, stringSection, layouts);
  }

  private static ByteView section(ByteView blob, long headerLength, int at, String name)
      throws MalformedFileException {
    long offset = headerLength + blob.u32(at);
    long length = blob.u32(at + 4);
    if (offset > blob.size() || length > blob.size() - offset) {
      throw blob.malformed(
          name + "_len", at + 4, "at most " + (blob.size() - offset), Long.toString(length));
    }
    return blob.slice("btf " + name + " section", offset, length);
  }

  /// Sizes of the kinds that the blob itself describes (7.1 on), so that unknown ones can be
  /// skipped.
  private record Layouts(ByteView section) {
    /// Bytes behind the common 12 of a record, or -1 if the kind is not known.
    long extra(int kind, int vlen) {
      return switch (kind) {
        case KIND_INT, KIND_VAR, KIND_DECL_TAG -> 4;
        case KIND_ARRAY -> 12;
        case KIND_STRUCT, KIND_UNION, KIND_DATASEC, KIND_ENUM64 -> 12L * vlen;
        case KIND_ENUM, KIND_FUNC_PROTO -> 8L * vlen;
        case KIND_PTR,
            7,
            KIND_TYPEDEF,
            KIND_VOLATILE,
            KIND_CONST,
            KIND_RESTRICT,
            12,
            KIND_FLOAT,
            KIND_TYPE_TAG ->
            0;
        default ->
            section != null && kind * 4L + 4 <= section.size()
                ? section.u8(kind * 4L) + (long) section.u8(kind * 4L + 1) * vlen
                : -1;
      };
    }
  }

  private static BtfTypes index(ByteView types, ByteView strings, Layouts layouts)
      throws MalformedFileException {
    int[] recordAt = new int[(int) Math.min(MAX_TYPES, types.size() / 12 + 2)];
    int[] namedIds = new int[1024];
    int namedCount = 0;
    int count = 0;
    long at = 0;
    while (at < types.size()) {
      if (types.size() - at < 12 || count + 1 >= recordAt.length) {
        throw types.malformed("type " + (count + 1), at, "a record of 12 bytes or more", "the end");
      }
      recordAt[++count] = (int) at;
      int info = types.i32(at + 4);
      int kind = info >>> 24 & 0x1f;
      int vlen = info & 0xffff;
      long nameOffset = types.u32(at);
      if (nameOffset >= strings.size() && nameOffset != 0) {
        throw types.malformed(
            "type " + count + ".name_off", at, "below " + strings.size(), "" + nameOffset);
      }
      long extra = layouts.extra(kind, vlen);
      if (extra < 0) {
        throw types.malformed(
            "type " + count + ".kind",
            at + 4,
            "a known kind",
            kind + ", which has no layout record");
      }
      if (extra > types.size() - at - 12) {
        throw types.malformed(
            "type " + count + ".vlen",
            at + 4,
            "members within the section",
            Integer.toString(vlen));
      }
      if (nameOffset != 0 && isNamedType(kind)) {
        if (namedCount == namedIds.length) {
          namedIds = Arrays.copyOf(namedIds, namedCount * 2);
        }
        namedIds[namedCount++] = count;
      }
      at += 12 + extra;
    }
    int capacity = Integer.highestOneBit(Math.max(16, namedCount)) * 4;
    int[] named = new int[capacity];
    BtfTypes result = new BtfTypes(types, strings, recordAt, count, named);
    for (int i = 0; i < namedCount; i++) {
      int slot = result.hashAt(types.u32(recordAt[namedIds[i]])) & (capacity - 1);
      while (named[slot] != 0) {
        slot = (slot + 1) & (capacity - 1);
      }
      named[slot] = namedIds[i];
    }
    return result;
  }

  private static boolean isNamedType(int kind) {
    return kind == KIND_STRUCT
        || kind == KIND_UNION
        || kind == KIND_ENUM
        || kind == KIND_ENUM64
        || kind == KIND_TYPEDEF;
  }

  @Override
  public String source() {
    return "btf";
  }

  /// Types in the blob, void not counted.
  public int typeCount() {
    return typeCount;
  }

  @Override
  public List<StructLayout> structs(String name) {
    List<StructLayout> found = new ArrayList<>(1);
    for (int id : ids(name)) {
      if (kind(id) == KIND_STRUCT || kind(id) == KIND_UNION) {
        layout(id).ifPresent(found::add);
      }
    }
    return found;
  }

  @Override
  public OptionalLong enumerator(String enumName, String enumerator) {
    byte[] wanted = enumerator.getBytes(StandardCharsets.ISO_8859_1);
    if (!enumName.isEmpty()) {
      for (int id : ids(enumName)) {
        OptionalLong value = enumeratorIn(id, wanted);
        if (value.isPresent()) {
          return value;
        }
      }
      return OptionalLong.empty();
    }
    for (int id = 1; id <= typeCount; id++) {
      OptionalLong value = enumeratorIn(id, wanted);
      if (value.isPresent()) {
        return value;
      }
    }
    return OptionalLong.empty();
  }

  private OptionalLong enumeratorIn(int id, byte[] wanted) {
    int kind = kind(id);
    if (kind != KIND_ENUM && kind != KIND_ENUM64) {
      return OptionalLong.empty();
    }
    int width = kind == KIND_ENUM ? 8 : 12;
    long at = recordAt[id] + 12L;
    for (int i = 0; i < vlen(id); i++, at += width) {
      if (nameEquals(types.u32(at), wanted)) {
        return OptionalLong.of(kind == KIND_ENUM ? types.i32(at + 4) : types.u64(at + 4));
      }
    }
    return OptionalLong.empty();
  }

  @Override
  public OptionalLong typedefSize(String name) {
    for (int id : ids(name)) {
      if (kind(id) == KIND_TYPEDEF) {
        long size = size(id);
        return size < 0 ? OptionalLong.empty() : OptionalLong.of(size);
      }
    }
    return OptionalLong.empty();
  }

  private List<Integer> ids(String name) {
    byte[] wanted = name.getBytes(StandardCharsets.ISO_8859_1);
    List<Integer> found = new ArrayList<>(1);
    int hash = 0;
    for (byte b : wanted) {
      hash = 31 * hash + b;
    }
    int slot = spread(hash) & (named.length - 1);
    while (named[slot] != 0) {
      if (nameEquals(types.u32(recordAt[named[slot]]), wanted)) {
        found.add(named[slot]);
      }
      slot = (slot + 1) & (named.length - 1);
    }
    return found;
  }

  private int hashAt(long nameOffset) {
    int hash = 0;
    for (long at = nameOffset; at < strings.size(); at++) {
      int b = strings.u8(at);
      if (b == 0) {
        break;
      }
      hash = 31 * hash + (byte) b;
    }
    return spread(hash);
  }

  private static int spread(int hash) {
    return hash ^ hash >>> 15;
  }

  private boolean nameEquals(long nameOffset, byte[] wanted) {
    if (nameOffset + wanted.length >= strings.size()) {
      return false;
    }
    for (int i = 0; i < wanted.length; i++) {
      if ((byte) strings.u8(nameOffset + i) != wanted[i]) {
        return false;
      }
    }
    return strings.u8(nameOffset + wanted.length) == 0;
  }

  private int kind(int id) {
    return types.i32(recordAt[id] + 4L) >>> 24 & 0x1f;
  }

  private int vlen(int id) {
    return types.u16(recordAt[id] + 4L);
  }

  private boolean isValid(long id) {
    return id > 0 && id <= typeCount;
  }

  /// The type behind typedefs and qualifiers; 0 for void or a chain that does not end.
  private int strip(long id) {
    long at = id;
    for (int depth = 0; depth < MAX_DEPTH && isValid(at); depth++) {
      switch (kind((int) at)) {
        case KIND_TYPEDEF, KIND_VOLATILE, KIND_CONST, KIND_RESTRICT, KIND_TYPE_TAG ->
            at = types.u32(recordAt[(int) at] + 8L);
        default -> {
          return (int) at;
        }
      }
    }
    return 0;
  }

  /// Bytes of a type, -1 if it has no size.
  private long size(long id) {
    long elements = 1;
    long at = id;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
      int stripped = strip(at);
      if (stripped == 0) {
        return -1;
      }
      int record = recordAt[stripped];
      switch (kind(stripped)) {
        case KIND_PTR -> {
          return elements * 8;
        }
        case KIND_ARRAY -> {
          elements = Math.clamp(elements * types.u32(record + 20L), 0, Integer.MAX_VALUE);
          at = types.u32(record + 12L);
        }
        case KIND_INT, KIND_STRUCT, KIND_UNION, KIND_ENUM, KIND_ENUM64, KIND_FLOAT -> {
          return elements * types.u32(record + 8L);
        }
        default -> {
          return -1;
        }
      }
    }
    return -1;
  }

  private Optional<StructLayout> layout(int id) {
    StructLayout known = layouts.get(id);
    if (known == null) {
      List<Member> members = new ArrayList<>();
      collect(id, 0, 0, members);
      known =
          new StructLayout(
              Printable.of(strings.string(types.u32(recordAt[id]), 128)),
              types.u32(recordAt[id] + 8L),
              members);
      layouts.put(id, known);
    }
    return Optional.of(known);
  }

  /// Adds the members of a struct or union, those of anonymous members in their place.
  private void collect(int id, long baseBits, int depth, List<Member> into) {
    if (depth > MAX_DEPTH || into.size() > 65536) {
      return;
    }
    boolean bitFields = types.i32(recordAt[id] + 4L) < 0;
    long at = recordAt[id] + 12L;
    for (int i = 0; i < vlen(id); i++, at += 12) {
      long nameOffset = types.u32(at);
      long type = types.u32(at + 4);
      long offset = types.u32(at + 8);
      int width = bitFields ? (int) (offset >>> 24) : 0;
      long bits = baseBits + (bitFields ? offset & 0xff_ffff : offset);
      int stripped = strip(type);
      boolean isStruct =
          stripped != 0 && (kind(stripped) == KIND_STRUCT || kind(stripped) == KIND_UNION);
      if (nameOffset == 0) {
        if (isStruct) {
          collect(stripped, bits, depth + 1, into);
        }
        continue;
      }
      if (!bitFields && stripped != 0 && kind(stripped) == KIND_INT) {
        // The old form of a bit field: an integer type narrower than its storage.
        int encoding = types.i32(recordAt[stripped] + 12L);
        int intBits = encoding & 0xff;
        if (intBits != 8 * types.u32(recordAt[stripped] + 8L)) {
          width = intBits;
          bits += encoding >>> 16 & 0xff;
        }
      }
      into.add(
          new Member(
              strings.string(nameOffset, 128),
              bits,
              width,
              Math.max(0, size(type)),
              stripped != 0 && kind(stripped) == KIND_ARRAY
                  ? types.u32(recordAt[stripped] + 20L)
                  : -1,
              () -> structOf(type)));
    }
  }

  /// The structure that a member is, or that the elements of an array member are.
  private Optional<StructLayout> structOf(long type) {
    int stripped = strip(type);
    for (int depth = 0; depth < MAX_DEPTH && stripped != 0; depth++) {
      int kind = kind(stripped);
      if (kind == KIND_STRUCT || kind == KIND_UNION) {
        return layout(stripped);
      }
      if (kind != KIND_ARRAY) {
        return Optional.empty();
      }
      stripped = strip(types.u32(recordAt[stripped] + 12L));
    }
    return Optional.empty();
  }
}
