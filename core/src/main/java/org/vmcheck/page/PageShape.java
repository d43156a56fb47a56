package org.vmcheck.page;

import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.kernel.Kernel;

/// How `struct page` of this kernel tells what a page is, taken from VMCOREINFO and the types,
/// never from a version.
///
/// @param size bytes of one `struct page`
/// @param flagsAt offset of the flags word
/// @param compoundAt offset of the word whose bit 0 marks a tail page
/// @param typeAt offset of the 32-bit page type or map count
/// @param slab what marks a slab
/// @param buddy what marks the head of a free block
/// @param reservedBit bit of PG_reserved; -1 if not known
/// @param lruBit bit of PG_lru; -1 if not known
/// @param headMask mask of PG_head; 0 if not known
/// @param orderAt offset from a compound page's first descriptor of the byte that holds its order;
///   -1 if not known
/// @param mappingAt offset of `mapping`
/// @param privateAt offset of `private`
/// @param lruAt offset of `lru`
/// @param slabCacheAt offset of the slab's cache in the descriptor of a slab; -1 if not known
public record PageShape(
    int size,
    int flagsAt,
    int compoundAt,
    int typeAt,
    Mark slab,
    Mark buddy,
    Mark table,
    int reservedBit,
    int lruBit,
    int hwPoisonBit,
    long headMask,
    int orderAt,
    int mappingAt,
    int privateAt,
    int refcountAt,
    int lruAt,
    int slabCacheAt) {

  /// What tells one kind of page from others.
  sealed interface Mark {
    /// A bit of the flags word.
    record FlagBit(int bit) implements Mark {
      @Override
      public boolean matches(long flags, int type) {
        return (flags >>> bit & 1) != 0;
      }
    }

    /// The top byte of the page type (6.12 on).
    record TypeByte(int value) implements Mark {
      @Override
      public boolean matches(long flags, int type) {
        return type >>> 24 == value;
      }
    }

    /// Bits cleared from all-ones below a base mask (4.18 to 6.11).
    record ClearedBit(int base, int bit) implements Mark {
      @Override
      public boolean matches(long flags, int type) {
        return (type & (base | bit)) == base;
      }
    }

    /// A magic map count (before 4.18).
    record MapCount(int value) implements Mark {
      @Override
      public boolean matches(long flags, int type) {
        return type == value;
      }
    }

    /// Not known.
    record None() implements Mark {
      @Override
      public boolean matches(long flags, int type) {
        return false;
      }
    }

    /// Whether a descriptor's words are those of such a page.
    boolean matches(long flags, int type);
  }

  /// Takes the shape from VMCOREINFO and the types.
  ///
  /// @return empty if neither VMCOREINFO nor the types say how large `struct page` is or where its
  ///   members are
  static Optional<PageShape> of(Kernel kernel) {
    Vmcoreinfo info = kernel.vmcoreinfo();
    Optional<StructLayout> page = kernel.struct("page", "flags");
    long size = info.size("page").orElseGet(() -> page.map(StructLayout::size).orElse(0L));
    int flagsAt = offset(info, page, "flags");
    int compoundAt = offset(info, page, "compound_head", "compound_info");
    int typeAt = offset(info, page, "_mapcount");
    if (size < 32 || size > 256 || flagsAt < 0 || compoundAt < 0) {
      return Optional.empty();
    }
    int reserved = flagBit(kernel, "PG_reserved");
    return Optional.of(
        new PageShape(
            (int) size,
            flagsAt,
            compoundAt,
            typeAt,
            slabMark(kernel, typeAt),
            typeMark(info, "PAGE_BUDDY_MAPCOUNT_VALUE"),
            tableMark(kernel),
            reserved,
            (int) info.number("PG_lru").orElseGet(() -> flagBit(kernel, "PG_lru")),
            (int) info.number("PG_hwpoison").orElseGet(() -> flagBit(kernel, "PG_hwpoison")),
            info.number("PG_head_mask").orElseGet(() -> maskOf(flagBit(kernel, "PG_head"))),
            orderAt(kernel, page, (int) size),
            offset(info, page, "mapping"),
            offset(info, page, "private"),
            offset(info, page, "_refcount"),
            offset(info, page, "lru"),
            slabCacheAt(kernel)));
  }

  private static int offset(Vmcoreinfo info, Optional<StructLayout> page, String... members) {
    for (String member : members) {
      OptionalLong told = info.offset("page." + member);
      if (told.isPresent() && told.getAsLong() >= 0 && told.getAsLong() < 256) {
        return (int) told.getAsLong();
      }
    }
    return page.flatMap(p -> p.firstMember(members)).map(m -> m.offset()).orElse(-1);
  }

  /// `struct slab` lies over the descriptor (5.17 on); before, `struct page` has its members.
  private static int slabCacheAt(Kernel kernel) {
    return kernel
        .struct("slab", "slab_cache")
        .or(() -> kernel.struct("page", "slab_cache"))
        .flatMap(slab -> slab.member("slab_cache"))
        .map(Member::offset)
        .orElse(-1);
  }

  private static long maskOf(int bit) {
    return bit < 0 || bit > 63 ? 0 : 1L << bit;
  }

  /// The second descriptor tells the order: in `page.compound_order`, then in `folio._folio_order`,
  /// and where that is gone in the low byte of `folio._flags_1` (`folio_order` in Linux
  /// `include/linux/mm.h`).
  private static int orderAt(Kernel kernel, Optional<StructLayout> page, int size) {
    if (page.isPresent() && page.get().has("compound_order")) {
      return size + page.get().member("compound_order").orElseThrow().offset();
    }
    Optional<StructLayout> folio = kernel.struct("folio", "_flags_1");
    if (folio.isEmpty()) {
      return -1;
    }
    return folio
        .get()
        .firstMember("_folio_order", "_flags_1")
        .map(member -> member.offset())
        .filter(at -> at >= size && at + 8 <= 2 * size)
        .orElse(-1);
  }

  private static int flagBit(Kernel kernel, String name) {
    return kernel
        .types()
        .map(types -> (int) types.enumerator("pageflags", name).orElse(-1))
        .orElse(-1);
  }

  private static Mark slabMark(Kernel kernel, int typeAt) {
    Vmcoreinfo info = kernel.vmcoreinfo();
    if (typeAt >= 0 && info.number("PAGE_SLAB_MAPCOUNT_VALUE").isPresent()) {
      return typeMark(info, "PAGE_SLAB_MAPCOUNT_VALUE");
    }
    OptionalLong pageType =
        kernel.types().isPresent()
            ? kernel.types().get().enumerator("pagetype", "PGTY_slab")
            : OptionalLong.empty();
    if (typeAt >= 0 && pageType.isPresent()) {
      return new Mark.TypeByte((int) pageType.getAsLong() & 0xff);
    }
    int bit = (int) info.number("PG_slab").orElseGet(() -> flagBit(kernel, "PG_slab"));
    return bit >= 0 && bit < 64 ? new Mark.FlagBit(bit) : new Mark.None();
  }

  private static Mark tableMark(Kernel kernel) {
    OptionalLong type =
        kernel.types().isPresent()
            ? kernel.types().get().enumerator("pagetype", "PGTY_table")
            : OptionalLong.empty();
    if (type.isPresent()) {
      return new Mark.TypeByte((int) type.getAsLong() & 0xff);
    }
    // 4.18 to 6.11 clear bit PG_table (0x200 or 0x400) below the base; its value is a macro, and
    // the
    // neighbours are exported: buddy 0x80, offline 0x100, table 0x200.
    return kernel.vmcoreinfo().number("PAGE_BUDDY_MAPCOUNT_VALUE").orElse(0) == ~0x80L
        ? new Mark.ClearedBit(0xf0000000, 0x200)
        : new Mark.None();
  }

  /// The mark behind a value that VMCOREINFO prints as a signed number.
  private static Mark typeMark(Vmcoreinfo info, String number) {
    OptionalLong value = info.number(number);
    if (value.isEmpty()) {
      return new Mark.None();
    }
    int exported = (int) value.getAsLong();
    if ((exported & 0xff_ffff) == 0) {
      return new Mark.TypeByte(exported >>> 24);
    }
    int bit = ~exported;
    if (Integer.bitCount(bit) != 1) {
      return new Mark.MapCount(exported);
    }
    return new Mark.ClearedBit(bit >= 1 << 24 ? 0x80000000 : 0xf0000000, bit);
  }
}
