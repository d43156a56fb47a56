package org.vmcheck.testing;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Writes BTF blobs, record by record; ids are given in order of appearance, from 1 (or behind the
/// base of a split blob).
public final class BtfWriter {
  private static final int KIND_FLAG = 1 << 31;

  private final ByteArrayOutputStream types = new ByteArrayOutputStream();
  private final ByteArrayOutputStream strings = new ByteArrayOutputStream();
  private final Map<String, Integer> stringAt = new HashMap<>();
  private final int stringBase;
  private final ByteOrder order;
  private int lastId;
  private byte[] layout = {};
  private int headerLength = 24;

  public BtfWriter() {
    this(ByteOrder.LITTLE_ENDIAN, 0, 0);
    strings.write(0);
    stringAt.put("", 0);
  }

  private BtfWriter(ByteOrder order, int lastId, int stringBase) {
    this.order = order;
    this.lastId = lastId;
    this.stringBase = stringBase;
  }

  /// A blob that big-endian kernels have.
  public static BtfWriter bigEndian() {
    BtfWriter writer = new BtfWriter(ByteOrder.BIG_ENDIAN, 0, 0);
    writer.strings.write(0);
    writer.stringAt.put("", 0);
    return writer;
  }

  /// A module's blob: ids and strings go on where the base's end; strings of the base are used
  /// where it has them.
  public static BtfWriter splitFrom(BtfWriter base) {
    BtfWriter writer =
        new BtfWriter(base.order, base.lastId, base.stringBase + base.strings.size());
    writer.stringAt.putAll(base.stringAt);
    return writer;
  }

  /// One member of a structure.
  ///
  /// @param bits 0 for an ordinary member
  public record Field(String name, int type, int bitOffset, int bits) {
    public static Field at(String name, int type, int byteOffset) {
      return new Field(name, type, byteOffset * 8, 0);
    }

    public static Field bits(String name, int type, int bitOffset, int bits) {
      return new Field(name, type, bitOffset, bits);
    }
  }

  public int typeCount() {
    return lastId;
  }

  public int integer(String name, int byteCount, boolean isSigned) {
    return oddInteger(name, byteCount, 0, byteCount * 8, isSigned);
  }

  /// An integer narrower than its storage: how old BTF says bit field.
  public int oddInteger(String name, int byteCount, int bitOffset, int bits, boolean isSigned) {
    int id = record(name, 1, 0, false, byteCount);
    u32((isSigned ? 1 << 24 : 0) | bitOffset << 16 | bits);
    return id;
  }

  public int pointer(int type) {
    return record("", 2, 0, false, type);
  }

  public int array(int element, int index, int count) {
    int id = record("", 3, 0, false, 0);
    u32(element);
    u32(index);
    u32(count);
    return id;
  }

  public int struct(String name, int byteCount, Field... fields) {
    return composite(4, name, byteCount, List.of(fields));
  }

  public int struct(String name, int byteCount, List<Field> fields) {
    return composite(4, name, byteCount, fields);
  }

  public int union(String name, int byteCount, Field... fields) {
    return composite(5, name, byteCount, List.of(fields));
  }

  private int composite(int kind, String name, int byteCount, List<Field> fields) {
    boolean bitFields = fields.stream().anyMatch(field -> field.bits() != 0);
    int id = record(name, kind, fields.size(), bitFields, byteCount);
    for (Field field : fields) {
      u32(string(field.name()));
      u32(field.type());
      u32(bitFields ? field.bits() << 24 | field.bitOffset() : field.bitOffset());
    }
    return id;
  }

  public int enumeration(String name, Map<String, Integer> values) {
    int id = record(name, 6, values.size(), false, 4);
    for (Map.Entry<String, Integer> value : values.entrySet()) {
      u32(string(value.getKey()));
      u32(value.getValue());
    }
    return id;
  }

  public int enumeration64(String name, Map<String, Long> values) {
    int id = record(name, 19, values.size(), false, 8);
    for (Map.Entry<String, Long> value : values.entrySet()) {
      u32(string(value.getKey()));
      u32((int) (long) value.getValue());
      u32((int) (value.getValue() >>> 32));
    }
    return id;
  }

  public int forward(String name, boolean isUnion) {
    return record(name, 7, 0, isUnion, 0);
  }

  public int typedef(String name, int type) {
    return record(name, 8, 0, false, type);
  }

  public int volatileOf(int type) {
    return record("", 9, 0, false, type);
  }

  public int constOf(int type) {
    return record("", 10, 0, false, type);
  }

  public int restrictOf(int type) {
    return record("", 11, 0, false, type);
  }

  public int function(String name, int prototype) {
    return record(name, 12, 1, false, prototype);
  }

  public int prototype(int returned, int... parameters) {
    int id = record("", 13, parameters.length, false, returned);
    for (int parameter : parameters) {
      u32(0);
      u32(parameter);
    }
    return id;
  }

  public int variable(String name, int type) {
    int id = record(name, 14, 0, false, type);
    u32(1);
    return id;
  }

  public int dataSection(String name, int variable, int offset, int byteCount) {
    int id = record(name, 15, 1, false, byteCount);
    u32(variable);
    u32(offset);
    u32(byteCount);
    return id;
  }

  public int floating(String name, int byteCount) {
    return record(name, 16, 0, false, byteCount);
  }

  public int declarationTag(String value, int type) {
    int id = record(value, 17, 0, false, type);
    u32(-1);
    return id;
  }

  public int typeTag(String value, int type) {
    return record(value, 18, 0, false, type);
  }

  /// A record of a kind of the future.
  public int unknown(int kind, int vlen, byte... extra) {
    int id = record("", kind, vlen, false, 0);
    types.writeBytes(extra);
    return id;
  }

  /// Adds the layout section of 7.1: for every kind the bytes behind the common 12 and those of
  /// each element.
  ///
  /// @param kinds alternately the fixed and the per-element size, from kind 0 on
  public BtfWriter layout(int... kinds) {
    headerLength = 32;
    layout = new byte[kinds.length * 2];
    for (int i = 0; i < kinds.length; i += 2) {
      layout[i * 2] = (byte) kinds[i];
      layout[i * 2 + 1] = (byte) kinds[i + 1];
    }
    return this;
  }

  /// The sizes of the twenty kinds known so far, as pahole writes them.
  public BtfWriter layoutOfKnownKinds() {
    return layout(
        0, 0, 4, 0, 0, 0, 12, 0, 0, 12, 0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0,
        0, 12, 0, 0, 4, 0, 0, 0, 0, 12);
  }

  public byte[] build() {
    int typeLength = types.size();
    ByteBuffer blob =
        ByteBuffer.allocate(headerLength + typeLength + strings.size() + layout.length)
            .order(order);
    blob.putShort((short) 0xeb9f).put((byte) 1).put((byte) 0).putInt(headerLength);
    blob.putInt(0).putInt(typeLength);
    blob.putInt(typeLength + layout.length).putInt(strings.size());
    if (headerLength >= 32) {
      blob.putInt(typeLength).putInt(layout.length);
    }
    return blob.put(types.toByteArray()).put(layout).put(strings.toByteArray()).array();
  }

  private int record(String name, int kind, int vlen, boolean flag, int sizeOrType) {
    u32(string(name));
    u32(kind << 24 | vlen | (flag ? KIND_FLAG : 0));
    u32(sizeOrType);
    return ++lastId;
  }

  private int string(String text) {
    return stringAt.computeIfAbsent(
        text,
        _ -> {
          int at = stringBase + strings.size();
          strings.writeBytes(text.getBytes(StandardCharsets.ISO_8859_1));
          strings.write(0);
          return at;
        });
  }

  private void u32(int value) {
    types.writeBytes(ByteBuffer.allocate(4).order(order).putInt(value).array());
  }
}
