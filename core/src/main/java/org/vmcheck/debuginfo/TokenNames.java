package org.vmcheck.debuginfo;

import java.util.Arrays;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;

/// The names of kallsyms: each a record of a length and that many token codes; the first character
/// of the expanded text is the type letter.
///
/// Nothing is expanded before it is asked for: the hash of a name is put together from the hashes
/// of its tokens.
final class TokenNames implements NamePool {
  /// `KSYM_NAME_LEN` since 6.1, with the type letter.
  private static final int MAX_EXPANDED = 512;

  private static final String TYPE_LETTERS = "AaBbCcDdGgIiNnPpRrSsTtUuVvWw?-";

  private final Tokens tokens;
  private final byte[] names;

  /// Start of each record in `names`, its length first, and one past the last.
  private final int[] records;

  private final Lengths lengths;

  /// What a length of 128 or more means.
  enum Lengths {
    /// The first of two bytes, seven bits each (6.1 on).
    TWO_BYTES,
    /// Itself (before 6.1).
    ONE_BYTE
  }

  private TokenNames(Tokens tokens, byte[] names, int[] records, Lengths lengths) {
    this.tokens = tokens;
    this.names = names;
    this.records = records;
    this.lengths = lengths;
  }

  /// The 256 texts that codes stand for.
  static final class Tokens {
    private final byte[] table;
    private final int[] starts = new int[256];
    private final int[] ends = new int[256];
    private final int[] hashes = new int[256];
    private final int[] powers = new int[256];

    /// Hash of the text without its first character, which in a first token is the type letter.
    private final int[] tailHashes = new int[256];

    private final boolean[] beginsWithType = new boolean[256];
    private final int longest;

    /// @param tokenTable from `kallsyms_token_table` on; may be longer
    /// @param tokenIndex `kallsyms_token_index`
    Tokens(ByteView tokenTable, ByteView tokenIndex) throws MalformedFileException {
      table = tokenTable.bytes(0, (int) Math.min(tokenTable.size(), 1 << 16));
      int expected = 0;
      int most = 0;
      for (int i = 0; i < 256; i++) {
        int start = tokenIndex.u16(2L * i);
        int end = start;
        while (end < table.length && table[end] != 0) {
          end++;
        }
        if (end >= table.length || start != expected || end - start > MAX_EXPANDED) {
          throw tokenIndex.malformed(
              "kallsyms_token_index[" + i + "]",
              2L * i,
              expected + ", where a text of at most " + MAX_EXPANDED + " bytes starts",
              Integer.toString(start));
        }
        starts[i] = start;
        ends[i] = end;
        hashes[i] = NamePool.hash(table, start, end);
        powers[i] = 1;
        for (int j = start; j < end; j++) {
          powers[i] *= HASH_FACTOR;
        }
        if (end > start) {
          tailHashes[i] = NamePool.hash(table, start + 1, end);
          beginsWithType[i] = TYPE_LETTERS.indexOf(table[start]) >= 0;
        }
        most = Math.max(most, end - start);
        expected = end + 1;
      }
      longest = most;
    }
  }

  /// Walks all records and proves them, by the markers where these follow the names.
  ///
  /// @param view from `kallsyms_names` on; may be longer than the table
  static TokenNames read(Tokens tokens, ByteView view, int count) throws MalformedFileException {
    byte[] names = view.bytes(0, Math.toIntExact(view.size()));
    // A record takes two bytes at least: the count is no larger than the table can hold.
    if (count > names.length / 2) {
      throw view.malformed(
          "length", 0, "two bytes or more for each of " + count + " symbols", "" + names.length);
    }
    MalformedFileException refusal = null;
    for (Lengths lengths : Lengths.values()) {
      try {
        TokenNames read = new TokenNames(tokens, names, new int[count + 1], lengths);
        // Without a length of 128 or more both forms are one, and nothing is left to decide.
        if (!read.walk(view) || read.agreesWithMarkers()) {
          return read;
        }
        if (refusal == null) {
          refusal =
              view.malformed(
                  "kallsyms_markers",
                  read.end(),
                  "the position of every 256th name",
                  "other numbers");
        }
      } catch (MalformedFileException e) {
        refusal = refusal == null ? e : refusal;
      }
    }
    throw refusal;
  }

  /// Finds where each record starts; true if some have a length of 128 or more.
  private boolean walk(ByteView view) throws MalformedFileException {
    boolean hasLong = false;
    int safeLength = MAX_EXPANDED / Math.max(1, tokens.longest);
    for (int i = 0; i < count(); i++) {
      int record = records[i];
      int next = next(tokens, names, record, lengths, safeLength);
      if (next < 0) {
        throw malformed(tokens, view, names, i, record, lengths);
      }
      hasLong |= names[record] < 0;
      records[i + 1] = next;
    }
    return hasLong;
  }

