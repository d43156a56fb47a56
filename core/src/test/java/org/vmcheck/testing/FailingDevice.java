package org.vmcheck.testing;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// A mounted file system (FUSE, by `fuse/failing_device.py`) whose only file cannot be read in
/// chosen blocks, as on a failing disk.
public final class FailingDevice implements AutoCloseable {
  public static final int BLOCK = 4096;

  /// The system's own, for which the distribution packages its modules.
  private static final String PYTHON = "/usr/bin/python3";

  private final Process server;
  private final Path mountPoint;

  private FailingDevice(Process server, Path mountPoint) {
    this.server = server;
    this.mountPoint = mountPoint;
  }

  /// Skips the test where no file system can be mounted.
  ///
  /// @param directory empty, for the script and the mount point
  /// @param offsets into `file`; the blocks around them cannot be read
  public static FailingDevice over(Path directory, Path file, long... offsets) throws IOException {
    assumeTrue(Files.isWritable(Path.of("/dev/fuse")), "/dev/fuse cannot be used");
    Path script = directory.resolve("failing_device.py");
    try (InputStream in = FailingDevice.class.getResourceAsStream("/fuse/failing_device.py")) {
      Files.copy(in, script);
    }
    Path mountPoint = Files.createDirectory(directory.resolve("mount"));
    List<String> command = new ArrayList<>(List.of(PYTHON, script.toString()));
    command.add(mountPoint.toString());
    command.add(file.toString());
    for (long offset : offsets) {
      command.add(Long.toString(offset));
    }
    Path errors = directory.resolve("errors");
    Process server;
    try {
      server = new ProcessBuilder(command).redirectError(errors.toFile()).start();
    } catch (IOException noPython) {
      assumeTrue(false, noPython.getMessage());
      throw noPython;
    }
    BufferedReader said = server.inputReader(StandardCharsets.UTF_8);
    boolean ready = "ready".equals(said.readLine());
    if (!ready) {
      server.destroy();
    }
    assumeTrue(ready, () -> "no file system can be mounted: " + text(errors));
    return new FailingDevice(server, mountPoint);
  }

  private static String text(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }

  public Path dump() {
    return mountPoint.resolve("dump");
  }

  /// The server dies and the mount goes stale.
  public void die() {
    server.destroyForcibly();
    try {
      server.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void close() {
    try {
      Process unmount = new ProcessBuilder("umount", "-l", mountPoint.toString()).start();
      unmount.waitFor(30, TimeUnit.SECONDS);
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    } finally {
      server.destroyForcibly();
    }
  }
}
