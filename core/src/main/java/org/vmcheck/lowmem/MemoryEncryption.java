package org.vmcheck.lowmem;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;

/// Whether the dumped kernel ran with AMD memory encryption, or in a realm of Arm's, by all that
/// says so.
///
/// @param mask the bit of page-table entries that marks encrypted memory; 0 if none is known
/// @param reasons what says so, a few words each
/// @param line of the kernel's log that says so; null if none does
public record MemoryEncryption(State state, long mask, List<String> reasons, LogBuffer.Line line) {
  /// Linux `arch/arm64/kernel/rsi.c`, from 6.13 on.
  private static final String REALM_LINE = "RME: Using RSI version";

  /// What the kernel ran with.
  public enum State {
    /// Secure Memory Encryption: the host encrypts its own memory.
    SME("active"),
    /// The kernel is a guest with encrypted memory: kexec's page tables carry the mask.
    SEV("guest (SEV)"),
    /// The kernel is a guest in a realm of Arm's CCA: its host cannot read it, and what it shares
    /// has an address bit of its own.
    REALM("guest (a realm of Arm CCA)"),
    OFF("off"),
    UNKNOWN("not known");

    private final String words;

    State(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  public MemoryEncryption {
    reasons = List.copyOf(reasons);
  }

  /// What says so, as the end of a sentence; empty if nothing does.
  public String why() {
    return reasons.isEmpty() ? "" : ": " + String.join(", ", reasons);
  }

  /// `NUMBER(sme_mask)` exists from 5.1 on (and in RHEL 8) and is the kernel's own word, zero too;
  /// without it the variable says the same. Where both are absent, page tables and the log tell.
  public static MemoryEncryption of(Kernel kernel) {
    List<String> reasons = new ArrayList<>();
    OptionalLong told = kernel.vmcoreinfo().number("sme_mask");
    OptionalLong variable = kernel.variable64("sme_me_mask");
    long inTables = kernel.memory().paging().encryptionMask();
    if (inTables != 0) {
      reasons.add("page-table entries carry the bit 0x%x".formatted(inTables));
    }
    told.ifPresent(value -> reasons.add("NUMBER(sme_mask)=0x%x".formatted(value)));
    variable.ifPresent(value -> reasons.add("sme_me_mask=0x%x".formatted(value)));
    LogBuffer.Line said = said(kernel);
    if (said != null && said.text().contains(REALM_LINE)) {
      return new MemoryEncryption(State.REALM, 0, List.of("the log says so"), said);
    }
    if (said != null) {
      reasons.add("the log says so");
    }
    OptionalLong word = told.isPresent() ? told : variable;
    long mask = word.orElse(inTables);
    boolean isOn = word.isPresent() ? mask != 0 : mask != 0 || said != null;
    boolean guest =
        (kernel.variable64("sev_status").orElse(0) & 1) != 0
            || (said != null
                && said.text().matches(".*(Features active:.*\\b(SEV|TDX)\\b|\\(SEV\\) active).*"));
    State state =
        isOn ? guest ? State.SEV : State.SME : word.isPresent() ? State.OFF : State.UNKNOWN;
    return new MemoryEncryption(state, mask, reasons, isOn ? said : null);
  }

  /// The line of the log that says that memory is encrypted; null if there is none.
  private static LogBuffer.Line said(Kernel kernel) {
    for (LogBuffer.Line line : kernel.log().kernelRecords()) {
      String text = line.text();
      boolean old =
          text.contains("Secure Memory Encryption (SME) active")
              || text.contains("Secure Encrypted Virtualization (SEV) active");
      boolean listed =
          text.contains("Memory Encryption Features active:")
              && text.matches(".*\\b(SME|SEV|TDX)\\b.*");
      if (old || listed || text.contains(REALM_LINE)) {
        return line;
      }
    }
    return null;
  }
}
