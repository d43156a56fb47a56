package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.vmcheck.analysis.Explanations;
import org.vmcheck.archive.Policy.Accepted;
import org.vmcheck.archive.Policy.Growth;
import org.vmcheck.archive.Policy.Rule;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// Reads a policy from YAML. A key that is not known, or a value that does not fit, is an error
/// that names its line: a policy that is not understood whole must not pass anything.
public final class PolicyReader {
  /// The policies that come with the program, by name.
  public static final List<String> READY = List.of("kernel-upgrade");

  private static final int MAX_BYTES = 1 << 20;
  private static final int MAX_DEPTH = 32;

  private final String file;

  private PolicyReader(String file) {
    this.file = file;
  }

  /// Reads the ready policy of this name, else the file.
  ///
  /// @throws MalformedFileException if it is no policy, with file and line
  public static Policy read(String nameOrFile) throws IOException {
    if (READY.contains(nameOrFile)) {
      return read(nameOrFile, text(nameOrFile));
    }
    Path path = Path.of(nameOrFile);
    if (Files.size(path) > MAX_BYTES) {
      throw new MalformedFileException(
          "[%s] a policy has at most %d bytes, this file %d"
              .formatted(path, MAX_BYTES, Files.size(path)));
    }
    try {
      return read(path.toString(), Files.readString(path));
    } catch (CharacterCodingException _) {
      throw new MalformedFileException("[" + path + "] not UTF-8");
    }
  }

