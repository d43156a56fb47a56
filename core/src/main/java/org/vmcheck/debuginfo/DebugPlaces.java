package org.vmcheck.debuginfo;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/// Where the distributions put files of debug information, and where elfutils keeps those that it
/// fetched. Nothing is fetched here.
public final class DebugPlaces {
  /// What comes from a dump becomes part of a path only if it is an ordinary name.
  private static final Pattern RELEASE = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}");

  private static final Pattern BUILD_ID = Pattern.compile("[0-9a-f]{6,128}");
  private static final Path DEFAULT_ROOT = Path.of("/usr/lib/debug");

  private DebugPlaces() {}

  /// The files that exist for a kernel, the likeliest first.
  ///
  /// @param release `uname -r` of the dumped kernel
  /// @param buildId empty if it is not known
  public static List<Path> candidates(DebugSources sources, String release, String buildId) {
    Set<Path> found = new LinkedHashSet<>(byBuildId(sources, buildId));
    if (RELEASE.matcher(release).matches()) {
      for (Path root : roots(sources)) {
        for (String place :
            List.of(
                // Fedora, RHEL and theirs; SUSE; Debian and Ubuntu; a folder made by hand.
                "lib/modules/R/vmlinux",
                "usr/lib/modules/R/vmlinux",
                "lib/modules/R/vmlinux.debug",
                "usr/lib/modules/R/vmlinux.debug",
                "boot/vmlinux-R",
                "boot/vmlinux-R.debug",
                "vmlinux-R",
                "vmlinux-R.debug",
                "R/vmlinux",
                "vmlinux",
                "vmlinux.debug")) {
          addIfThere(found, root.resolve(place.replace("R", release)));
        }
      }
      if (!sources.ignores(DebugSources.Kind.PLACES)) {
        for (String place :
            List.of(
                "/lib/modules/R/build/vmlinux",
                "/lib/modules/R/vmlinux",
                "/usr/lib/modules/R/vmlinux",
                "/boot/vmlinux-R",
                "/usr/lib/modules/R/vmlinuz",
                "/boot/vmlinuz-R")) {
          addIfThere(found, Path.of(place.replace("R", release)));
        }
      }
    }
    return List.copyOf(found);
  }

  /// The directories that are looked in, the first first, whether or not they are there.
  public static List<Path> directories(DebugSources sources) {
    List<Path> directories = new ArrayList<>(roots(sources));
    if (!sources.ignores(DebugSources.Kind.PLACES)) {
      for (String place : List.of("/lib/modules", "/usr/lib/modules", "/boot")) {
        directories.add(Path.of(place));
      }
      directories.addAll(debuginfodCaches());
    }
    return List.copyOf(directories);
  }

  /// The files that a build id names.
  static List<Path> byBuildId(DebugSources sources, String buildId) {
    Set<Path> found = new LinkedHashSet<>();
    if (!BUILD_ID.matcher(buildId).matches()) {
      return List.of();
    }
    String file = buildId.substring(0, 2) + "/" + buildId.substring(2) + ".debug";
    for (Path root : roots(sources)) {
      addIfThere(found, root.resolve(".build-id").resolve(file));
    }
    if (!sources.ignores(DebugSources.Kind.PLACES)) {
      for (Path cache : debuginfodCaches()) {
        addIfThere(found, cache.resolve(buildId).resolve("debuginfo"));
        addIfThere(found, cache.resolve(buildId).resolve("executable"));
      }
    }
    return List.copyOf(found);
  }

  /// The files that a `.gnu_debuglink` names.
  static List<Path> byLink(DebugSources sources, Path file, String link) {
    Set<Path> found = new LinkedHashSet<>();
    Path folder = file.toAbsolutePath().getParent();
    if (!RELEASE.matcher(link).matches() || folder == null) {
      return List.of();
    }
    addIfThere(found, folder.resolve(link));
    addIfThere(found, folder.resolve(".debug").resolve(link));
    for (Path root : roots(sources)) {
      addIfThere(found, root.resolve(folder.getRoot().relativize(folder)).resolve(link));
      addIfThere(found, root.resolve(link));
    }
    found.remove(file.toAbsolutePath());
    return List.copyOf(found);
  }

  private static List<Path> roots(DebugSources sources) {
    List<Path> roots = new ArrayList<>(sources.directories());
    if (!sources.ignores(DebugSources.Kind.PLACES)) {
      roots.add(DEFAULT_ROOT);
    }
    return roots;
  }

  /// As debuginfod-client-config(7) says.
  private static List<Path> debuginfodCaches() {
    List<Path> caches = new ArrayList<>();
    String set = System.getenv("DEBUGINFOD_CACHE_PATH");
    String xdg = System.getenv("XDG_CACHE_HOME");
    String home = System.getProperty("user.home", "/");
    if (set != null && !set.isEmpty()) {
      caches.add(Path.of(set));
    }
    caches.add(
        (xdg != null && !xdg.isEmpty() ? Path.of(xdg) : Path.of(home, ".cache"))
            .resolve("debuginfod_client"));
    caches.add(Path.of(home, ".debuginfod_client_cache"));
    return caches;
  }

  private static void addIfThere(Set<Path> found, Path file) {
    if (Files.isRegularFile(file)) {
      found.add(file);
    }
  }
}
