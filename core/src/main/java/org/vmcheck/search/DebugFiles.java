package org.vmcheck.search;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import org.vmcheck.debuginfo.DebugFile;
import org.vmcheck.debuginfo.DebugPlaces;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.KernelIdentity;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// Takes from files what the dump does not have, after asking each whose it is.
final class DebugFiles {
  private static final int MAX_NOTES_BYTES = 1 << 16;
  private static final int MAX_BANNER = 512;

  private final DebugSources sources;
  private final Vmcoreinfo info;
  private final VirtualMemory memory;

  /// The dump's own; empty if it has none.
  private final Optional<Symbols> own;

  /// The dump's own types, which symbols are needed to find.
  private final Function<Symbols, Optional<Types>> ownTypes;

  private final List<DebugFile> files = new ArrayList<>();
  private final List<String> problems = new ArrayList<>();

  DebugFiles(
      DebugSources sources,
      Vmcoreinfo info,
      VirtualMemory memory,
      Optional<Symbols> own,
      Function<Symbols, Optional<Types>> ownTypes) {
    this.sources = sources;
    this.info = info;
    this.memory = memory;
    this.own = own;
    this.ownTypes = ownTypes;
  }

  /// What could be had, and the files that were looked at for it.
  record Gain(
      Optional<Symbols> symbols,
      Optional<Types> types,
      List<DebugFile> files,
      List<String> problems) {}

  Gain use(Optional<Vmlinux> named, boolean needsSymbols, boolean needsTypes) {
    if (named.isPresent()) {
      return use(named.get(), true, needsSymbols, needsTypes);
    }
    Optional<Symbols> symbols = Optional.empty();
    Optional<Types> types = Optional.empty();
    for (Path candidate :
        DebugPlaces.candidates(sources, info.release(), ofDump(Optional.empty()).buildId())) {
      boolean symbolsLack = needsSymbols && symbols.isEmpty();
      boolean typesLack = needsTypes && types.isEmpty();
      if (!symbolsLack && !typesLack) {
        break;
      }
      try {
        Gain gain = use(Vmlinux.open(candidate), false, symbolsLack, typesLack);
        symbols = symbols.or(gain::symbols);
        types = types.or(gain::types);
      } catch (IOException e) {
        problems.add("%s is of no use: %s".formatted(candidate, e.getMessage()));
      }
    }
    return new Gain(symbols, types, files, problems);
  }

  private Gain use(Vmlinux file, boolean isNamed, boolean needsSymbols, boolean needsTypes) {
    Optional<Symbols> symbols = Optional.empty();
    Optional<Types> types = Optional.empty();
    List<String> gives = new ArrayList<>();
    KernelIdentity ofFile = KernelIdentity.UNKNOWN;
    KernelIdentity ofDump = ofDump(Optional.empty());
    KernelIdentity.Match match = KernelIdentity.Match.NOT_COMPARABLE;
    try {
      ofFile = file.identity();
      match = ofDump.compareTo(ofFile);
      if (needsSymbols && match != KernelIdentity.Match.DIFFERENT) {
        // Without symbols of its own the dump is asked where this file says that its notes are.
        symbols = relocated(file);
        ofDump = ofDump(symbols);
        match = ofDump.compareTo(ofFile);
      }
      boolean isUsable =
          match == KernelIdentity.Match.SAME_BUILD_ID
              || match == KernelIdentity.Match.SAME_BANNER
              || (isNamed && sources.force());
      if (!isUsable) {
        symbols = Optional.empty();
      } else {
        if (needsSymbols && symbols.isEmpty()) {
          symbols = relocated(file);
        }
        symbols.ifPresent(found -> gives.add(found.source()));
        if (needsTypes) {
          types = symbols.flatMap(ownTypes);
          if (types.isEmpty()) {
            types = file.types(sources);
            types.ifPresent(found -> gives.add(found.source()));
          }
        }
      }
    } catch (IOException e) {
      problems.add("%s cannot be used: %s".formatted(file.path(), e.getMessage()));
    }
    files.add(
        new DebugFile(
            file.path(),
            isNamed,
            ofFile,
            ofDump,
            match,
            !gives.isEmpty(),
            String.join(", ", gives)));
    return new Gain(symbols, types, files, problems);
  }

  /// The file's symbols at the addresses of this boot; empty if it has none or it is not known how
  /// far they moved.
  private Optional<Symbols> relocated(Vmlinux file) throws IOException {
    Optional<Symbols> linked = file.symbols();
    if (linked.isEmpty()) {
      return linked;
    }
    OptionalLong told = info.symbol("_stext");
    OptionalLong stext = linked.get().address("_stext");
    if (told.isEmpty() || stext.isEmpty()) {
      problems.add(
          "%s: its symbols cannot be moved to where this kernel ran (no _stext)"
              .formatted(file.path()));
      return Optional.empty();
    }
    return Optional.of(Vmlinux.relocate(linked.get(), told.getAsLong() - stext.getAsLong()));
  }

  /// Which kernel was dumped: as its notes and its banner in memory say, else as VMCOREINFO does,
  /// whose build id is garbage in a few stable releases.
  ///
  /// @param others symbols to find these with where the dump has none of its own
  private KernelIdentity ofDump(Optional<Symbols> others) {
    Optional<Symbols> symbols = own.or(() -> others);
    return new KernelIdentity(
        symbols.flatMap(this::buildId).orElseGet(() -> info.value("BUILD-ID").orElse("")),
        symbols.flatMap(this::banner).orElse(""));
  }

  private Optional<String> buildId(Symbols symbols) {
    OptionalLong start = symbols.address("__start_notes");
    OptionalLong stop = symbols.address("__stop_notes");
    if (start.isEmpty() || stop.isEmpty()) {
      return Optional.empty();
    }
    long byteCount = stop.getAsLong() - start.getAsLong();
    return byteCount > 0
            && byteCount <= MAX_NOTES_BYTES
            && memory.read(start.getAsLong(), (int) byteCount)
                instanceof MemoryRead.Bytes(ByteView view)
        ? KernelIdentity.buildId(view)
        : Optional.empty();
  }

  private Optional<String> banner(Symbols symbols) {
    OptionalLong banner = symbols.address("linux_banner");
    if (banner.isPresent()
        && memory.read(banner.getAsLong(), MAX_BANNER) instanceof MemoryRead.Bytes(ByteView view)) {
      String text = KernelIdentity.bannerText(view.string(0, MAX_BANNER));
      return text.startsWith("Linux version ") ? Optional.of(text) : Optional.empty();
    }
    return Optional.empty();
  }
}
