package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;

/// Whether the dumped kernel ran with AMD memory encryption, by all that says so.
///
/// @param mask the bit of page-table entries that marks encrypted memory; 0 if none is known
/// @param reasons what says so, a few words each
/// @param line of the kernel's log that says so; null if none does
record MemoryEncryption(State state, long mask, List<String> reasons, LogBuffer.Line line) {
  /// What the kernel ran with.
  enum State {
    /// Secure Memory Encryption: the host encrypts its own memory.
    SME("active"),
    /// The kernel is a guest with encrypted memory: kexec's page tables carry the mask.
    SEV("guest (SEV)"),
    OFF("off"),
    UNKNOWN("not known");

    private final String words;

    State(String words) {
      this.words = words;
    }

    String words() {
      return words;
    }
  }

  MemoryEncryption {
    reasons = List.copyOf(reasons);
  }

  /// `NUMBER(sme_mask)` exists from 5.1 on (and in RHEL 8); before that the kernel's variable, its
  /// page tables and its log tell.
  static MemoryEncryption of(Kernel kernel) {
    List<String> reasons = new ArrayList<>();
    OptionalLong told = kernel.vmcoreinfo().number("sme_mask");
    OptionalLong variable = kernel.variable64("sme_me_mask");
    long mask = told.orElse(0) != 0 ? told.getAsLong() : variable.orElse(0);
    if (mask == 0) {
      mask = kernel.memory().paging().encryptionMask();
      if (mask != 0) {
        reasons.add("page-table entries carry the bit 0x%x".formatted(mask));
      }
    }
    told.ifPresent(value -> reasons.add("NUMBER(sme_mask)=0x%x".formatted(value)));
    variable.ifPresent(value -> reasons.add("sme_me_mask=0x%x".formatted(value)));
    LogBuffer.Line said = null;
    boolean guest = (kernel.variable64("sev_status").orElse(0) & 1) != 0;
    for (LogBuffer.Line line : kernel.log().kernelRecords()) {
      String text = line.text();
      boolean old = text.contains("Secure Memory Encryption (SME) active");
      boolean listed =
          text.contains("Memory Encryption Features active:") && text.matches(".*\\bSME\\b.*");
      boolean sev =
          text.contains("Secure Encrypted Virtualization (SEV) active")
              || (text.contains("Memory Encryption Features active:")
                  && text.matches(".*\\b(SEV|TDX)\\b.*"));
      if (old || listed || sev) {
        said = line;
        guest |= sev;
        reasons.add("the log says so");
        break;
      }
    }
    State state;
    if (guest) {
      state = State.SEV;
    } else if (mask != 0 || said != null) {
      state = State.SME;
    } else if (told.isPresent() || variable.isPresent()) {
      state = State.OFF;
    } else {
      state = State.UNKNOWN;
    }
    return new MemoryEncryption(state, mask, reasons, said);
  }
}
