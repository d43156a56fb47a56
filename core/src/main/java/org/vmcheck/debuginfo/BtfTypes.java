package org.vmcheck.debuginfo;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;
import org.vmcheck.io.UnsupportedFormatException;

/// BTF, the compact type data that kernels carry in memory (Linux `include/uapi/linux/btf.h`).
///
/// Opening walks every record once and checks it; types are built when asked for. The type section
/// is kept as words, since every field of it is one.
public final class BtfTypes implements Types {
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final int MAGIC = 0xeb9f;
  private static final int MAX_TYPES = 1 << 20;
  private static final int MAX_DEPTH = 32;
  private static final int MAX_MEMBERS = 65536;
  private static final int MAX_NAME = 512;

  /// Types of one name that are looked at: two or three exist.
  private static final int MAX_DEFINITIONS = 64;

  /// Words of a record before those of its kind: name, info, size or type.
  private static final int NAME = 0;

  private static final int INFO = 1;
  private static final int SIZE = 2;
  private static final int PREFIX = 3;

  private static final boolean[] IS_NAMED = new boolean[32];

  static {
    for (int kind :
        new int[] {BtfKind.STRUCT, BtfKind.UNION, BtfKind.ENUM, BtfKind.TYPEDEF, BtfKind.ENUM64}) {
      IS_NAMED[kind] = true;
    }
  }

  /// What a split blob goes on from; null for a whole one.
  private final BtfTypes base;

  /// Ids up to this one are the base's; 0 for a whole blob.
  private final int baseCount;

  /// String offsets below this one are the base's.
  private final int baseStrings;

  private final int[] words;
  private final byte[] strings;

  /// Index in `words` of each record, by id less `baseCount`; 0 is not used.
  private final int[] recordAt;

  private final int typeCount;

  /// Hash of the name → the first struct, union, enum or typedef whose name falls into this slot,
  /// as an index into [#named] and 1.
  private final int[] slots;

  /// Ids of the named types, in the order of the blob, and for each the next of its slot.
  private final int[] named;

  private final int[] nextNamed;

  /// Ids of the enumerations.
  private final int[] enumerations;

  private final ConcurrentHashMap<Integer, StructLayout> layouts = new ConcurrentHashMap<>();

  private BtfTypes(BtfTypes base, int[] words, byte[] strings, Index index) {
    this.base = base;
    this.baseCount = base == null ? 0 : base.typeCount;
    this.baseStrings = base == null ? 0 : base.baseStrings + base.strings.length;
    this.words = words;
    this.strings = strings;
    this.recordAt = index.recordAt;
    this.typeCount = baseCount + index.count;
    this.enumerations = Arrays.copyOf(index.enumerations, index.enumerationCount);
    this.named = Arrays.copyOf(index.named, index.namedCount);
    this.nextNamed = new int[index.namedCount];
    this.slots = new int[Integer.highestOneBit(Math.max(16, index.namedCount)) * 4];
    Cancellation cancellation = Cancellation.current();
    // The last first: each slot then begins with the type that the blob has first.
    for (int i = index.namedCount - 1; i >= 0; i--) {
      cancellation.step();
      insert(i);
    }
  }

  private void insert(int index) {
    int slot = spread(hashOf(named[index])) & slots.length - 1;
    nextNamed[index] = slots[slot];
    slots[slot] = index + 1;
  }

  /// Reads a whole blob such as the section `.BTF` of a vmlinux.
  ///
  /// @throws MalformedFileException if a record breaks the format's rules, naming it
  /// @throws UnsupportedFormatException if the blob is big endian
  public static BtfTypes parse(ByteView blob) throws IOException {
    return parse(blob, (BtfTypes) null);
  }

  /// [#parse], unless the same blob is among those read before.
  public static BtfTypes parse(ByteView blob, KnownTables known) throws IOException {
    return known.get(BtfTypes.class, List.of(blob), () -> parse(blob));
  }

