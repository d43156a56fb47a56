package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// Reads back from a dump what the evidence of a finding says: words, runs, lengths, bytes, pages.
/// A sentence that names a run or what a stretch of bytes holds must carry them in a form that can
/// be read back.
public final class EvidenceReader {
  private static final Pattern RUN =
      Pattern.compile("run of (\\d+) bytes \\((?:byte 0x([0-9a-f]+)|text|the bytes ([0-9a-f]+))");
  private static final Pattern ALL =
      Pattern.compile("all (\\d+) bytes of the free object at 0x([0-9a-f]+) are zero");
  private static final Pattern PAGE = Pattern.compile("byte(?: of it is)? 0x([0-9a-f]{2})");
  private static final Pattern WORD =
      Pattern.compile("the word at 0x([0-9a-f]+) is 0x([0-9a-f]{16})");
  private static final Pattern WRONG =
      Pattern.compile("^(\\d+) bytes? (?:is|are) wrong(?: of the (\\d+))? from 0x([0-9a-f]+)");
  private static final Pattern FIXED = Pattern.compile("bytes of 0x([0-9a-f]{2}) belong there");

  private final Kernel kernel;

  public EvidenceReader(Kernel kernel) {
    this.kernel = kernel;
  }

  /// Checks all that a finding says, and that it names the word that it is about by its address.
  public void verify(Finding finding) {
    finding.evidence().forEach(this::verify);
    finding.against().forEach(this::verify);
    if (finding.subject().address() != Evidence.UNKNOWN) {
      String address = "0x%x".formatted(finding.subject().address());
      assertThat(
              finding.claim().contains(address)
                  || finding.evidence().stream().anyMatch(e -> e.sentence().contains(address)))
          .as("%s names %s: %s", finding.check(), address, sentences(finding))
          .isTrue();
    }
  }

  private static String sentences(Finding finding) {
    StringBuilder all = new StringBuilder(finding.claim());
    finding.evidence().forEach(e -> all.append(" | ").append(e.sentence()));
    return all.toString();
  }

  private void verify(Evidence evidence) {
    String sentence = evidence.sentence();
    switch (evidence) {
      case Evidence.WordAt word -> {
        isAt(word.address(), word.physical(), sentence);
        if (word.raw() != Evidence.UNKNOWN) {
          long there = number(word.address(), 8);
          long low = word.raw() & 0xffff_ffffL;
          assertThat(
                  there == word.raw()
                      || (low == word.raw() && low == (there & 0xffff_ffffL))
                      || (there & 0xffff_ffff_ffffL) == word.raw())
              .as("%s: 0x%x is there", sentence, there)
              .isTrue();
        }
      }
      case Evidence.BytesAt bytes -> {
        isAt(bytes.address(), bytes.physical(), sentence);
        byte[] shown = HexFormat.of().parseHex(bytes.hex());
        assertThat(shown).as(sentence).isNotEmpty().isEqualTo(read(bytes.address(), shown.length));
        assertThat(bytes.markTo()).isLessThanOrEqualTo(shown.length);
      }
      case Evidence.Run run -> run(run);
      case Evidence.PageLooksLike page -> page(page);
      case Evidence.ChainBroken _,
          Evidence.SlabPicture _,
          Evidence.LoggedBytes _,
          Evidence.CountMismatch _,
          Evidence.WhatIf _,
          Evidence.LogLineSays _ -> {}
    }
    if (!(evidence instanceof Evidence.Run)) {
      assertThat(sentence).doesNotContainPattern("run of \\d+").doesNotContainPattern(ALL);
    }
    Matcher word = WORD.matcher(sentence);
    while (word.find()) {
      assertThat(number(hex(word.group(1)), 8)).as(sentence).isEqualTo(hex(word.group(2)));
    }
    wrong(sentence);
  }

  private void run(Evidence.Run run) {
    isAt(run.address(), run.physical(), run.sentence());
    byte[] there = read(run.address(), run.length());
    byte[] pattern = HexFormat.of().parseHex(run.pattern());
    for (int i = 0; i < there.length; i++) {
      if (pattern.length > 0) {
        assertThat(there[i])
            .as("%s: byte %d", run.sentence(), i)
            .isEqualTo(pattern[i % pattern.length]);
      } else {
        assertThat((there[i] >= 0x20 && there[i] < 0x7f) || "\t\n\r".indexOf(there[i]) >= 0)
            .as("%s: byte %d", run.sentence(), i)
            .isTrue();
      }
    }
    Matcher named = RUN.matcher(run.sentence());
    Matcher all = ALL.matcher(run.sentence());
    if (named.find()) {
      assertThat(Integer.parseInt(named.group(1))).as(run.sentence()).isEqualTo(run.length());
      String bytes = named.group(2) != null ? named.group(2) : named.group(3);
      assertThat(bytes == null ? "" : bytes).as(run.sentence()).isEqualTo(run.pattern());
    } else {
      assertThat(all.find()).as(run.sentence()).isTrue();
      assertThat(Integer.parseInt(all.group(1))).isEqualTo(run.length());
      assertThat(hex(all.group(2))).isEqualTo(run.address());
      assertThat(run.pattern()).isEqualTo("00");
    }
  }

  private void page(Evidence.PageLooksLike page) {
    Matcher value = PAGE.matcher(page.sentence());
    if (value.find()) {
      byte[] there = read(kernel.memory().map().directMapAddress(page.pfn() << 12), 4096);
      for (byte one : there) {
        assertThat(one & 0xff).as(page.sentence()).isEqualTo((int) hex(value.group(1)));
      }
    }
  }

  /// `n bytes are wrong of the m from 0x… on: bytes of 0x6b belong there`.
  private void wrong(String sentence) {
    Matcher wrong = WRONG.matcher(sentence);
    Matcher fixed = FIXED.matcher(sentence);
    if (!wrong.find() || !fixed.find()) {
      return;
    }
    int count = Integer.parseInt(wrong.group(1));
    int length = wrong.group(2) == null ? count : Integer.parseInt(wrong.group(2));
    int differing = 0;
    for (byte one : read(hex(wrong.group(3)), length)) {
      differing += (one & 0xff) != hex(fixed.group(1)) ? 1 : 0;
    }
    assertThat(differing).as(sentence).isEqualTo(count);
  }

  private void isAt(long address, long physical, String sentence) {
    if (physical != Evidence.UNKNOWN) {
      assertThat(kernel.memory().physicalAddress(address)).as(sentence).isEqualTo(physical);
    }
  }

  private static long hex(String digits) {
    return Long.parseUnsignedLong(digits, 16);
  }

  private long number(long address, int length) {
    byte[] bytes = read(address, length);
    long value = 0;
    for (int i = length - 1; i >= 0; i--) {
      value = value << 8 | (bytes[i] & 0xff);
    }
    return value;
  }

  private byte[] read(long address, int length) {
    MemoryRead read = kernel.memory().read(address, length);
    assertThat(read).as("0x%x", address).isInstanceOf(MemoryRead.Bytes.class);
    ByteView view = ((MemoryRead.Bytes) read).view();
    return view.bytes(0, length);
  }
}
