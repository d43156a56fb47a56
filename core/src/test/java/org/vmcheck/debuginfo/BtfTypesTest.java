package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.BtfWriter;
import org.vmcheck.testing.BtfWriter.Field;

class BtfTypesTest {
  private final BtfWriter btf = new BtfWriter();
  private final int u64 = btf.integer("unsigned long", 8, false);
  private final int u32 = btf.integer("unsigned int", 4, false);

  private BtfTypes parse() throws IOException {
    return BtfTypes.parse(ByteView.of("btf", btf.build()));
  }

  private static StructLayout only(BtfTypes types, String name) {
    return types.struct(name).orElseThrow();
  }

  @Test
  void membersHaveTheirOffsetsAndSizes() throws Exception {
    int list = btf.struct("list_head", 16, Field.at("next", 0, 0), Field.at("prev", 0, 8));
    int nodes = btf.array(btf.pointer(list), u32, 4);
    btf.struct(
        "kmem_cache",
        88,
        Field.at("flags", u64, 8),
        Field.at("list", list, 24),
        Field.at("node", nodes, 40),
        Field.at("table", btf.array(list, u32, 2), 72));

    StructLayout cache = only(parse(), "kmem_cache");

    assertThat(cache.size()).isEqualTo(88);
    assertThat(cache.memberCount()).isEqualTo(4);
    Member flags = cache.member("flags").orElseThrow();
    assertThat(flags.offset()).isEqualTo(8);
    assertThat(flags.byteSize()).isEqualTo(8);
    assertThat(flags.elementCount()).isEqualTo(-1);
    Member node = cache.member("node").orElseThrow();
    assertThat(node.byteSize()).isEqualTo(32);
    assertThat(node.elementCount()).isEqualTo(4);
    assertThat(node.elementSize()).isEqualTo(8);
    assertThat(node.struct()).isEmpty();
    assertThat(cache.member("list.prev").orElseThrow().offset()).isEqualTo(32);
    assertThat(cache.member("table").orElseThrow().struct().orElseThrow().size()).isEqualTo(16);
    assertThat(cache.member("nothing")).isEmpty();
    assertThat(cache.member("flags.nothing")).isEmpty();
  }

  @Test
  void anonymousMembersAreFlattenedEvenIfTheirTypeHasAName() throws Exception {
    int inner =
        btf.struct(
            "freelist_counters", 16, Field.at("freelist", u64, 0), Field.at("counters", u64, 8));
    int union = btf.union("", 16, Field.at("", inner, 0), Field.at("rcu", u64, 0));
    btf.struct("slab", 32, Field.at("flags", u64, 0), Field.at("", union, 16));

    StructLayout slab = only(parse(), "slab");

    assertThat(slab.member("counters").orElseThrow().offset()).isEqualTo(24);
    assertThat(slab.member("rcu").orElseThrow().offset()).isEqualTo(16);
  }

  @Test
  void bitFieldsOfTheKindFlagFormHaveTheirBits() throws Exception {
    btf.struct(
        "slab",
        8,
        Field.bits("inuse", u32, 0, 16),
        Field.bits("objects", u32, 16, 15),
        Field.bits("frozen", u32, 31, 1));

    Member objects = only(parse(), "slab").member("objects").orElseThrow();
    assertThat(objects.offset()).isEqualTo(2);
    assertThat(objects.bitInByte()).isZero();
    assertThat(objects.bitFieldSize()).isEqualTo(15);
    Member frozen = only(parse(), "slab").member("frozen").orElseThrow();
    assertThat(frozen.offset()).isEqualTo(3);
    assertThat(frozen.bitInByte()).isEqualTo(7);
    assertThat(frozen.isBitField()).isTrue();
  }

  @Test
  void bitFieldsOfTheOldFormHaveTheirBitsFromTheIntegerType() throws Exception {
    int odd = btf.oddInteger("unsigned int", 4, 3, 5, false);
    btf.struct("old", 8, Field.at("plain", u32, 0), new Field("bits", odd, 32, 0));

    Member bits = only(parse(), "old").member("bits").orElseThrow();
    assertThat(bits.bitOffset()).isEqualTo(35);
    assertThat(bits.bitFieldSize()).isEqualTo(5);
  }

