package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.Evidence;

/// The bytes that SLUB prints before it puts them right: taken only where they bear out what the
/// report says of them.
class LoggedBytesTest {
  private static final long OBJECT = 0xffff_8880_03a1_c040L;

  /// Of a kernel from 5.14 on with slub_debug: addresses as they are.
  private static List<String> redZone(String title) {
    return List.of(
        "BUG kmalloc-32 (Not tainted): " + title,
        "0xffff888003a1c060-0xffff888003a1c063 @offset=96. First byte 0x41 instead of 0xcc",
        "Object 0xffff888003a1c040 @offset=64 fp=0x0000000000000000",
        "Redzone  ffff888003a1c030: cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc "
            + " ................",
        "Object   ffff888003a1c040: 41 41 41 41 41 41 41 41 41 41 41 41 41 41 41 41 "
            + " AAAAAAAAAAAAAAAA",
        "Object   ffff888003a1c050: 41 41 41 41 41 41 41 41 41 41 41 41 41 41 41 41 "
            + " AAAAAAAAAAAAAAAA",
        "Redzone  ffff888003a1c060: 41 41 41 41 cc cc cc cc                          AAAA....",
        "Padding  ffff888003a1c0b4: 5a 5a 5a 5a 5a 5a 5a 5a                          ZZZZZZZZ",
        "FIX kmalloc-32: Restoring Right Redzone 0xffff888003a1c060-0xffff888003a1c063=0xcc");
  }

  private static Optional<LoggedBytes> of(List<String> lines) {
    return LoggedBytes.of(lines.stream().map(line -> new LogBuffer.Line(1, 3, line)).toList());
  }

  private static List<String> with(List<String> lines, int index, String line) {
    List<String> changed = new ArrayList<>(lines);
    changed.set(index, line);
    return changed;
  }

  @Test
  void theRightRedZoneIsRead() {
    LoggedBytes bytes = of(redZone("Right Redzone overwritten")).orElseThrow();

    assertThat(bytes.address()).isEqualTo(OBJECT - 16);
    assertThat(bytes.objectFrom()).isEqualTo(16);
    assertThat(bytes.objectTo()).isEqualTo(48);
    assertThat(bytes.badFrom()).isEqualTo(48);
    assertThat(bytes.badTo()).isEqualTo(52);
    assertThat(bytes.addressOf(bytes.badFrom())).isEqualTo(0xffff_8880_03a1_c060L);
    assertThat(bytes.wrong()).isEqualTo(4);
    assertThat(bytes.zone()).isEqualTo("right red zone");
    assertThat(bytes.window(96).hex()).startsWith("41414141").endsWith("cccccccc");
  }

  @Test
  void poisonWithItsEndIsRead() {
    LoggedBytes bytes =
        of(List.of(
                "BUG lab (Not tainted): Poison overwritten",
                "0xffff888003a1c042-0xffff888003a1c042 @offset=66. First byte 0x4b instead of 0x6b",
                "Object   ffff888003a1c040: 6b 6b 4b 6b 6b 6b 6b a5  kkKkkkk."))
            .orElseThrow();

    assertThat(bytes.badFrom()).isEqualTo(2);
    assertThat(bytes.wrong()).isEqualTo(1);
    assertThat(bytes.zone()).isEqualTo("poison");
  }

  /// 5.10 hashes the addresses: the bytes tell where they are wrong.
  @Test
  void hashedAddressesAreNotAddresses() {
    LoggedBytes bytes =
        of(List.of(
                "BUG lab (Not tainted): Poison overwritten",
                "INFO: 0x00000000a1b2c3d4-0x00000000b1b2c3d4 @offset=66. First byte 0x4b instead of"
                    + " 0x6b",
                "Redzone 000000001111aaaa: bb bb bb bb bb bb bb bb  ........",
                "Object 00000000deadbeef: 6b 6b 4b 6b 41 6b 6b a5  kkKkAkk."))
            .orElseThrow();

    assertThat(bytes.address()).isEqualTo(Evidence.UNKNOWN);
    assertThat(bytes.badFrom()).isEqualTo(10);
    assertThat(bytes.badTo()).isEqualTo(13);
    assertThat(bytes.wrong()).isEqualTo(2);
  }

  @Test
  void whatDoesNotBearOutTheReportIsNotTaken() {
    List<String> lines = redZone("Right Redzone overwritten");
    assertThat(of(with(lines, 1, "INFO: nothing is told"))).isEmpty();
    // The byte there is another one.
    assertThat(
            of(
                with(
                    lines,
                    1,
                    "0xffff888003a1c060-0xffff888003a1c063 @offset=96. First byte 0x42 instead of"
                        + " 0xcc")))
        .isEmpty();
    // The range is not among the bytes.
    assertThat(
            of(
                with(
                    lines,
                    1,
                    "0xffff888003a1d060-0xffff888003a1d063 @offset=96. First byte 0x41 instead of"
                        + " 0xcc")))
        .isEmpty();
    // A row is missing.
    assertThat(of(with(lines, 5, "something else"))).isEmpty();
    assertThat(of(List.of("Object   ffff888003a1c040: 6b"))).isEmpty();
  }
}