  /// Where the record after this one starts; -1 if this one is not right.
  ///
  /// A method for one record, not a loop over all: it is compiled after a few hundred of them.
  private static int next(
      Tokens tokens, byte[] names, int record, Lengths lengths, int safeLength) {
    if (record >= names.length - 1) {
      return -1;
    }
    int at = record;
    int length = names[at++];
    if (length < 0) {
      length &= 0xff;
      if (lengths == Lengths.TWO_BYTES) {
        length = (length & 0x7f) | (names[at++] & 0xff) << 7;
      }
    }
    if (length == 0 || length > names.length - at || !tokens.beginsWithType[names[at] & 0xff]) {
      return -1;
    }
    if (length == 1 || length > safeLength) {
      int expanded = expandedLength(tokens, names, at, length);
      if (expanded < 2 || expanded > MAX_EXPANDED) {
        return -1;
      }
    }
    return at + length;
  }

  private static int expandedLength(Tokens tokens, byte[] names, int at, int length) {
    int expanded = 0;
    for (int i = 0; i < length && expanded <= MAX_EXPANDED; i++) {
      int token = names[at + i] & 0xff;
      expanded += tokens.ends[token] - tokens.starts[token];
    }
    return expanded;
  }

  private static MalformedFileException malformed(
      Tokens tokens, ByteView view, byte[] names, int index, int record, Lengths lengths) {
    String field = "kallsyms_names[" + index + "]";
    if (record >= names.length - 1) {
      return view.malformed(field, record, "a record", "the end of the table");
    }
    int at = record + 1;
    int length = names[record] & 0xff;
    if (length >= 0x80 && lengths == Lengths.TWO_BYTES) {
      length = (length & 0x7f) | (names[at++] & 0xff) << 7;
    }
    if (length == 0 || length > names.length - at) {
      return view.malformed(
          field + ".length", record, "1 to " + (names.length - at), Integer.toString(length));
    }
    if (!tokens.beginsWithType[names[at] & 0xff]) {
      return view.malformed(field, record, "a type letter first", "another character");
    }
    return view.malformed(
        field,
        record,
        "a type letter and a name of 1 to " + (MAX_EXPANDED - 1) + " bytes",
        expandedLength(tokens, names, at, length) < 2 ? "no name" : "a longer one");
  }

  /// Whether the table of markers, 4 or 8 bytes each and aligned to as much, follows the names and
  /// holds the position of every 256th.
  private boolean agreesWithMarkers() {
    for (int width = 4; width <= 8; width += 4) {
      for (int alignment = 4; alignment <= 8; alignment += 4) {
        if (agreesWithMarkers(end() + alignment - 1 & -alignment, width)) {
          return true;
        }
      }
    }
    return false;
  }

  private boolean agreesWithMarkers(int table, int width) {
    for (int i = 0; i < count(); i += 256) {
      int at = table + (i >> 8) * width;
      if (at > names.length - width) {
        return false;
      }
      for (int j = 0; j < width; j++) {
        int expected = j < 4 ? (records[i] >>> (8 * j)) & 0xff : 0;
        if ((names[at + j] & 0xff) != expected) {
          return false;
        }
      }
    }
    return true;
  }

  /// Whether the markers start at `table` of the names' bytes, after nothing but padding.
  boolean isFollowedByMarkers(int table, int width) {
    if (table < end() || table - end() > 7) {
      return false;
    }
    for (int at = end(); at < table; at++) {
      if (names[at] != 0) {
        return false;
      }
    }
    return agreesWithMarkers(table, width);
  }

  /// Bytes that the records take.
  int end() {
    return records[count()];
  }

  @Override
  public int count() {
    return records.length - 1;
  }

  private int firstToken(int index) {
    int at = records[index];
    return names[at] < 0 && lengths == Lengths.TWO_BYTES ? at + 2 : at + 1;
  }

  @Override
  public int hash(int index) {
    int[] hashes = tokens.hashes;
    int[] powers = tokens.powers;
    int at = firstToken(index);
    int end = records[index + 1];
    int hash = tokens.tailHashes[names[at] & 0xff];
    while (++at < end) {
      int token = names[at] & 0xff;
      hash = hash * powers[token] + hashes[token];
    }
    return hash;
  }

  @Override
  public boolean isEqual(int index, byte[] name) {
    int done = 0;
    int first = firstToken(index);
    for (int at = first; at < records[index + 1]; at++) {
      int token = names[at] & 0xff;
      int start = at == first ? tokens.starts[token] + 1 : tokens.starts[token];
      int length = tokens.ends[token] - start;
      if (length > name.length - done
          || !Arrays.equals(tokens.table, start, tokens.ends[token], name, done, done + length)) {
        return false;
      }
      done += length;
    }
    return done == name.length;
  }

  @Override
  public byte[] name(int index) {
    byte[] expanded = new byte[MAX_EXPANDED];
    int done = 0;
    int first = firstToken(index);
    for (int at = first; at < records[index + 1]; at++) {
      int token = names[at] & 0xff;
      int start = at == first ? tokens.starts[token] + 1 : tokens.starts[token];
      int length = tokens.ends[token] - start;
      System.arraycopy(tokens.table, start, expanded, done, length);
      done += length;
    }
    return Arrays.copyOf(expanded, done);
  }

  @Override
  public char type(int index) {
    return (char) (tokens.table[tokens.starts[names[firstToken(index)] & 0xff]] & 0xff);
  }
}
