package org.vmcheck.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// The list of commands, in the order of `vmcheck --help`: adding one takes its file, a line here
/// and the line of [#make] without which this does not compile.
///
/// An enum, so that a start makes, and loads the class of, the one command that it is given.
enum Commands {
  CHECK(Group.ONE_DUMP),
  INFO(Group.ONE_DUMP),
  EXPLAIN(Group.ONE_DUMP),
  MAP(Group.ONE_DUMP),
  BT(Group.RUNNING),
  TASKS(Group.RUNNING),
  DMESG(Group.RUNNING),
  WORD(Group.MEMORY),
  OBJECT(Group.MEMORY),
  REFS(Group.MEMORY),
  FIND(Group.MEMORY),
  SLABS(Group.MEMORY),
  LEAKS(Group.MEMORY),
  READ(Group.MEMORY),
  SCAN(Group.MANY_DUMPS),
  CATALOGUE(Group.MANY_DUMPS),
  COMPARE(Group.MANY_DUMPS),
  EVIDENCE(Group.EVIDENCE),
  VERIFY(Group.EVIDENCE),
  SCHEMA(Group.EVIDENCE),
  DOCTOR(Group.EVIDENCE);

  /// Under which heading a command stands.
  enum Group {
    ONE_DUMP("One dump"),
    RUNNING("What was running"),
    MEMORY("Memory"),
    MANY_DUMPS("Many dumps"),
    EVIDENCE("Evidence, schemas and this machine");

    private final String heading;

    Group(String heading) {
      this.heading = heading;
    }

    String heading() {
      return heading;
    }

    List<Commands> commands() {
      List<Commands> commands = new ArrayList<>();
      for (Commands command : Commands.values()) {
        if (command.group == this) {
          commands.add(command);
        }
      }
      return commands;
    }
  }

  private final Group group;

  Commands(Group group) {
    this.group = group;
  }

  /// As it is typed.
  String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  static Optional<Commands> byWord(String word) {
    for (Commands command : values()) {
      if (command.word().equals(word)) {
        return Optional.of(command);
      }
    }
    return Optional.empty();
  }

  /// The object that picocli reads and runs.
  Object make() {
    return switch (this) {
      case CHECK -> new CheckCommand();
      case INFO -> new InfoCommand();
      case EXPLAIN -> new ExplainCommand();
      case MAP -> new MapCommand();
      case BT -> new BtCommand();
      case TASKS -> new TasksCommand();
      case DMESG -> new DmesgCommand();
      case WORD -> new WordCommand();
      case OBJECT -> new ObjectCommand();
      case REFS -> new RefsCommand();
      case FIND -> new FindCommand();
      case SLABS -> new SlabsCommand();
      case LEAKS -> new LeaksCommand();
      case READ -> new ReadCommand();
      case SCAN -> new ScanCommand();
      case CATALOGUE -> new CatalogueCommand();
      case COMPARE -> new CompareCommand();
      case EVIDENCE -> new EvidenceCommand();
      case VERIFY -> new VerifyCommand();
      case SCHEMA -> new SchemaCommand();
      case DOCTOR -> new DoctorCommand();
    };
  }
}
