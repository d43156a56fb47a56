package org.vmcheck.evidence;

import java.util.regex.Pattern;

/// What a line of VMCOREINFO may show where it is told on: what types look like, not where the
/// kernel lay or when it crashed (Linux `kernel/vmcore_info.c`).
final class VmcoreinfoLines {
  /// As a kernel writes them. What else stands in a damaged note may be anybody's memory.
  private static final Pattern KEY =
      Pattern.compile("[A-Z]{1,20}|[A-Z]{1,20}\\([A-Za-z0-9_. ]{1,80}\\)");

  private static final Pattern NUMBER = Pattern.compile("-?(0x)?[0-9a-f]{1,40}");

  /// How a sentence begins and ends that quotes a value which cannot be.
  private static final String SAYS = "VMCOREINFO says ";

  private static final String UNUSED = "; it is not used";

  private VmcoreinfoLines() {}

  /// Whether the line tells where the kernel lay or when it crashed.
  static boolean isPlace(String line) {
    return line.startsWith("SYMBOL(")
        || line.startsWith("KERNELOFFSET")
        || line.startsWith("NUMBER(phys_base)")
        || line.startsWith("NUMBER(kimage_voffset)")
        || line.startsWith("NUMBER(PHYS_OFFSET)")
        || line.startsWith("NUMBER(VMALLOC_START)")
        || line.startsWith("NUMBER(sme_mask)")
        || line.startsWith("CRASHTIME");
  }

  /// Leaves of each quoted value that cannot be the key and the reason, or, where it is no key and
  /// number as a kernel writes them, nothing. A value that imitates the end of the sentence takes
  /// what follows with it.
  static String withoutQuotes(String text) {
    int start = text.indexOf(SAYS);
    int end = text.lastIndexOf(UNUSED);
    if (start < 0 || end < start + SAYS.length()) {
      return text;
    }
    int from = start + SAYS.length();
    return text.substring(0, from) + safe(text.substring(from, end)) + text.substring(end);
  }

  private static String safe(String quote) {
    int sign = quote.indexOf('=');
    int reason = sign < 0 ? -1 : quote.indexOf(": ", sign);
    if (reason < 0
        || !KEY.matcher(quote.substring(0, sign)).matches()
        || !NUMBER.matcher(quote.substring(sign + 1, reason)).matches()
        || quote.contains(UNUSED)) {
      return "(text)";
    }
    return isPlace(quote)
        ? quote.substring(0, sign + 1) + "(redacted)" + quote.substring(reason)
        : quote;
  }
}
