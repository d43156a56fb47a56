package org.vmcheck.codec;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The list of page codecs: adding one takes its file and one line here.
public final class Codecs {
  private static final List<PageCodec> ALL =
      List.of(new ZlibCodec(), new LzoCodec(), new SnappyCodec(), new ZstdCodec());

  /// Every bit that some codec owns.
  public static final int FLAG_MASK =
      ALL.stream().mapToInt(PageCodec::flag).reduce(0, (a, b) -> a | b);

  private Codecs() {}

  public static List<PageCodec> all() {
    return ALL;
  }

  /// What [PageCodec#packedSample] decodes to.
  public static byte[] sample() {
    return "vmcheck ".repeat(8).getBytes(StandardCharsets.US_ASCII);
  }

  /// The codec that owns exactly this bit.
  public static Optional<PageCodec> byFlag(int flag) {
    for (PageCodec codec : ALL) {
      if (codec.flag() == flag) {
        return Optional.of(codec);
      }
    }
    return Optional.empty();
  }

  /// Names of the codecs whose bits are set.
  public static List<String> namesIn(int flags) {
    List<String> names = new ArrayList<>();
    for (PageCodec codec : ALL) {
      if ((flags & codec.flag()) != 0) {
        names.add(codec.name());
      }
    }
    return names;
  }
}
