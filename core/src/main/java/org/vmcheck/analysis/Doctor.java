package org.vmcheck.analysis;

import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.debuginfo.DebugPlaces;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.finding.DoctorReport;
import org.vmcheck.finding.DoctorReport.Item;
import org.vmcheck.finding.DoctorReport.State;
import org.vmcheck.io.MappedFile;

/// Looks at the machine that vmcheck runs on. Writes nothing.
public final class Doctor {
  /// Less than the launchers ask for (192 MiB) by more than the collector keeps for itself.
  private static final long ENOUGH_HEAP = 128L << 20;

  /// What dumps of small machines unpack to.
  private static final long ENOUGH_SPOOL = 1L << 30;

  private final List<Item> items = new ArrayList<>();

  private Doctor() {}

  /// Looks at everything.
  ///
  /// @param oldest the oldest Java that may judge a dump
  /// @param directories where files of debug information are looked for, beside the usual places
  /// @param spool where packed dumps are unpacked
  /// @param catalogue the file of the catalogue, which need not be there; empty if it is in none
  public static DoctorReport examine(
      Runtime.Version oldest, List<Path> directories, Path spool, Optional<Path> catalogue) {
    Doctor doctor = new Doctor();
    doctor.java(oldest);
    doctor.memory();
    doctor.mapping();
    for (PageCodec codec : Codecs.all()) {
      doctor.codec(codec);
    }
    doctor.debugDirectories(DebugSources.DEFAULT.withDirectories(directories));
    doctor.spool(spool);
    catalogue.ifPresent(doctor::catalogue);
    return new DoctorReport(doctor.items);
  }

  private void java(Runtime.Version oldest) {
    String what =
        "%s, %s, %s".formatted(Runtime.version(), property("java.vendor"), property("os.arch"));
    boolean fits = Runtime.version().compareToIgnoreOptional(oldest) >= 0;
    add(
        "java",
        fits ? State.OK : State.FAILED,
        fits ? what : what + "; needs " + oldest + " or later");
  }

  private void memory() {
    long limit = Runtime.getRuntime().maxMemory();
    String what =
        "heap up to %,d MiB, %d processors"
            .formatted(limit >> 20, Runtime.getRuntime().availableProcessors());
    if (limit < ENOUGH_HEAP) {
      add(
          "memory",
          State.LACKING,
          what + "; large dumps may need %d MiB (-Xmx)".formatted(ENOUGH_HEAP >> 20));
    } else {
      add("memory", State.OK, what);
    }
  }

  /// Dumps are mapped, so something that is always there is mapped: the runtime's own image.
  private void mapping() {
    Path image = Path.of(property("java.home"), "lib", "modules");
    try (MappedFile map = MappedFile.open(image)) {
      add("mapping", State.OK, "files can be mapped (%,d bytes)".formatted(map.size()));
    } catch (IOException e) {
      add("mapping", State.FAILED, "a file cannot be mapped: " + e.getMessage());
    }
  }

  private void codec(PageCodec codec) {
    String topic = "codec " + codec.name();
    byte[] expected = Codecs.sample();
    byte[] out = new byte[expected.length];
    byte[] in = codec.packedSample();
    try {
      codec.decode(in, in.length, out, out.length);
    } catch (CorruptPageException e) {
      add(topic, State.FAILED, "refuses a sound page: " + e.getMessage());
      return;
    } catch (LinkageError e) {
      // Only dumps that it packed need a native library.
      add(
          topic,
          State.LACKING,
          "its native library does not load, dumps packed with it cannot be read (it is unpacked to"
              + " "
              + property("java.io.tmpdir")
              + ", where files must be executable): "
              + e);
      return;
    }
    boolean same = Arrays.equals(out, expected);
    add(topic, same ? State.OK : State.FAILED, same ? "decodes" : "decodes a sound page wrongly");
  }

  private void debugDirectories(DebugSources sources) {
    for (Path directory : DebugPlaces.directories(sources)) {
      boolean named = sources.directories().contains(directory);
      if (Files.isDirectory(directory)) {
        boolean readable = Files.isReadable(directory) && Files.isExecutable(directory);
        add(
            "debug files",
            readable ? State.OK : State.LACKING,
            directory + (readable ? "" : ": no permission to read"));
      } else {
        // That one place of many distributions is not there is no fault.
        add("debug files", named ? State.LACKING : State.OK, directory + ": not there");
      }
    }
  }

  private void spool(Path directory) {
    if (!Files.isDirectory(directory) || !Files.isWritable(directory)) {
      add(
          "spool",
          State.LACKING,
          directory
              + (Files.isDirectory(directory) ? " cannot be written" : " is no directory")
              + ": packed dumps cannot be read (--spool-dir)");
      return;
    }
    try {
      FileStore store = Files.getFileStore(directory);
      long free = store.getUsableSpace();
      String what = "%s, %,d MiB free".formatted(directory, free >> 20);
      add(
          "spool",
          free < ENOUGH_SPOOL ? State.LACKING : State.OK,
          free < ENOUGH_SPOOL ? what + ": little for a packed dump (--spool-dir)" : what);
    } catch (IOException e) {
      add("spool", State.LACKING, directory + ": free space not known: " + e.getMessage());
    }
  }

  private void catalogue(Path file) {
    if (Files.exists(file)) {
      boolean writable = Files.isRegularFile(file) && Files.isWritable(file);
      add(
          "catalogue",
          writable ? State.OK : State.LACKING,
          file + (writable ? ", there" : " cannot be written (--catalogue)"));
      return;
    }
    Path above = file.toAbsolutePath().getParent();
    while (above != null && !Files.exists(above)) {
      above = above.getParent();
    }
    boolean writable = above != null && Files.isDirectory(above) && Files.isWritable(above);
    add(
        "catalogue",
        writable ? State.OK : State.LACKING,
        file + (writable ? ", not there yet" : " cannot be made (--catalogue)"));
  }

  private void add(String topic, State state, String text) {
    items.add(new Item(topic, state, text));
  }

  private static String property(String name) {
    return System.getProperty(name, "");
  }
}
