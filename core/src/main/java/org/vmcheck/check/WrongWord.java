package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.attribution.FlippedBit;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;

/// A word that other memory proves wrong, as a finding.
///
/// @param address of the word
/// @param value what it holds
/// @param right what it must hold; 0 if that cannot be told
/// @param claim one sentence
/// @param why what proves it, a sentence
/// @param otherwise the cause if it is no flipped bit
/// @param place what a fingerprint says of it: names, no addresses
record WrongWord(
    long address, long value, long right, String claim, String why, Cause otherwise, String place) {

  boolean isFlip() {
    return right != 0 && FlippedBit.isOne(value, right);
  }

  Cause cause() {
    return isFlip() ? Cause.BIT_FLIP : otherwise;
  }

  Finding finding(String check, Kernel kernel) {
    long physical = kernel.memory().physicalAddress(address);
    List<Evidence> evidence = new ArrayList<>();
    if (right != 0) {
      evidence.add(
          new Evidence.WordAt(
              address,
              physical,
              value,
              right,
              "the word at 0x%x is 0x%x and must be 0x%x: %s"
                  .formatted(address, value, right, FlippedBit.words(value, right, physical))));
    } else {
      evidence.add(
          new Evidence.WordAt(
              address,
              physical,
              value,
              value,
              "the word at 0x%x is 0x%x".formatted(address, value)));
    }
    evidence.add(HexWindow.around(kernel, address, 8, why));
    return new Finding(
        check,
        Layer.KERNEL,
        Severity.CORRUPT,
        cause(),
        claim,
        Subject.NONE.withAddress(address, physical).withWord(value, right == 0 ? value : right),
        evidence,
        List.of(),
        Fingerprint.of(check, cause(), place));
  }
}
