package org.vmcheck.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The struct layouts of one real kernel, from a table of tab-separated lines: struct, its size,
/// member, byte offset, bit in that byte, bit size (0: no bit field), C type.
///
/// @param structs by name, in the table's order
public record LayoutTable(Map<String, Struct> structs) {

  /// @param byteCount size of the struct
  public record Struct(String name, int byteCount, List<Member> members) {}

  /// @param path through named members, such as `nr_slabs.counter`
  /// @param bits 0 for an ordinary member
  public record Member(String path, int offset, int bitInByte, int bits, String type) {}

  public static LayoutTable read(Path file) throws IOException {
    return parse(Files.readAllLines(file));
  }

  /// @param lines of such a table; empty ones and those that start with `#` are passed over
  public static LayoutTable parse(List<String> lines) {
    Map<String, Struct> structs = new LinkedHashMap<>();
    for (String line : lines) {
      if (line.isEmpty() || line.startsWith("#")) {
        continue;
      }
      String[] field = line.split("\t", -1);
      structs
          .computeIfAbsent(
              field[0], name -> new Struct(name, Integer.parseInt(field[1]), new ArrayList<>()))
          .members()
          .add(
              new Member(
                  field[2],
                  Integer.parseInt(field[3]),
                  Integer.parseInt(field[4]),
                  Integer.parseInt(field[5]),
                  field[6]));
    }
    return new LayoutTable(structs);
  }
}
