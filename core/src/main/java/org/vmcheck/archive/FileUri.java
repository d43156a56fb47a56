package org.vmcheck.archive;

import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Path;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Sha256;

/// Where a file lies, exactly and in ASCII: an absolute `file:` URI. A name may hold bytes that are
/// text in no charset, and must be found again by the next scan, whatever its locale.
///
/// @param uri every byte that is not plain stands as `%NN`
public record FileUri(String uri) implements Comparable<FileUri> {
  public static FileUri of(Path path) {
    Path absolute = path.toAbsolutePath();
    String text = absolute.toString();
    // Plain names, nearly all, need no help of the file system.
    return new FileUri("file://" + (isPlain(text) ? text : encoded(absolute.normalize().toUri())));
  }

  private static boolean isPlain(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (!isPlain(text.charAt(i))) {
        return false;
      }
    }
    return !text.contains("/.") && !text.endsWith("/");
  }

  private static boolean isPlain(char c) {
    return (c >= 'a' && c <= 'z')
        || (c >= 'A' && c <= 'Z')
        || (c >= '0' && c <= '9')
        || "/-._~:+,=@".indexOf(c) >= 0;
  }

  /// The path of the URI, which holds the name's bytes as they are, in one spelling.
  private static String encoded(URI uri) {
    String path = uri.getRawPath();
    StringBuilder encoded = new StringBuilder(path.length() + 16);
    for (int i = 0; i < path.length(); i++) {
      char c = path.charAt(i);
      int value = c;
      if (c == '%') {
        value = digits(path, i + 1);
        i += 2;
      }
      if (value < 0x80 && isPlain((char) value)) {
        encoded.append((char) value);
      } else {
        encoded.append("%%%02X".formatted(value));
      }
    }
    // The JDK ends the URI of a directory with a slash.
    int length = encoded.length();
    return length > 1 && encoded.charAt(length - 1) == '/'
        ? encoded.substring(0, length - 1)
        : encoded.toString();
  }

  /// @throws MalformedFileException if a catalogue holds what is no location
  public Path path() throws MalformedFileException {
    try {
      return Path.of(new URI(uri));
    } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException _) {
      throw new MalformedFileException("[catalogue] no location of a file: " + uri);
    }
  }

  /// The path for people: bytes that are not printable ASCII stand as `\xNN`.
  public String words() {
    String rest = uri.startsWith("file://") ? uri.substring(7) : uri;
    if (rest.indexOf('%') < 0) {
      return rest;
    }
    StringBuilder words = new StringBuilder(rest.length());
    for (int i = 0; i < rest.length(); i++) {
      char c = rest.charAt(i);
      int value = c == '%' && i + 2 < rest.length() ? digits(rest, i + 1) : -1;
      if (value < 0) {
        words.append(c);
        continue;
      }
      i += 2;
      if (value >= 0x20 && value < 0x7f) {
        words.append((char) value);
      } else {
        words.append("\\x%02x".formatted(value));
      }
    }
    return words.toString();
  }

  private static int digits(String text, int at) {
    int high = Character.digit(text.charAt(at), 16);
    int low = Character.digit(text.charAt(at + 1), 16);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }

  /// Which of `count` shards this location belongs to, from 0; the same on every machine.
  int shard(int count) {
    long number = 0;
    byte[] hash = Sha256.of(uri);
    for (int i = 0; i < 8; i++) {
      number = number << 8 | (hash[i] & 0xff);
    }
    return (int) Long.remainderUnsigned(number, count);
  }

  /// Whether this lies in, or is, a directory.
  boolean isUnder(FileUri directory) {
    return uri.equals(directory.uri) || uri.startsWith(directory.uri + "/");
  }

  @Override
  public int compareTo(FileUri other) {
    return uri.compareTo(other.uri);
  }
}