  @Test
  void typedefsAndQualifiersAreSeenThrough() throws Exception {
    int counter = btf.struct("", 8, Field.at("counter", u64, 0));
    int atomic = btf.typedef("atomic_long_t", counter);
    int tagged =
        btf.constOf(btf.volatileOf(btf.restrictOf(btf.typeTag("user", btf.typedef("x", atomic)))));
    btf.struct("node", 16, Field.at("nr_slabs", tagged, 8));

    BtfTypes types = parse();
    assertThat(only(types, "node").member("nr_slabs.counter").orElseThrow().offset()).isEqualTo(8);
    assertThat(types.typedefSize("atomic_long_t")).hasValue(8);
    assertThat(types.typedefSize("node")).isEmpty();
  }

  @Test
  void enumeratorsAreFoundByEnumerationOrInAny() throws Exception {
    btf.enumeration("pageflags", Map.of("PG_locked", 0, "PG_slab", 9));
    btf.enumeration("pagetype", Map.of("PG_slab", 0xf5));
    btf.enumeration("", Map.of("NEGATIVE", -3));
    btf.enumeration64("big", Map.of("HUGE", 0x1_0000_0002L));

    BtfTypes types = parse();
    assertThat(types.enumerator("pageflags", "PG_slab")).hasValue(9);
    assertThat(types.enumerator("pagetype", "PG_slab")).hasValue(0xf5);
    assertThat(types.enumerator("", "NEGATIVE")).hasValue(-3);
    assertThat(types.enumerator("big", "HUGE")).hasValue(0x1_0000_0002L);
    assertThat(types.enumerator("", "HUGE")).hasValue(0x1_0000_0002L);
    assertThat(types.enumerator("big", "PG_slab")).isEmpty();
    assertThat(types.enumerator("none", "PG_slab")).isEmpty();
  }

  @Test
  void everyKindIsStepedOver() throws Exception {
    btf.forward("task_struct", false);
    int prototype = btf.prototype(u32, u64, u32);
    btf.function("schedule", prototype);
    int variable = btf.variable("runqueues", u64);
    btf.dataSection(".data..percpu", variable, 0, 8);
    btf.floating("double", 8);
    btf.declarationTag("kfunc", 6);
    btf.struct("task_struct", 8, Field.at("state", u64, 0));

    BtfTypes types = parse();
    assertThat(types.typeCount()).isEqualTo(10);
    assertThat(types.structs("task_struct")).hasSize(1);
  }

  @Test
  void ofSameNamedStructsTheOneWithTheMembersIsTaken() throws Exception {
    btf.struct("irq_info", 8, Field.at("pin", u32, 0));
    btf.struct("irq_info", 24, Field.at("vector", u32, 4));
    btf.struct("irq_info", 32, Field.at("vector", u32, 8), Field.at("mask", u32, 0));

    BtfTypes types = parse();
    assertThat(types.structs("irq_info")).hasSize(3);
    assertThat(types.struct("irq_info", "pin").orElseThrow().size()).isEqualTo(8);
    assertThat(types.struct("irq_info", "mask").orElseThrow().size()).isEqualTo(32);
    assertThat(types.struct("irq_info", "vector")).as("two differ").isEmpty();
  }

  @Test
  void moduleBlobGoesOnFromTheKernels() throws Exception {
    btf.struct("list_head", 16, Field.at("next", u64, 0), Field.at("prev", u64, 8));
    BtfTypes base = parse();
    BtfWriter module = BtfWriter.splitFrom(btf);
    int list = 3;
    module.struct("nf_conn", 32, Field.at("next", u64, 0), Field.at("list", list, 16));

    BtfTypes types = BtfTypes.parseSplit(ByteView.of("module", module.build()), base);

    assertThat(types.typeCount()).isEqualTo(4);
    StructLayout conn = only(types, "nf_conn");
    assertThat(conn.member("list.prev").orElseThrow().offset()).isEqualTo(24);
    assertThat(conn.member("next").orElseThrow().byteSize()).isEqualTo(8);
    assertThat(only(types, "list_head").size()).isEqualTo(16);
    assertThat(base.struct("nf_conn")).isEmpty();
  }

