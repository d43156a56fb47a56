package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.SampleEntries;
import org.vmcheck.testing.SampleReports;

/// `catalogue export --format site`: what is written where, and what is left alone.
class SiteDirectoryTest {
  private static final CatalogueEntry FIRST =
      SampleEntries.damaged("a", "/srv/1/vmcore", "x", 1_790_000_000);
  private static final CatalogueEntry SECOND =
      SampleEntries.damaged("a", "/srv/2/vmcore", "y", 1_790_000_000);

  @TempDir private Path dir;
  private Path file;
  private Path site;
  private final StringWriter said = new StringWriter();

  @BeforeEach
  void fill() throws Exception {
    file = dir.resolve("c.sqlite");
    site = dir.resolve("site");
    try (Catalogue catalogue = Catalogue.write(file)) {
      for (CatalogueEntry entry : List.of(FIRST, SECOND)) {
        catalogue.put(entry, Optional.of(SampleReports.damaged()));
      }
    }
  }

  private int export(String... more) {
    PrintWriter out = new PrintWriter(said);
    return Main.run(
        out,
        out,
        Stream.concat(
                Stream.of(
                    "catalogue", "--catalogue", file.toString(), "export", "--format", "site"),
                Stream.of(more))
            .toArray(String[]::new));
  }

  private static String page(CatalogueEntry entry) {
    return "incident/" + entry.id().substring(0, 2) + "/" + entry.id() + ".html";
  }

  private List<String> files() throws Exception {
    try (Stream<Path> files = Files.walk(site)) {
      return files
          .filter(Files::isRegularFile)
          .map(path -> site.relativize(path).toString())
          .sorted()
          .toList();
    }
  }

  @Test
  void aSiteIsForItsOwner() throws Exception {
    assertThat(export("-o", site.toString())).as(said.toString()).isEqualTo(0);

    assertThat(files())
        .containsExactlyInAnyOrder(".vmcheck-site", "index.html", page(FIRST), page(SECOND));
    assertThat(Files.readString(site.resolve(page(FIRST)))).contains("slab.freelist");
    for (String name : List.of("index.html", page(FIRST))) {
      assertThat(Files.getPosixFilePermissions(site.resolve(name)))
          .isEqualTo(PosixFilePermissions.fromString("rw-------"));
    }
    assertThat(Files.getPosixFilePermissions(site))
        .isEqualTo(PosixFilePermissions.fromString("rwx------"));
  }

  @Test
  void aLaterExportReplacesTheSiteAndKeepsWhoMayReadIt() throws Exception {
    export("-o", site.toString());
    Files.setPosixFilePermissions(
        site.resolve("index.html"), PosixFilePermissions.fromString("rw-r-----"));
    Files.writeString(site.resolve(page(SECOND) + ".vmcheck-new"), "of an export that was killed");
    Files.writeString(site.resolve("robots.txt"), "of somebody else");
    CatalogueEntry third = SampleEntries.damaged("a", "/srv/3/vmcore", "z", 1_790_000_000);
    try (Catalogue catalogue = Catalogue.write(file)) {
      catalogue.remove(List.of(SECOND.key()));
      catalogue.put(third, Optional.empty());
    }

    assertThat(export("-o", site.toString())).as(said.toString()).isEqualTo(0);

    assertThat(files())
        .containsExactlyInAnyOrder(
            ".vmcheck-site", "index.html", page(FIRST), page(third), "robots.txt");
    assertThat(Files.getPosixFilePermissions(site.resolve(page(FIRST))))
        .isEqualTo(PosixFilePermissions.fromString("rw-r-----"));
    assertThat(export("--cause", "bit-flip", "--until", "2001-01-01", "-o", site.toString()))
        .isEqualTo(0);
    assertThat(files()).containsExactlyInAnyOrder(".vmcheck-site", "index.html", "robots.txt");
  }

  @Test
  void whatIsNoSiteIsLeftAlone() throws Exception {
    Files.createDirectory(site);
    Files.writeString(site.resolve("index.html"), "mine");

    assertThat(export("-o", site.toString())).isEqualTo(2);
    assertThat(said.toString()).contains("there are other files in it").hasLineCount(1);
    assertThat(site.resolve("index.html")).hasContent("mine");
    assertThat(export()).isEqualTo(2);
    assertThat(export("-o", file.toString())).isEqualTo(6);
    assertThat(export("-o", dir.resolve("no/site").toString())).isEqualTo(6);
  }

  /// A link that somebody put in the way would lead out of the site.
  @Test
  void aLinkInTheWayIsNotFollowed() throws Exception {
    export("-o", site.toString());
    Path elsewhere = Files.createDirectory(dir.resolve("elsewhere"));
    Path held = site.resolve(page(FIRST)).getParent();
    try (Stream<Path> files = Files.list(held)) {
      for (Path path : files.toList()) {
        Files.delete(path);
      }
    }
    Files.delete(held);
    Files.createSymbolicLink(held, elsewhere);

    assertThat(export("-o", site.toString())).isEqualTo(6);

    assertThat(elsewhere).isEmptyDirectory();
  }
}
