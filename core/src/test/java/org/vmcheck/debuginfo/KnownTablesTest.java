package org.vmcheck.debuginfo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.io.ByteView;

class KnownTablesTest {
  private final KnownTables known = new KnownTables(1);
  private int reads;

  @Test
  void theSameBytesAreReadOnce() throws IOException {
    String first = get("names", "tokens");
    String second = get("names", "tokens");

    assertThat(second).isSameAs(first);
    assertThat(reads).isEqualTo(1);
  }

  @Test
  void oneOtherByteIsAnotherKernel() throws IOException {
    get("names", "tokens");

    assertThat(get("names", "tokenz")).isEqualTo("names tokenz");
    assertThat(get("nameS", "tokens")).isEqualTo("nameS tokens");
    assertThat(reads).isEqualTo(3);
  }

  @Test
  void aLongerOrShorterTableIsAnother() throws IOException {
    get("names", "tokens");
    get("name", "tokens");
    get("names", "tokens and more");

    assertThat(reads).isEqualTo(3);
  }

  @Test
  void whatWasReadDoesNotDependOnTheViewsThatItCameFrom() throws IOException {
    byte[] page = "names".getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    known.get(String.class, List.of(ByteView.of("page", page)), () -> "of names");
    Arrays.fill(page, (byte) 0);

    assertThat(known.get(String.class, List.of(ByteView.of("page", page)), () -> "of zeros"))
        .isEqualTo("of zeros");
  }

  @Test
  void onlyTheLastKernelsAreKept() throws IOException {
    get("one", "");
    get("two", "");
    get("three", "");
    get("two", "");
    assertThat(reads).isEqualTo(3);

    get("one", "");
    assertThat(reads).isEqualTo(4);
  }

  @Test
  void whatCannotBeReadIsNotKept() throws IOException {
    assertThatThrownBy(() -> known.get(String.class, views("names"), this::refuse))
        .hasMessage("no names");
    assertThatThrownBy(() -> known.get(String.class, views("names"), this::refuse))
        .hasMessage("no names");
    assertThat(reads).isEqualTo(2);
  }

  @Test
  void forOneDumpNothingIsKept() throws IOException {
    for (int i = 0; i < 2; i++) {
      KnownTables.NONE.get(String.class, views("names"), () -> "" + ++reads);
    }

    assertThat(reads).isEqualTo(2);
  }

  private String refuse() throws IOException {
    reads++;
    throw new IOException("no names");
  }

  private String get(String... tables) throws IOException {
    return known.get(
        String.class,
        views(tables),
        () -> {
          reads++;
          return String.join(" ", tables);
        });
  }

  private static List<ByteView> views(String... tables) {
    return Arrays.stream(tables)
        .map(t -> ByteView.of("table", t.getBytes(java.nio.charset.StandardCharsets.US_ASCII)))
        .toList();
  }
}
