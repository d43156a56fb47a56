package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/// The command line is wiring and text: it asks the library's entries and looks at no memory.
class CommandLayersTest {
  private static final String BASE = "org.vmcheck.";

  private static final Set<String> MAY_USE =
      Set.of("cli", "analysis", "archive", "evidence", "report", "json", "finding", "io");

  @Test
  void commandsUseOnlyTheLibrarysEntries() {
    Set<String> offences = new TreeSet<>();
    for (JavaClass user :
        new ClassFileImporter()
            .importUrl(Main.class.getProtectionDomain().getCodeSource().getLocation())) {
      for (Dependency dependency : user.getDirectDependenciesFromSelf()) {
        String used = dependency.getTargetClass().getPackageName();
        if (used.startsWith(BASE) && !MAY_USE.contains(used.substring(BASE.length()))) {
          offences.add(dependency.getDescription());
        }
      }
    }
    assertThat(offences).isEmpty();
  }
}
