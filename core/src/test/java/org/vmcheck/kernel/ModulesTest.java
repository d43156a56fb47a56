package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.TestData;

class ModulesTest {
  @Test
  void modulesTellTheirSymbolsAndTypes() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      Modules modules = kernel.modules();

      assertThat(modules.isWhole()).isTrue();
      assertThat(modules.all()).isNotEmpty();
      for (Modules.Module module : modules.all()) {
        Symbols symbols = modules.symbols(module).orElseThrow();
        // A module's own symbol for its `struct module` proves both.
        assertThat(symbols.address("__this_module")).as(module.name()).hasValue(module.vaddr());
        assertThat(kernel.describe(module.vaddr()))
            .isEqualTo("__this_module [" + module.name() + "]");
        assertThat(modules.at(module.vaddr())).contains(module);
        Optional<Types> types = modules.types(module);
        // The lab's own module was built without types.
        assertThat(types.isPresent()).isEqualTo(!module.name().equals("vmcheck_lab"));
        if (types.isPresent()) {
          StructLayout list = types.get().struct("list_head").orElseThrow();
          assertThat(list.size()).as("of the kernel").isEqualTo(16);
          assertThat(((BtfTypes) types.get()).typeCount())
              .isGreaterThan(((BtfTypes) kernel.types().orElseThrow()).typeCount());
        }
      }
      assertThat(kernel.hasShuffledStructs()).isFalse();
    }
  }
}