  /// Reads a module's blob, whose ids and strings go on where those of the kernel end.
  public static BtfTypes parseSplit(ByteView blob, BtfTypes base) throws IOException {
    return parse(blob, base);
  }

  private static BtfTypes parse(ByteView blob, BtfTypes base) throws IOException {
    if (blob.size() < 24) {
      throw blob.malformed("length", 0, "at least 24 bytes", Long.toString(blob.size()));
    }
    int magic = blob.u16(0);
    if (magic == 0x9feb) {
      throw new UnsupportedFormatException(
          "[%s] %s is big-endian BTF: types of another machine's kernel are not read"
              .formatted(blob.file(), blob.part()));
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
    if ((typeSection.size() & 3) != 0) {
      throw blob.malformed("type_len", 12, "a multiple of 4", Long.toString(typeSection.size()));
    }
    ByteView stringSection = section(blob, headerLength, 16, "str");
    int stringLength = Math.toIntExact(stringSection.size());
    if (stringLength > 0 ? stringSection.u8(stringLength - 1) != 0 : base == null) {
      throw stringSection.malformed("last byte", stringLength, "NUL", "none");
    }
    int[] words = new int[Math.toIntExact(typeSection.size() / 4)];
    MemorySegment.copy(typeSection.segment(), I32, 0, words, 0, words.length);
    ByteView layout =
        headerLength >= 32 && blob.u32(28) > 0 ? section(blob, headerLength, 24, "layout") : null;
    Index index = new Index(typeSection, words, base == null ? 0 : base.typeCount);
    index.read(
        new BtfRecordSizes(layout),
        (base == null ? 0L : base.baseStrings + base.strings.length) + stringLength);
    return new BtfTypes(base, words, stringSection.bytes(0, stringLength), index);
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

  /// The one walk over all records.
  private static final class Index {
    private final ByteView section;
    private final int[] words;
    private final int baseCount;
    private int[] recordAt;
    private int count;
    private int[] named = new int[4096];
    private int namedCount;
    private int[] enumerations = new int[512];
    private int enumerationCount;

    Index(ByteView section, int[] words, int baseCount) {
      this.section = section;
      this.words = words;
      this.baseCount = baseCount;
      // Index 0 is not used, and the last is the first too many.
      this.recordAt = new int[Math.min(MAX_TYPES, words.length / PREFIX + 1) + 2];
    }

    void read(BtfRecordSizes sizes, long stringEnd) throws MalformedFileException {
      Cancellation cancellation = Cancellation.current();
      int at = 0;
      int id = 0;
      while (at < words.length) {
        cancellation.step();
        recordAt[++id] = at;
        int next = id < recordAt.length - 1 ? next(sizes, stringEnd, at) : -1;
        if (next < 0) {
          throw malformed(sizes, stringEnd, id, at);
        }
        int kind = words[at + INFO] >>> 24 & 0x1f;
        if (IS_NAMED[kind]) {
          addNamed(id, kind, words[at + NAME]);
        }
        at = next;
      }
      count = id;
    }

    /// Where the record after this one starts; -1 if this one is not right.
    ///
    /// A method for one record, not a loop over all: it is compiled after a few hundred of them.
    private int next(BtfRecordSizes sizes, long stringEnd, int at) {
      if (words.length - at < PREFIX || (words[at + NAME] & 0xffff_ffffL) >= stringEnd) {
        return -1;
      }
      int info = words[at + INFO];
      int kind = info >>> 24 & 0x1f;
      int extra = sizes.fixed(kind) + sizes.each(kind) * (info & 0xffff);
      return sizes.fixed(kind) < 0 || extra > words.length - at - PREFIX ? -1 : at + PREFIX + extra;
    }

    private MalformedFileException malformed(BtfRecordSizes sizes, long stringEnd, int id, int at) {
      String type = "type " + (baseCount + id);
      if (words.length - at < PREFIX) {
        return section.malformed(type, 4L * at, "a record of 12 bytes or more", "the end");
      }
      if (id >= recordAt.length - 1) {
        return section.malformed(type, 4L * at, "at most " + MAX_TYPES + " types", "more");
      }
      int info = words[at + INFO];
      int kind = info >>> 24 & 0x1f;
      if ((words[at + NAME] & 0xffff_ffffL) >= stringEnd) {
        return section.malformed(
            type + ".name_off",
            4L * at,
            "below " + stringEnd,
            Integer.toUnsignedString(words[at + NAME]));
      }
      if (sizes.fixed(kind) < 0) {
        return section.malformed(
            type + ".kind", 4L * at + 4, "a known kind", kind + ", which has no layout record");
      }
      return section.malformed(
          type + ".vlen", 4L * at + 4, "members within the section", "" + (info & 0xffff));
    }

    private void addNamed(int id, int kind, int name) {
      if (kind == BtfKind.ENUM || kind == BtfKind.ENUM64) {
        if (enumerationCount == enumerations.length) {
          enumerations = Arrays.copyOf(enumerations, enumerationCount * 2);
        }
        enumerations[enumerationCount++] = baseCount + id;
      }
      if (name == 0) {
        return;
      }
      if (namedCount == named.length) {
        named = Arrays.copyOf(named, namedCount * 2);
      }
      named[namedCount++] = baseCount + id;
    }
  }

  @Override
  public String source() {
    return "btf";
  }

  /// Types in the blob, void not counted; with those of its base.
  public int typeCount() {
    return typeCount;
  }

  @Override
  public List<StructLayout> structs(String name) {
    List<StructLayout> found = new ArrayList<>(1);
    for (int id : ids(name)) {
      if (kind(id) == BtfKind.STRUCT || kind(id) == BtfKind.UNION) {
        found.add(layout(id));
      }
    }
    if (found.isEmpty() && base != null) {
      return base.structs(name);
    }
    return found;
  }

  @Override
  public OptionalLong enumerator(String enumName, String enumerator) {
    byte[] wanted = enumerator.getBytes(StandardCharsets.ISO_8859_1);
    if (enumName.isEmpty()) {
      for (int id : enumerations) {
        OptionalLong value = enumeratorIn(id, wanted);
        if (value.isPresent()) {
          return value;
        }
      }
    } else {
      for (int id : ids(enumName)) {
        OptionalLong value = enumeratorIn(id, wanted);
        if (value.isPresent()) {
          return value;
        }
      }
    }
    return base == null ? OptionalLong.empty() : base.enumerator(enumName, enumerator);
  }

  private OptionalLong enumeratorIn(int id, byte[] wanted) {
    int kind = kind(id);
    if (kind != BtfKind.ENUM && kind != BtfKind.ENUM64) {
      return OptionalLong.empty();
    }
    int width = kind == BtfKind.ENUM ? 2 : 3;
    for (int i = 0; i < vlen(id); i++) {
      int at = PREFIX + i * width;
      if (nameEquals(word(id, at), wanted)) {
        long low = word(id, at + 1);
        return OptionalLong.of(
            kind == BtfKind.ENUM ? low : (low & 0xffff_ffffL) | ((long) word(id, at + 2) << 32));
      }
    }
    return OptionalLong.empty();
  }

  @Override
  public OptionalLong typedefSize(String name) {
    for (int id : ids(name)) {
      if (kind(id) == BtfKind.TYPEDEF) {
        long size = size(id);
        return size < 0 ? OptionalLong.empty() : OptionalLong.of(size);
      }
    }
    return base == null ? OptionalLong.empty() : base.typedefSize(name);
  }

  private List<Integer> ids(String name) {
    byte[] wanted = name.getBytes(StandardCharsets.ISO_8859_1);
    List<Integer> found = new ArrayList<>(1);
    Cancellation cancellation = Cancellation.current();
    int slot = spread(NamePool.hash(wanted, 0, Math.min(wanted.length, MAX_NAME)));
    for (int at = slots[slot & slots.length - 1];
        at != 0 && found.size() < MAX_DEFINITIONS;
        at = nextNamed[at - 1]) {
      cancellation.step();
      if (nameEquals(word(named[at - 1], NAME), wanted)) {
        found.add(named[at - 1]);
      }
    }
    return found;
  }

  /// Word of a record, 0 being its name; for an id of the base, of the base's record.
  private int word(int id, int index) {
    return id <= baseCount ? base.word(id, index) : words[recordAt[id - baseCount] + index];
  }

  private int hashOf(int id) {
    int at = word(id, NAME);
    if (at < baseStrings) {
      return base.hashOfString(at);
    }
    return hashOfString(at - baseStrings);
  }

  /// Of the first bytes that a name may have: all names may be one long string's ends. The strings'
  /// last byte is NUL: every scan ends.
  private int hashOfString(int at) {
    int hash = 0;
    for (int i = at; strings[i] != 0 && i - at < MAX_NAME; i++) {
      hash = NamePool.HASH_FACTOR * hash + strings[i];
    }
    return hash;
  }

  private static int spread(int hash) {
    return hash ^ hash >>> 15;
  }

  private boolean nameEquals(int nameOffset, byte[] wanted) {
    if (nameOffset >= 0 && nameOffset < baseStrings) {
      return base.nameEquals(nameOffset, wanted);
    }
    int from = nameOffset - baseStrings;
    if (nameOffset < 0 || from >= strings.length - wanted.length) {
      return false;
    }
    int to = from + wanted.length;
    return strings[to] == 0 && Arrays.equals(strings, from, to, wanted, 0, wanted.length);
  }

  private String string(int nameOffset) {
    if (nameOffset < baseStrings) {
      return base.string(nameOffset);
    }
    int from = nameOffset - baseStrings;
    int to = from;
    while (strings[to] != 0 && to - from < MAX_NAME) {
      to++;
    }
    return new String(strings, from, to - from, StandardCharsets.ISO_8859_1);
  }

  private int kind(int id) {
    return word(id, INFO) >>> 24 & 0x1f;
  }

  private int vlen(int id) {
    return word(id, INFO) & 0xffff;
  }

  private long unsigned(int id, int index) {
    return word(id, index) & 0xffff_ffffL;
  }

  private boolean isValid(int id) {
    return id > 0 && id <= typeCount;
  }

  /// The type behind typedefs and qualifiers; 0 for void or a chain that does not end.
  private int strip(int id) {
    int at = id;
    for (int depth = 0; depth < MAX_DEPTH && isValid(at); depth++) {
      switch (kind(at)) {
        case BtfKind.TYPEDEF, BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG ->
            at = word(at, SIZE);
        default -> {
          return at;
        }
      }
    }
    return 0;
  }

  /// Bytes of a type, -1 if it has no size.
  private long size(int id) {
    long elements = 1;
    int at = id;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
      int stripped = strip(at);
      if (stripped == 0) {
        return -1;
      }
      switch (kind(stripped)) {
        case BtfKind.PTR -> {
          return elements * 8;
        }
        case BtfKind.ARRAY -> {
          elements = Math.clamp(elements * unsigned(stripped, PREFIX + 2), 0, Integer.MAX_VALUE);
          at = word(stripped, PREFIX);
        }
        case BtfKind.INT,
            BtfKind.STRUCT,
            BtfKind.UNION,
            BtfKind.ENUM,
            BtfKind.ENUM64,
            BtfKind.FLOAT -> {
          return elements * unsigned(stripped, SIZE);
        }
        default -> {
          return -1;
        }
      }
    }
    return -1;
  }

  private StructLayout layout(int id) {
    if (id <= baseCount) {
      return base.layout(id);
    }
    StructLayout known = layouts.get(id);
    if (known == null) {
      List<Member> members = new ArrayList<>();
      collect(id, 0, 0, new int[] {MAX_MEMBERS}, members);
      known = new StructLayout(Printable.of(string(word(id, NAME))), unsigned(id, SIZE), members);
      layouts.put(id, known);
    }
    return known;
  }

  /// Adds the members of a struct or union, those of anonymous members in their place.
  ///
  /// @param budget how many members may still be looked at, nested ones too
  private void collect(int id, long baseBits, int depth, int[] budget, List<Member> into) {
    if (depth > MAX_DEPTH) {
      return;
    }
    boolean bitFields = word(id, INFO) < 0;
    for (int i = 0; i < vlen(id) && budget[0]-- > 0; i++) {
      int at = PREFIX + 3 * i;
      int nameOffset = word(id, at);
      int type = word(id, at + 1);
      int offset = word(id, at + 2);
      int width = bitFields ? offset >>> 24 : 0;
      long bits = baseBits + (bitFields ? offset & 0xff_ffff : offset & 0xffff_ffffL);
      int stripped = strip(type);
      boolean isStruct =
          stripped != 0 && (kind(stripped) == BtfKind.STRUCT || kind(stripped) == BtfKind.UNION);
      if (nameOffset == 0) {
        if (isStruct) {
          collect(stripped, bits, depth + 1, budget, into);
        }
        continue;
      }
      if ((nameOffset & 0xffff_ffffL) >= (long) baseStrings + strings.length) {
        continue;
      }
      if (!bitFields && stripped != 0 && kind(stripped) == BtfKind.INT) {
        // The old form of a bit field: an integer type narrower than its storage.
        int encoding = word(stripped, PREFIX);
        int intBits = encoding & 0xff;
        if (intBits != 8 * unsigned(stripped, SIZE)) {
          width = intBits;
          bits += encoding >>> 16 & 0xff;
        }
      }
      into.add(
          new Member(
              string(nameOffset),
              bits,
              width,
              Math.max(0, size(type)),
              stripped != 0 && kind(stripped) == BtfKind.ARRAY
                  ? unsigned(stripped, PREFIX + 2)
                  : -1,
              () -> structOf(type),
              pointee(type),
              isBool(stripped)));
    }
  }

  private boolean isBool(int stripped) {
    return stripped != 0
        && kind(stripped) == BtfKind.INT
        && (word(stripped, PREFIX) >>> 24 & BtfKind.INT_BOOL) != 0
        && unsigned(stripped, SIZE) == 1;
  }

  /// What a member, or the elements of an array member, point to: a structure, a function, or
  /// another such pointer.
  private String pointee(int type) {
    int stripped = strip(type);
    boolean isPointer = false;
    for (int depth = 0; depth < MAX_DEPTH && stripped != 0; depth++) {
      switch (kind(stripped)) {
        case BtfKind.ARRAY -> stripped = isPointer ? 0 : strip(word(stripped, PREFIX));
        case BtfKind.PTR -> {
          isPointer = true;
          stripped = strip(word(stripped, SIZE));
        }
        case BtfKind.STRUCT, BtfKind.UNION, BtfKind.FWD -> {
          return isPointer ? "struct " + Printable.of(string(word(stripped, NAME))) : "";
        }
        case BtfKind.FUNC_PROTO -> {
          return isPointer ? "function" : "";
        }
        default -> stripped = 0;
      }
    }
    return "";
  }

  /// The structure that a member is, or that the elements of an array member are.
  private Optional<StructLayout> structOf(int type) {
    int stripped = strip(type);
    for (int depth = 0; depth < MAX_DEPTH && stripped != 0; depth++) {
      int kind = kind(stripped);
      if (kind == BtfKind.STRUCT || kind == BtfKind.UNION) {
        return Optional.of(layout(stripped));
      }
      if (kind != BtfKind.ARRAY) {
        return Optional.empty();
      }
      stripped = strip(word(stripped, PREFIX));
    }
    return Optional.empty();
  }
}
