package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;

/// The structures of sheaves (6.18 on; Linux 2d517aa09bbc "slab: add opt-in caching layer of percpu
/// sheaves").
///
/// @param perCpu `slub_percpu_sheaves`
/// @param sheaf `slab_sheaf`
/// @param objectsAt offset of its array of object pointers
/// @param barn `node_barn`
public record SheafLayout(
    StructLayout perCpu, StructLayout sheaf, int objectsAt, StructLayout barn) {

  /// Empty for a kernel without sheaves, or one whose structures are not all known.
  static Optional<SheafLayout> of(Kernel kernel, StructLayout cache) {
    Optional<StructLayout> sheaf = kernel.struct("slab_sheaf", "size", "objects", "cache");
    Optional<StructLayout> perCpu = kernel.struct("slub_percpu_sheaves", "main");
    Optional<StructLayout> barn = kernel.struct("node_barn", "sheaves_full");
    return cache.has("cpu_sheaves") && sheaf.isPresent() && perCpu.isPresent() && barn.isPresent()
        ? Optional.of(
            new SheafLayout(
                perCpu.get(),
                sheaf.get(),
                sheaf.get().member("objects").orElseThrow().offset(),
                barn.get()))
        : Optional.empty();
  }

  /// What of a kernel with sheaves is not known: without it free objects would count as held.
  static List<String> missing(Kernel kernel) {
    List<String> missing = new ArrayList<>();
    if (kernel.struct("slab_sheaf", "size", "objects", "cache").isEmpty()) {
      missing.add("struct slab_sheaf");
    }
    if (kernel.struct("slub_percpu_sheaves", "main").isEmpty()) {
      missing.add("struct slub_percpu_sheaves");
    }
    if (kernel.struct("node_barn", "sheaves_full").isEmpty()) {
      missing.add("struct node_barn");
    }
    return missing;
  }
}
