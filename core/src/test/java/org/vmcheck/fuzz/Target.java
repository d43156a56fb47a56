package org.vmcheck.fuzz;

import java.io.IOException;
import java.util.List;

/// One reader and what it is fed with.
///
/// @param name letters, digits and hyphens
/// @param seeds inputs that the reader knows, for a start; made when they are asked for
public record Target(String name, Seeds seeds, Reader reader) {
  /// What a search starts from.
  @FunctionalInterface
  public interface Seeds {
    /// The inputs, at least one.
    List<byte[]> make() throws Exception;
  }

  /// What is fed.
  @FunctionalInterface
  public interface Reader {
    /// @throws IOException and every other checked exception: the input was refused, as declared
    void read(byte[] input) throws Exception;
  }

  @Override
  public String toString() {
    return name;
  }
}
