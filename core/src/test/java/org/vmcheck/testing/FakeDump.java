package org.vmcheck.testing;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;

/// A dump that lies in memory: what a format's reader would give, without a file.
///
/// @param stored pages that the dump holds
record FakeDump(PhysicalMemory memory, String vmcoreinfoText, long total, long stored)
    implements Dump {
  @Override
  public Path path() {
    return Path.of("fake.vmcore");
  }

  @Override
  public long fileBytes() {
    return stored * memory.pageSize();
  }

  @Override
  public Container container() {
    return new Container(
        "memory",
        0,
        false,
        List.of(),
        31,
        true,
        false,
        "x86_64",
        "",
        false,
        new Container.Pages(total, stored, total - stored, 0),
        List.of());
  }

  @Override
  public List<ElfNote> notes() {
    return List.of();
  }

  @Override
  public Optional<Vmcoreinfo> vmcoreinfo() {
    return vmcoreinfoText.isEmpty()
        ? Optional.empty()
        : Optional.of(Vmcoreinfo.parse(vmcoreinfoText));
  }

  @Override
  public String eraseinfo() {
    return "";
  }

  /// There are no tables that could disagree.
  @Override
  public ContainerAudit audit() {
    return new ContainerAudit(
        new ContainerAudit.Pages(total, stored, total - stored, Map.of()),
        new TreeMap<>(Map.of("raw", stored)),
        0,
        List.of(),
        0,
        List.of(),
        List.of());
  }

  @Override
  public void close() {}
}
