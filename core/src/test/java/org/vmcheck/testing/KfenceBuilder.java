package org.vmcheck.testing;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Writes the metadata of a KFENCE pool and the bytes around its objects (Linux `mm/kfence/core.c`,
/// kfence_guarded_alloc), objects at the start and at the end of their pages.
final class KfenceBuilder {
  private static final int TRACK = 536;
  private static final int METADATA = 1160;
  private static final int STATE_AT = 36;
  private static final int ADDR_AT = 40;
  private static final int SIZE_AT = 48;
  private static final int CACHE_AT = 56;
  private static final int ALLOC_AT = 72;
  private static final int FREE_AT = ALLOC_AT + TRACK;

  private final ImageBuilder image;
  private final AllocatorBuilder slabs;
  private int objects;
  private long table;

  KfenceBuilder(ImageBuilder image, AllocatorBuilder slabs) {
    this.image = image;
    this.slabs = slabs;
  }

  /// `enum kfence_object_state`; the newest have one more.
  static Map<String, Integer> states(Layout layout) {
    Map<String, Integer> states = new LinkedHashMap<>();
    states.put("KFENCE_OBJECT_UNUSED", 0);
    states.put("KFENCE_OBJECT_ALLOCATED", 1);
    if (isNew(layout)) {
      states.put("KFENCE_OBJECT_RCU_FREEING", 2);
    }
    states.put("KFENCE_OBJECT_FREED", states.size());
    return states;
  }

  private static boolean isNew(Layout layout) {
    return layout.kallsyms().compareTo(Layout.KallsymsEra.V6_15) >= 0;
  }

  static void types(BtfWriter writer, int intId, int word, Map<String, Integer> states) {
    int state = writer.enumeration("kfence_object_state", states);
    int track =
        writer.struct(
            "kfence_track",
            TRACK,
            List.of(
                BtfWriter.Field.at("pid", intId, 0),
                BtfWriter.Field.at("cpu", intId, 4),
                BtfWriter.Field.at("ts_nsec", word, 8),
                BtfWriter.Field.at("num_stack_entries", intId, 16),
                BtfWriter.Field.at("stack_entries", writer.array(word, intId, 64), 24)));
    writer.struct(
        "kfence_metadata",
        METADATA,
        List.of(
            BtfWriter.Field.at("state", state, STATE_AT),
            BtfWriter.Field.at("addr", word, ADDR_AT),
            BtfWriter.Field.at("size", word, SIZE_AT),
            BtfWriter.Field.at("cache", word, CACHE_AT),
            BtfWriter.Field.at("alloc_track", track, ALLOC_AT),
            BtfWriter.Field.at("free_track", track, FREE_AT)));
  }

  /// Takes the room for the metadata.
  void plan() {
    objects = image.config().kfenceFrames() / 2 - 1;
    if (isNew(image.layout())) {
      // Memory of its own behind a pointer.
      table =
          image
              .space()
              .direct(
                  image.frames().allocateRun(0, ((long) objects * METADATA + 4095) >> 12, 1) << 12);
      image.pointer("kfence_metadata", table);
    } else {
      table = image.variable("kfence_metadata", objects * METADATA);
    }
  }

  void write(long poolPfn) {
    for (int i = 0; i < objects; i++) {
      long page = image.space().direct((poolPfn + 2L * (i + 1)) << 12);
      long metadata = table + (long) i * METADATA;
      image.space().put(metadata + ADDR_AT, page, 8);
      if (i % 5 == 0) {
        continue;
      }
      CacheImage cache = slabs.caches().get(i % slabs.caches().size());
      int size = Math.min(cache.size(), 4096) - 3;
      long address = i % 2 == 0 ? page : page + 4096 - size & -8;
      boolean isFree = i % 3 == 0;
      Map<String, Integer> states = states(image.layout());
      image
          .space()
          .put(
              metadata + STATE_AT,
              states.get(isFree ? "KFENCE_OBJECT_FREED" : "KFENCE_OBJECT_ALLOCATED"),
              4);
      image.space().put(metadata + ADDR_AT, address, 8);
      image.space().put(metadata + SIZE_AT, size, 8);
      image.space().put(metadata + CACHE_AT, cache.address(), 8);
      track(metadata + ALLOC_AT, 100 + i, i, "kmem_cache_alloc");
      if (isFree) {
        track(metadata + FREE_AT, 200 + i, i + 1, "kmem_cache_free");
      }
      byte[] bytes = new byte[4096];
      for (int at = 0; at < 4096; at++) {
        boolean isOwn = page + at >= address && page + at < address + size;
        bytes[at] = (byte) (isOwn ? 0x41 : 0xaa ^ (at & 7));
      }
      image.space().put(page, bytes);
    }
  }

  private void track(long at, int pid, int seconds, String function) {
    image.space().put(at, pid, 4);
    image.space().put(at + 8, seconds * 1_000_000_000L, 8);
    image.space().put(at + 16, 2, 4);
    image.space().put(at + 24, image.address(function) + 0x21, 8);
    image.space().put(at + 32, image.address("vfs_read") + 0x11, 8);
  }
}