  /// The text of a ready policy, to be changed and used as a file.
  public static String text(String ready) throws IOException {
    try (InputStream in = PolicyReader.class.getResourceAsStream(ready + ".policy.yaml")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  static Policy read(String file, String text) throws MalformedFileException {
    PolicyReader reader = new PolicyReader(file);
    try {
      LoadSettings settings =
          LoadSettings.builder()
              .setLabel(file)
              .setAllowDuplicateKeys(false)
              .setMaxAliasesForCollections(0)
              .setCodePointLimit(MAX_BYTES)
              .build();
      reader.requireFlat(settings, text);
      Node root =
          new Compose(settings)
              .composeString(text)
              .orElseThrow(() -> new MalformedFileException("[" + file + "] an empty policy"));
      return reader.policy(root);
    } catch (MarkedYamlEngineException broken) {
      throw reader.wrong(
          broken.getProblemMark(), "not YAML: " + Printable.of(broken.getProblem(), 200));
    } catch (YamlEngineException broken) {
      throw new MalformedFileException(
          "[%s] not YAML: %s"
              .formatted(file, Printable.of(String.valueOf(broken.getMessage()), 200)));
    }
  }

  /// Refuses what nests deeper than any policy: what builds the nodes calls itself for each level.
  private void requireFlat(LoadSettings settings, String text) throws MalformedFileException {
    int depth = 0;
    for (Event event : new Parse(settings).parseString(text)) {
      switch (event.getEventId()) {
        case SequenceStart, MappingStart -> depth++;
        case SequenceEnd, MappingEnd -> depth--;
        default -> {}
      }
      if (depth > MAX_DEPTH) {
        throw wrong(
            event.getStartMark(), "expected at most " + MAX_DEPTH + " levels of nesting, got more");
      }
    }
  }

  private Policy policy(Node root) throws MalformedFileException {
    Map<String, Node> keys =
        keys(
            root,
            Set.of(
                "name", "must-pass", "may-skip", "fail-on", "forbidden-taint", "growth", "accept"));
    Set<Rule> failOn = Policy.DEFAULT.failOn();
    if (keys.containsKey("fail-on")) {
      failOn = new HashSet<>();
      for (Node node : list(keys.get("fail-on"))) {
        failOn.add(
            Rule.of(string(node))
                .orElseThrow(
                    () ->
                        wrong(
                            node,
                            "expected one of " + ComparisonRule.rules() + ", got " + word(node))));
      }
    }
    return new Policy(
        keys.containsKey("name") ? string(keys.get("name")) : file,
        checks(keys.get("must-pass")),
        checks(keys.get("may-skip")),
        failOn,
        taint(keys.get("forbidden-taint")),
        growth(keys.get("growth")),
        accepted(keys.get("accept")));
  }

  private List<String> checks(Node node) throws MalformedFileException {
    List<String> ids = new ArrayList<>();
    for (Node element : node == null ? List.<Node>of() : list(node)) {
      String id = string(element);
      if (!Explanations.isCheck(id)) {
        throw wrong(
            element, "expected the id of a check (see 'vmcheck explain'), got " + word(element));
      }
      ids.add(id);
    }
    return ids;
  }

  private String taint(Node node) throws MalformedFileException {
    String letters = node == null ? "" : string(node);
    if (!letters.matches("[A-Z]*")) {
      throw wrong(node, "expected taint letters such as BM, got " + word(node));
    }
    return letters;
  }

  private Growth growth(Node node) throws MalformedFileException {
    if (node == null) {
      return Growth.DEFAULT;
    }
    Map<String, Node> keys = keys(node, Set.of("min-bytes", "factor", "min-in-use"));
    return new Growth(
        (long) number(keys.get("min-bytes"), (double) Growth.DEFAULT.minBytes(), 0, 0x1p50),
        number(keys.get("factor"), Growth.DEFAULT.factor(), 1, 1e9),
        number(keys.get("min-in-use"), Growth.DEFAULT.minInUse(), 0, 1));
  }

  private double number(Node node, double ifAbsent, double least, double most)
      throws MalformedFileException {
    if (node == null) {
      return ifAbsent;
    }
    try {
      double value = Double.parseDouble(string(node));
      if (value >= least && value <= most) {
        return value;
      }
    } catch (NumberFormatException _) {
      // Said below.
    }
    throw wrong(
        node, "expected a number from %.0f to %.0f, got %s".formatted(least, most, word(node)));
  }

  private List<Accepted> accepted(Node node) throws MalformedFileException {
    List<Accepted> accepted = new ArrayList<>();
    for (Node element : node == null ? List.<Node>of() : list(node)) {
      Map<String, Node> keys = keys(element, Set.of("fingerprint", "reason", "expires"));
      for (String key : List.of("fingerprint", "reason", "expires")) {
        if (!keys.containsKey(key) || string(keys.get(key)).isBlank()) {
          throw wrong(element, "an accepted finding needs '" + key + "'");
        }
      }
      Node expires = keys.get("expires");
      try {
        accepted.add(
            new Accepted(
                string(keys.get("fingerprint")),
                string(keys.get("reason")),
                LocalDate.parse(string(expires))));
      } catch (DateTimeException _) {
        throw wrong(expires, "expected a day such as 2027-01-31, got " + word(expires));
      }
    }
    return accepted;
  }

  private Map<String, Node> keys(Node node, Set<String> known) throws MalformedFileException {
    if (!(node instanceof MappingNode mapping)) {
      throw wrong(node, "expected keys and values");
    }
    Map<String, Node> keys = new HashMap<>();
    for (NodeTuple tuple : mapping.getValue()) {
      String key = string(tuple.getKeyNode());
      if (!known.contains(key)) {
        throw wrong(
            tuple.getKeyNode(),
            "unknown key '%s'; known are %s"
                .formatted(
                    Printable.of(key, 80), String.join(", ", known.stream().sorted().toList())));
      }
      if (keys.put(key, tuple.getValueNode()) != null) {
        throw wrong(tuple.getKeyNode(), "the key '" + key + "' is there twice");
      }
    }
    return keys;
  }

  private List<Node> list(Node node) throws MalformedFileException {
    if (node instanceof SequenceNode sequence) {
      return sequence.getValue();
    }
    throw wrong(node, "expected a list");
  }

  private String string(Node node) throws MalformedFileException {
    if (node instanceof ScalarNode scalar) {
      return scalar.getValue();
    }
    throw wrong(node, "expected one word or number");
  }

  private static String word(Node node) {
    return node instanceof ScalarNode scalar
        ? "'" + Printable.of(scalar.getValue(), 80) + "'"
        : "something else";
  }

  private MalformedFileException wrong(Node node, String what) {
    return wrong(node.getStartMark(), what);
  }

  private MalformedFileException wrong(Optional<Mark> mark, String what) {
    return new MalformedFileException(
        "[%s] line %s: %s"
            .formatted(file, mark.map(at -> Integer.toString(at.getLine() + 1)).orElse("?"), what));
  }
}
