package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.vmcheck.dump.Dump;

/// The import list of the house: who may use whom. It is written nowhere else.
class LayersTest {
  private static final String BASE = "org.vmcheck.";

  /// Package, and the packages that it may import besides itself.
  private static final Map<String, Set<String>> MAY_USE =
      Map.ofEntries(
          Map.entry("io", Set.of()),
          Map.entry("finding", Set.of()),
          Map.entry("codec", Set.of("io")),
          Map.entry("elf", Set.of("io")),
          Map.entry("dump", Set.of("io", "codec", "elf")),
          // `codec` for the LZO blocks of a vmlinuz.
          Map.entry("debuginfo", Set.of("io", "codec", "elf")),
          Map.entry("memory", Set.of("io", "dump")),
          Map.entry("arch", Set.of("io", "elf", "dump", "memory", "debuginfo")),
          // `elf` for the segments and notes that a Dump hands out, `finding` for the records that
          // a view of the kernel fills (log lines, slab usage).
          Map.entry(
              "kernel", Set.of("io", "elf", "dump", "memory", "debuginfo", "arch", "finding")),
          Map.entry(
              "search",
              Set.of("io", "elf", "dump", "memory", "debuginfo", "arch", "kernel", "finding")),
          Map.entry("page", Set.of("io", "dump", "memory", "debuginfo", "arch", "kernel")),
          Map.entry(
              "slab",
              Set.of("io", "dump", "memory", "debuginfo", "arch", "kernel", "page", "finding")),
          Map.entry(
              "object", Set.of("io", "dump", "memory", "debuginfo", "kernel", "page", "slab")),
          Map.entry(
              "task",
              Set.of("io", "elf", "dump", "memory", "debuginfo", "arch", "kernel", "finding")),
          Map.entry(
              "anchors", Set.of("io", "dump", "memory", "debuginfo", "arch", "kernel", "finding")),
          Map.entry(
              "image", Set.of("io", "dump", "memory", "debuginfo", "arch", "kernel", "finding")),
          Map.entry(
              "lowmem",
              Set.of(
                  "io",
                  "dump",
                  "memory",
                  "debuginfo",
                  "arch",
                  "kernel",
                  "page",
                  "slab",
                  "finding")),
          Map.entry(
              "attribution",
              Set.of(
                  "io",
                  "dump",
                  "memory",
                  "debuginfo",
                  "arch",
                  "kernel",
                  "page",
                  "slab",
                  "lowmem",
                  "finding")),
          Map.entry(
              "check",
              Set.of(
                  "io",
                  "elf",
                  "dump",
                  "memory",
                  "debuginfo",
                  "arch",
                  "kernel",
                  "search",
                  "page",
                  "slab",
                  "object",
                  "anchors",
                  "image",
                  "task",
                  "lowmem",
                  "attribution",
                  "finding")),
          Map.entry(
              "desk",
              Set.of(
                  "io",
                  "dump",
                  "memory",
                  "debuginfo",
                  "arch",
                  "kernel",
                  "page",
                  "slab",
                  "object",
                  "task",
                  "finding")),
          Map.entry(
              "analysis",
              Set.of(
                  "io",
                  "desk",
                  "codec",
                  "elf",
                  "dump",
                  "memory",
                  "debuginfo",
                  "arch",
                  "kernel",
                  "search",
                  "page",
                  "slab",
                  "task",
                  "lowmem",
                  "attribution",
                  "check",
                  "finding")),
          // `io` in the renderers for one thing: escaping what came from a dump (Printable).
          Map.entry("json", Set.of("io", "finding")),
          Map.entry("archive", Set.of("io", "dump", "analysis", "json", "finding")),
          Map.entry("report", Set.of("io", "json", "archive", "finding")),
          Map.entry("evidence", Set.of("io", "dump", "analysis", "json", "report", "finding")));

  /// The library's own classes, without the tests'.
  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .importUrl(Dump.class.getProtectionDomain().getCodeSource().getLocation());

  @Test
  void packagesUseOnlyWhatTheListAllows() {
    Set<String> offences = new TreeSet<>();
    for (JavaClass user : CLASSES) {
      String from = layer(user);
      for (Dependency dependency : user.getDirectDependenciesFromSelf()) {
        JavaClass used = dependency.getTargetClass();
        if (!used.getPackageName().startsWith(BASE)) {
          continue;
        }
        String to = layer(used);
        if (!to.equals(from) && !MAY_USE.getOrDefault(from, Set.of()).contains(to)) {
          offences.add(from + " -> " + to + ": " + dependency.getDescription());
        }
      }
    }
    assertThat(offences).isEmpty();
  }

  @Test
  void everyPackageIsInTheList() {
    Set<String> unknown = new TreeSet<>();
    for (JavaClass type : CLASSES) {
      if (!MAY_USE.containsKey(layer(type))) {
        unknown.add(type.getName());
      }
    }
    assertThat(unknown).isEmpty();
  }

  @Test
  void theLibraryNeitherPrintsNorExits() {
    List<String> offences = new ArrayList<>();
    for (JavaClass type : CLASSES) {
      type.getFieldAccessesFromSelf().stream()
          .filter(access -> access.getTargetOwner().isEquivalentTo(System.class))
          .forEach(access -> offences.add(access.getDescription()));
      type.getMethodCallsFromSelf().stream()
          .filter(
              call ->
                  call.getTargetOwner().isEquivalentTo(System.class)
                      && call.getName().equals("exit"))
          .forEach(call -> offences.add(call.getDescription()));
    }
    assertThat(offences).isEmpty();
  }

  /// A sub-package is a room of its own, with its own line.
  private static String layer(JavaClass type) {
    String name = type.getPackageName();
    return name.startsWith(BASE) ? name.substring(BASE.length()) : name;
  }
}
