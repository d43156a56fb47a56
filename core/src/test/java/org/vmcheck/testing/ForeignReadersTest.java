package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Readers that we did not write read the images: what they make of them is a kernel's, not only
/// ours. Each test is skipped where its tool is not installed.
///
/// drgn translates through VMCOREINFO and the page tables, for ELF with code of its own, for kdump
/// with libkdumpfile; pahole reads the BTF. crash wants a vmlinux whose addresses are the image's
/// own and cannot take part.
@Tag("slow")
class ForeignReadersTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void drgnReadsTheSameWordsThroughThePageTables(Layout layout, @TempDir Path directory)
      throws IOException {
    assumeTrue(ForeignTool.isInstalled("drgn"), "drgn is not installed");
    FakeImage image = FakeKernel.of(layout).seed(5).build();
    List<Long> addresses = new ArrayList<>();
    addresses.add(image.symbol("linux_banner"));
    addresses.add(image.symbol("slab_caches"));
    for (CacheImage cache : image.caches()) {
      addresses.add(cache.address() + 24);
      addresses.add(cache.slabs().getFirst().address());
      addresses.add(cache.slabs().getLast().slot(0));
    }
    Path program = directory.resolve("words.py");
    Files.writeString(
        program,
        """
        import sys
        for address in sys.argv[1:]:
            print('%x' % prog.read_u64(int(address, 16)))
        """);
    for (Path dump :
        List.of(image.writeElf(directory, "elf"), image.writeKdump(directory, "kdump"))) {
      List<String> command =
          new ArrayList<>(
              List.of("drgn", "-q", "--no-default-symbols", "-c", dump.toString(), program + ""));
      addresses.forEach(address -> command.add(Long.toHexString(address)));
      assertThat(ForeignTool.run(command))
          .as(dump.toString())
          .isEqualTo(
              addresses.stream().map(address -> Long.toHexString(image.word(address))).toList());
    }
  }

  /// A member as pahole prints it: its name, offset, and for a bit field its first bit.
  private static final Pattern MEMBER =
      Pattern.compile(
          "(?:\\*|\\s)(\\w+)(?:\\[\\d*])?(?::\\d+)?(?:"
              + " __attribute__.*)?;\\s+/\\*\\s+(\\d+)(?::\\s*(\\d+))?\\s+\\d+");

  @ParameterizedTest
  @MethodSource("layouts")
  void paholeFindsEveryMemberWhereTheTableHasIt(Layout layout, @TempDir Path directory)
      throws IOException {
    assumeTrue(ForeignTool.isInstalled("pahole"), "pahole is not installed");
    Path btf = Files.write(directory.resolve("btf"), LayoutBtf.of(layout));
    for (String struct : List.of("kmem_cache", "kmem_cache_node", layout.slabStruct(), "page")) {
      Map<String, String> found = new HashMap<>();
      for (String line : ForeignTool.run(List.of("pahole", "-C", struct, btf.toString()))) {
        Matcher matcher = MEMBER.matcher(line);
        if (matcher.find()) {
          String bit = matcher.group(3) == null ? "" : ":" + matcher.group(3);
          found.put(matcher.group(1), matcher.group(2) + bit);
        }
      }
      for (LayoutTable.Member member : layout.struct(struct).members()) {
        if (member.path().indexOf('.') < 0 && !member.type().contains("(*)")) {
          // pahole counts the bits of a field from the start of its 32-bit unit.
          int unit = member.offset() & ~3;
          String expected =
              member.bits() == 0
                  ? "" + member.offset()
                  : unit + ":" + ((member.offset() - unit) * 8 + member.bitInByte());
          assertThat(found.get(member.path()))
              .as(layout + " " + struct + "." + member.path())
              .isEqualTo(expected);
        }
      }
    }
  }
}
