package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.LocalDate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.io.MalformedFileException;

/// A policy is understood whole or not at all.
class PolicyReaderTest {
  @ParameterizedTest
  @ValueSource(strings = "kernel-upgrade")
  void readyPoliciesAreRead(String name) throws Exception {
    assertThat(PolicyReader.READY).containsExactly(name);
    Policy policy = PolicyReader.read(name);

    assertThat(policy.name()).isEqualTo(name);
    assertThat(policy.mustPass()).contains("slab.freelist");
    assertThat(policy.failOn()).contains(Policy.Rule.LEAK);
    assertThat(policy.accepted()).isEmpty();
  }

  @Test
  void everyKeyIsRead() throws Exception {
    Policy policy =
        PolicyReader.read(
            "p.yaml",
            """
            name: mine
            must-pass: [slab.lists]
            may-skip: [slab.poison]
            fail-on: [leak]
            forbidden-taint: BM
            growth: {min-bytes: 4096, factor: 1.5, min-in-use: 0.5}
            accept:
              - fingerprint: a/b
                reason: "BUG-1: known"
                expires: 2027-01-31
            """);

    assertThat(policy.growth()).isEqualTo(new Policy.Growth(4096, 1.5, 0.5));
    assertThat(policy.failOn()).containsExactly(Policy.Rule.LEAK);
    assertThat(policy.maySkip()).containsExactly("slab.poison");
    assertThat(policy.forbiddenTaint()).isEqualTo("BM");
    assertThat(policy.accepted())
        .containsExactly(new Policy.Accepted("a/b", "BUG-1: known", LocalDate.of(2027, 1, 31)));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "name: x\\nmust-run: []|line 2: unknown key 'must-run'",
        "growth:\\n  factr: 2|line 2: unknown key 'factr'",
        "must-pass:\\n- slab.freelst|line 2: expected the id of a check",
        "fail-on: [leek]|line 1: expected one of new-finding, ",
        "growth: {factor: many}|line 1: expected a number from 1 to 1000000000, got 'many'",
        "growth: {factor: NaN}|line 1: expected a number",
        "accept:\\n"
            + "- fingerprint: a\\n"
            + "  expires: 2027-01-01|line 2: an accepted finding needs 'reason'",
        "accept:\\n- {fingerprint: a, reason: b, expires: soon}|line 2: expected a day",
        "name: a\\nname: b|line 2: ",
        "name: [|not YAML",
        "&a [*a]|not YAML",
        "- name|line 1: expected keys and values",
        "\"\"|an empty policy",
      })
  void mistakesNameTheirLine(String text, String message) {
    assertThatThrownBy(() -> PolicyReader.read("p.yaml", text.replace("\\n", "\n")))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageStartingWith("[p.yaml] ")
        .hasMessageContaining(message);
  }
}
