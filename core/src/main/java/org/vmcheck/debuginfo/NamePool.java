package org.vmcheck.debuginfo;

/// The names of a symbol table in the form in which the table has them: of a hundred thousand names
/// a run asks for a few dozen, so they are neither expanded nor copied before.
interface NamePool {
  int HASH_FACTOR = 31;

  int count();

  /// The polynomial of the name's bytes, the first with the highest power of [#HASH_FACTOR].
  int hash(int index);

  boolean isEqual(int index, byte[] name);

  byte[] name(int index);

  /// The letter of nm.
  char type(int index);

  static int hash(byte[] bytes, int from, int to) {
    int hash = 0;
    for (int i = from; i < to; i++) {
      hash = HASH_FACTOR * hash + bytes[i];
    }
    return hash;
  }
}