  @Test
  void layoutSectionLetsUnknownKindsBeSkipped() throws Exception {
    btf.unknown(20, 2, new byte[4 + 2 * 8]);
    btf.struct("after", 4, Field.at("member", u32, 0));
    btf.layout(
        0, 0, 4, 0, 0, 0, 12, 0, 0, 12, 0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0,
        0, 12, 0, 0, 4, 0, 0, 0, 0, 12, 4, 8);

    assertThat(only(parse(), "after").has("member")).isTrue();
  }

  @Test
  void unknownKindWithoutALayoutIsNamed() {
    btf.unknown(20, 0);

    assertThatThrownBy(this::parse)
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("type 3.kind")
        .hasMessageContaining("20, which has no layout record");
  }

  @Test
  void bigEndianIsRefusedByName() {
    BtfWriter big = BtfWriter.bigEndian();
    big.integer("int", 4, true);

    assertThatThrownBy(() -> BtfTypes.parse(ByteView.of("btf", big.build())))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageContaining("big-endian BTF");
  }

  @Test
  void typeThatContainsItselfEnds() throws Exception {
    // struct 3 holds an anonymous member that is struct 3.
    btf.struct("loop", 8, Field.at("", 3, 0), Field.at("", 3, 0), Field.at("x", 4, 0));
    btf.typedef("t", 4);
    btf.array(6, u32, 1 << 30);

    BtfTypes types = parse();
    assertThat(only(types, "loop").has("x")).isTrue();
    assertThat(types.typedefSize("t")).isEmpty();
  }

  @Test
  void idsBeyondTheLastAreNoTypes() throws Exception {
    btf.struct("wild", 8, Field.at("a", 77, 0), Field.at("b", -1, 0), Field.at("", 99, 0));

    StructLayout wild = only(parse(), "wild");
    assertThat(wild.member("a").orElseThrow().byteSize()).isZero();
    assertThat(wild.member("a.b")).isEmpty();
  }

  @Test
  void everyPrefixAndEveryFlippedBitIsReadOrRefused() {
    int list = btf.struct("list_head", 16, Field.at("next", u64, 0), Field.at("prev", u64, 8));
    btf.enumeration("e", Map.of("ONE", 1));
    btf.struct("cache", 40, Field.bits("bits", u32, 3, 2), Field.at("list", list, 8));
    btf.typedef("cache_t", list);
    byte[] whole = btf.layoutOfKnownKinds().build();
    for (int length = 0; length < whole.length; length++) {
      use(Arrays.copyOf(whole, length));
    }
    Random random = new Random(7);
    for (int i = 0; i < whole.length * 8; i++) {
      byte[] flipped = whole.clone();
      flipped[i >> 3] ^= (byte) (1 << (i & 7));
      use(flipped);
      byte[] wild = whole.clone();
      wild[random.nextInt(wild.length)] = (byte) random.nextInt();
      wild[random.nextInt(wild.length)] = (byte) random.nextInt();
      use(wild);
    }
  }

  private static void use(byte[] blob) {
    try {
      BtfTypes types = BtfTypes.parse(ByteView.of("btf", blob));
      for (String name : new String[] {"list_head", "cache", "e", "cache_t", "other"}) {
        for (StructLayout layout : types.structs(name)) {
          layout.member("list.next").ifPresent(member -> assertThat(member.name()).isNotEmpty());
        }
        types.typedefSize(name);
        types.enumerator(name, "ONE");
      }
      types.enumerator("", "TWO");
    } catch (IOException expected) {
      assertThat(expected).hasMessageContaining("btf");
    }
  }
}
