package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Types;

/// Real files that lie beside the project's folder where they are there at all; tests that want
/// them are skipped elsewhere.
public final class RealDumps {
  private RealDumps() {}

  /// A file of the folder `shared` beside the project.
  public static Path shared(String path) {
    Path at = Path.of("").toAbsolutePath();
    while (at != null && !Files.isDirectory(at.resolve("shared"))) {
      at = at.getParent();
    }
    return at == null ? Path.of(path) : at.resolve("shared").resolve(path);
  }

  /// Every struct of the table has its size, and its members their places.
  public static void assertAgrees(Types types, LayoutTable table) {
    for (LayoutTable.Struct expected : table.structs().values()) {
      String[] members =
          expected.members().stream().map(LayoutTable.Member::path).toArray(String[]::new);
      StructLayout layout = types.struct(expected.name(), members).orElseThrow();
      assertThat(layout.size()).as(expected.name()).isEqualTo(expected.byteCount());
      for (LayoutTable.Member row : expected.members()) {
        Member member = layout.member(row.path()).orElseThrow();
        assertThat(new int[] {member.offset(), member.bitInByte(), member.bitFieldSize()})
            .as(expected.name() + "." + row.path())
            .containsExactly(row.offset(), row.bitInByte(), row.bits());
      }
    }
  }
}
