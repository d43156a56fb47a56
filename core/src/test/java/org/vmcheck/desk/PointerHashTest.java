package org.vmcheck.desk;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.TestData;

/// Hashed pointers: the hash by the vectors that its authors published, turning it back by the key
/// of a real kernel.
class PointerHashTest {
  @Test
  void theHashIsSipHash24() {
    // Key 00 01 … 0f, message 00 01 … 07: vectors_sip64[8] of the reference implementation, and
    // lib/test_siphash.c of Linux.
    PointerHash hash = new PointerHash(0x0706050403020100L, 0x0f0e0d0c0b0a0908L);

    assertThat(hash.sipHash(0x0706050403020100L)).isEqualTo(0x93f5f5799a932462L);
    assertThat(hash.of(0x0706050403020100L)).isEqualTo(0x9a932462);
  }

  @Test
  void onlyWhatPrintkHashesIsTakenForAHash() {
    assertThat(HashedPointers.in("Object 00000000a1b2c3d4 @offset=64")).containsExactly(0xa1b2c3d4);
    assertThat(HashedPointers.in("at 0x00000000deadbeef, was 00000000cafebabe"))
        .containsExactly(0xdeadbeef, 0xcafebabe);
    assertThat(HashedPointers.in("RAX: 00000000a1b2c3d4 RBX: 00000000a1b2c3d4")).isEmpty();
    assertThat(HashedPointers.in("CR2: 00000000a1b2c3d4")).isEmpty();
    assertThat(HashedPointers.in("[mem 0x00000000a1b2c000-0x00000000a1b2cfff]")).isEmpty();
    assertThat(HashedPointers.in("0x000000000a000000 - 0x0000000012000000 (128 MB)")).isEmpty();
    assertThat(HashedPointers.in("a null pointer is 0000000000000000")).isEmpty();
    assertThat(HashedPointers.in("ffff8880a1b2c3d4 000000001234567 00000000A1B2C3D4")).isEmpty();
  }

  @Test
  void pointersOfARealKernelAreTurnedBack() throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named("debian-7.2"))) {
      Places places = new Places(real.kernel());
      PointerHash hash = PointerHash.of(real.kernel()).orElseThrow();
      List<Long> pointers = new ArrayList<>();
      SlabSurvey.eachView(
          real.kernel(),
          MemMap.of(real.kernel()).orElseThrow(),
          0,
          real.dump().memory().endPfn(),
          (SlabCache cache) -> cache.name().equals("dentry"),
          view -> {
            pointers.add(view.slab().object(1));
            return pointers.size() < 50;
          });
      pointers.add(real.kernel().symbol("init_task").orElseThrow());
      pointers.add(MemMap.of(real.kernel()).orElseThrow().descriptor(0x1234));
      List<String> lines =
          pointers.stream()
              .map(p -> "BUG: %016x is bad".formatted(hash.of(p) & 0xffff_ffffL))
              .toList();
      // A hash of nothing stays one.
      String other = "BUG: %016x".formatted(new Random(4).nextInt() & 0xffff_ffffL);
      List<String> all = new ArrayList<>(lines);
      all.add(other);

      HashedPointers.Result result = HashedPointers.unhash(places, all).orElseThrow();

      for (int i = 0; i < pointers.size(); i++) {
        assertThat(HashedPointers.unhashed(lines.get(i), result))
            .isEqualTo(
                "BUG: %016x{%016x} is bad"
                    .formatted(hash.of(pointers.get(i)) & 0xffff_ffffL, pointers.get(i)));
      }
      assertThat(HashedPointers.unhashed(other, result)).isEqualTo(other);
      assertThat(result.expectedByChance()).isLessThan(0.1);
    }
  }
}
