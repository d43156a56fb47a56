package org.vmcheck.cli;

import java.util.List;
import java.util.Map;

/// What the manual pages say beside what the commands say of themselves: examples, files, variables
/// of the environment, and the marks of a report.
final class ManText {
  /// @param words as typed behind `vmcheck`
  /// @param what it does
  record Example(String words, String what) {}

  /// @param name of a file or a variable, or a mark
  /// @param what it is for
  record Entry(String name, String what) {}

  private static final String DUMP = "/var/crash/web7/vmcore";

  /// By the command's name as its page has it.
  private static final Map<String, List<Example>> EXAMPLES =
      Map.ofEntries(
          Map.entry(
              "vmcheck",
              List.of(
                  new Example(DUMP, "Is the kernel corrupt, or the dump at fault?"),
                  new Example(
                      "explain slab.freelist", "What a check asks, and how it can mislead."))),
          Map.entry(
              "vmcheck-check",
              List.of(
                  new Example("check " + DUMP, "The verdict with its evidence."),
                  new Example(
                      "check --format json --deadline 5m " + DUMP, "As JSON, in five minutes."),
                  new Example("check --format html -o report.html " + DUMP, "As one HTML file."))),
          Map.entry(
              "vmcheck-info", List.of(new Example("info " + DUMP, "What the dump is, at once."))),
          Map.entry(
              "vmcheck-bt",
              List.of(
                  new Example("bt " + DUMP, "The stack of the task that panicked."),
                  new Example("bt --cpus " + DUMP, "What each CPU was doing."))),
          Map.entry(
              "vmcheck-tasks", List.of(new Example("tasks " + DUMP, "The tasks and their state."))),
          Map.entry(
              "vmcheck-slabs",
              List.of(
                  new Example("slabs --sort memory --top 10 " + DUMP, "Which caches are largest."),
                  new Example("slabs --objects " + DUMP + " kmalloc-64", "Each object of one."))),
          Map.entry(
              "vmcheck-object",
              List.of(
                  new Example(
                      "object " + DUMP + " 0xffff92c00cb13800",
                      "Whose the object is, and its bytes."))),
          Map.entry(
              "vmcheck-word",
              List.of(new Example("word " + DUMP + " 0xdead000000000122", "What a value can be."))),
          Map.entry(
              "vmcheck-refs",
              List.of(new Example("refs " + DUMP + " init_task", "Who in memory leads to it."))),
          Map.entry(
              "vmcheck-find",
              List.of(
                  new Example("find " + DUMP + " 'GET /index'", "Where a text lies."),
                  new Example(
                      "find --mask 0xffffffff00000000 " + DUMP + " 0xdead000000000000",
                      "Words of which half is known."))),
          Map.entry(
              "vmcheck-leaks",
              List.of(new Example("leaks --top 5 " + DUMP, "The caches that lose most."))),
          Map.entry(
              "vmcheck-dmesg",
              List.of(new Example("dmesg --unhash " + DUMP, "The log, with %p turned back."))),
          Map.entry(
              "vmcheck-read",
              List.of(
                  new Example(
                      "read --annotate " + DUMP + " init_task 128", "Words, and what each is."),
                  new Example(
                      "read --phys " + DUMP + " 0x1000 4K", "A page by its physical address."))),
          Map.entry(
              "vmcheck-map",
              List.of(new Example("map --all -o memory.svg " + DUMP, "All memory as a picture."))),
          Map.entry(
              "vmcheck-scan",
              List.of(
                  new Example("scan /var/crash --catalogue crashes.sqlite", "Check an archive."))),
          Map.entry(
              "vmcheck-catalogue",
              List.of(
                  new Example(
                      "catalogue list --catalogue crashes.sqlite", "What lies in an archive."))),
          Map.entry(
              "vmcheck-catalogue-hardware",
              List.of(
                  new Example(
                      "catalogue hardware --catalogue crashes.sqlite --host web7",
                      "Is the memory of that host bad?"))),
          Map.entry(
              "vmcheck-catalogue-groups",
              List.of(
                  new Example(
                      "catalogue groups --catalogue crashes.sqlite --by damage",
                      "Which crashes are the same."))),
          Map.entry(
              "vmcheck-compare",
              List.of(
                  new Example(
                      "compare before.vmcore after.vmcore --policy kernel-upgrade",
                      "Did anything get worse?"))),
          Map.entry(
              "vmcheck-evidence",
              List.of(
                  new Example(
                      "evidence " + DUMP + " -o evidence.zip --redact",
                      "A bundle to give away, without names and contents."))),
          Map.entry(
              "vmcheck-verify",
              List.of(
                  new Example(
                      "verify --trust signers.pem evidence.zip", "Who signed it, unchanged?"))),
          Map.entry(
              "vmcheck-schema",
              List.of(new Example("schema report", "What check --format json prints."))),
          Map.entry(
              "vmcheck-doctor",
              List.of(new Example("doctor", "What this machine lacks, and what to do."))),
          Map.entry(
              "vmcheck-explain",
              List.of(new Example("explain bit-flip", "What a cause means, and what to do."))));

  private static final List<Entry> FILES =
      List.of(
          new Entry(
              "/usr/lib/debug", "Where debug files are looked for behind the given directories."),
          new Entry(
              "~/.cache/debuginfod_client", "Debug files that debuginfod has fetched; only read."),
          new Entry(
              "~/.local/state/vmcheck/catalogue.sqlite",
              "The catalogue of scan and catalogue where none is named."),
          new Entry("~/.pgpass", "The password of a catalogue in PostgreSQL, as psql has it."));

  private static final List<Entry> ENVIRONMENT =
      List.of(
          new Entry("NO_COLOR", "If it is set, no colours, as --color=never."),
          new Entry("TERM", "dumb: no colours and no line of progress."),
          new Entry(
              "DEBUGINFOD_CACHE_PATH, XDG_CACHE_HOME", "Where debuginfod keeps what it fetched."),
          new Entry("XDG_STATE_HOME", "Where the catalogue lies if none is named."),
          new Entry("PGUSER, PGPASSWORD, PGPASSFILE", "Who asks for a catalogue in PostgreSQL."),
          new Entry("JAVA_HOME", "The Java that the launcher tries first, where it brings none."));

  /// How lines of a report begin.
  private static final List<Entry> MARKS =
      List.of(
          new Entry("+", "evidence for the cause: facts of this dump"),
          new Entry("- against:", "facts that do not fit; read them before you act"),
          new Entry("=", "what the cause means"),
          new Entry(">", "what to do next"),
          new Entry("$", "a command to paste; the same for crash and drgn behind it"),
          new Entry("origin", "hardware or software, from all findings together"),
          new Entry("note:", "worth knowing; it changes no verdict"));

  private ManText() {}

  static List<Example> examples(String page) {
    return EXAMPLES.getOrDefault(page, List.of());
  }

  /// Pages that have examples.
  static List<String> pages() {
    return EXAMPLES.keySet().stream().sorted().toList();
  }

  static List<Entry> files() {
    return FILES;
  }

  static List<Entry> environment() {
    return ENVIRONMENT;
  }

  static List<Entry> marks() {
    return MARKS;
  }
}
