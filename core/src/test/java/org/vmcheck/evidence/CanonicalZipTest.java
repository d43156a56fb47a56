package org.vmcheck.evidence;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TimeZone;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;

/// The one form of a zip, byte by byte, and its limits.
class CanonicalZipTest {
  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static SortedMap<String, byte[]> files(String... names) {
    SortedMap<String, byte[]> files = new TreeMap<>();
    for (String name : names) {
      files.put(name, bytes("of " + name));
    }
    return files;
  }

  @Test
  void entriesAreStoredInOrderOfNameAndOfOneTime() throws Exception {
    byte[] zip = CanonicalZip.write(files("b", "a"));
    List<String> names = new ArrayList<>();
    try (ZipInputStream in = new ZipInputStream(new ByteArrayInputStream(zip))) {
      for (ZipEntry entry = in.getNextEntry(); entry != null; entry = in.getNextEntry()) {
        CRC32 crc = new CRC32();
        crc.update(bytes("of " + entry.getName()));
        assertThat(entry.getMethod()).isEqualTo(ZipEntry.STORED);
        assertThat(entry.getTimeLocal()).isEqualTo(LocalDateTime.of(1980, 1, 1, 0, 0, 2));
        assertThat(entry.getCrc()).isEqualTo(crc.getValue());
        assertThat(entry.getSize()).isEqualTo(4);
        assertThat(in.readAllBytes()).isEqualTo(bytes("of " + entry.getName()));
        names.add(entry.getName());
      }
    }
    assertThat(names).containsExactly("a", "b");
    // The first: its local header, its name, its bytes; then the second's header.
    assertThat(ByteBuffer.wrap(zip).order(ByteOrder.LITTLE_ENDIAN).getInt(30 + 1 + 4))
        .isEqualTo(0x04034b50);
    SortedMap<String, byte[]> read = CanonicalZip.read(zip);
    assertThat(read.keySet()).containsExactly("a", "b");
    assertThat(read.get("b")).isEqualTo(bytes("of b"));
  }

  /// Who verifies may live elsewhere.
  @Test
  void theTimeZoneIsOfNoAccount() throws Exception {
    TimeZone own = TimeZone.getDefault();
    try {
      TimeZone.setDefault(TimeZone.getTimeZone("Asia/Tokyo"));
      byte[] zip = CanonicalZip.write(files("a"));
      TimeZone.setDefault(TimeZone.getTimeZone("America/New_York"));
      assertThat(CanonicalZip.write(files("a"))).isEqualTo(zip);
      assertThat(CanonicalZip.read(zip).keySet()).containsExactly("a");
    } finally {
      TimeZone.setDefault(own);
    }
  }

  @Test
  void anotherOrderOrTimeIsRefused() throws Exception {
    for (boolean isOrdered : new boolean[] {true, false}) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      try (ZipOutputStream zip = new ZipOutputStream(out)) {
        for (String name : isOrdered ? List.of("a", "b") : List.of("b", "a")) {
          ZipEntry entry = new ZipEntry(name);
          CRC32 crc = new CRC32();
          crc.update(bytes("of " + name));
          entry.setMethod(ZipEntry.STORED);
          entry.setTimeLocal(LocalDateTime.of(1980, 1, 1, 0, 0, isOrdered ? 4 : 2));
          entry.setSize(4);
          entry.setCrc(crc.getValue());
          zip.putNextEntry(entry);
          zip.write(bytes("of " + name));
        }
      }
      assertThatThrownBy(() -> CanonicalZip.read(out.toByteArray()))
          .isInstanceOf(BundleException.class)
          .hasMessage("the zip is not as vmcheck wrote it");
    }
  }

  @Test
  void aNameThatComesTwiceIsRefused() throws Exception {
    byte[] zip = CanonicalZip.write(files("first", "other"));
    byte[] twice =
        new String(zip, StandardCharsets.ISO_8859_1)
            .replace("other", "first")
            .getBytes(StandardCharsets.ISO_8859_1);
    CRC32 crc = new CRC32();
    crc.update(bytes("of first"));
    // The second local header holds the CRC of what is in it now.
    ByteBuffer patched = ByteBuffer.wrap(twice).order(ByteOrder.LITTLE_ENDIAN);
    patched.putInt(30 + 5 + 8 + 14, (int) crc.getValue());
    assertThatThrownBy(() -> CanonicalZip.read(twice)).hasMessage("a file is in the bundle twice");
  }

  @Test
  void nothingIsNoBundle() {
    for (byte[] none : List.of(new byte[0], new byte[1], "no zip at all".getBytes(US_ASCII))) {
      if (none.length == 0) {
        // No bytes are a zip of no files, which is no bundle for want of its manifest.
        assertThatThrownBy(() -> Bundle.verify(none, List.of(), java.util.Optional.empty()))
            .hasMessageContaining("it has no manifest.txt");
      } else {
        assertThatThrownBy(() -> CanonicalZip.read(none))
            .hasMessage("the zip is not as vmcheck wrote it");
      }
    }
  }

  @Test
  void moreThanFourThousandFilesAreRefused() throws Exception {
    SortedMap<String, byte[]> files = new TreeMap<>();
    for (int i = 0; i < 4096; i++) {
      files.put("%04d".formatted(i), new byte[0]);
    }
    assertThat(CanonicalZip.read(CanonicalZip.write(files))).hasSize(4096);
    files.put("4096", new byte[0]);
    byte[] more = CanonicalZip.write(files);
    assertThatThrownBy(() -> CanonicalZip.read(more))
        .hasMessage("no bundle of vmcheck: 4096 stored files at most");
  }

  @Test
  void moreThanTheLimitIsNotWritten() throws Exception {
    // Headers: local 30 and central 46 with the name each, and the end record.
    int around = 30 + 1 + 46 + 1 + 22;
    SortedMap<String, byte[]> files = new TreeMap<>();
    files.put("a", new byte[CanonicalZip.MAX_BYTES - around]);
    assertThat(CanonicalZip.write(files)).hasSize(32 << 20);
    files.put("a", new byte[CanonicalZip.MAX_BYTES - around + 1]);
    assertThatThrownBy(() -> CanonicalZip.write(files))
        .isInstanceOf(BundleException.class)
        .hasMessage("the bundle would have 33,554,433 bytes, and 33,554,432 are the limit");
  }
}
