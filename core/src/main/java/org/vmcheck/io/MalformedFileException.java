package org.vmcheck.io;

import java.io.IOException;

/// A file that breaks the rules of its own format, met while it is being opened.
///
/// The message names the file, the field, the offset, what was expected and what is there; it is
/// ready to be shown to a user once its control characters are escaped.
public final class MalformedFileException extends IOException {
  private static final long serialVersionUID = 1L;

  public MalformedFileException(String message) {
    super(message);
  }

  /// Names one field that holds what it must not.
  ///
  /// @param file name of the file or of the part of it that was read
  /// @param field the field by its name in the format's own header, for example
  ///   `disk_dump_header.block_size`
  /// @param fileOffset byte offset of the field in that file
  public static MalformedFileException field(
      String file, String field, long fileOffset, String expected, String actual) {
    return new MalformedFileException(
        "[%s] %s at 0x%x: expected %s, got %s"
            .formatted(file, field, fileOffset, expected, actual));
  }
}
