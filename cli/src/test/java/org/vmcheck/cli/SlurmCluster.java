package org.vmcheck.cli;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// A real Slurm of Debian's packages on loopback: a controller and one node of two cores, with
/// files of its own. Needs root, as slurmd does.
final class SlurmCluster {
  private static final Path SBIN = Path.of("/usr/sbin");

  private final Path directory;
  private final Path configuration;
  private final List<Path> pids = new ArrayList<>();

  private SlurmCluster(Path directory) {
    this.directory = directory;
    this.configuration = directory.resolve("slurm.conf");
  }

  static boolean isInstalled() {
    return System.getProperty("user.name").equals("root")
        && List.of("/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch")
            .stream()
            .allMatch(program -> Files.isExecutable(Path.of(program)));
  }

  static SlurmCluster start(Path directory) throws Exception {
    SlurmCluster cluster = new SlurmCluster(directory);
    try {
      cluster.start();
      return cluster;
    } catch (Exception failure) {
      cluster.stop();
      throw failure;
    }
  }

  private void start() throws Exception {
    for (String name : List.of("munge", "state", "spool")) {
      Files.createDirectory(
          directory.resolve(name),
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
    Path munge = directory.resolve("munge");
    byte[] key = new byte[1024];
    new SecureRandom().nextBytes(key);
    Path keyFile =
        Files.createFile(
            munge.resolve("key"),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Files.write(keyFile, key);
    Path socket = munge.resolve("s");
    daemon(
        munge.resolve("pid"),
        "munged",
        "--force",
        "--key-file=" + keyFile,
        "--socket=" + socket,
        "--pid-file=" + munge.resolve("pid"),
        "--log-file=" + munge.resolve("log"),
        "--seed-file=" + munge.resolve("seed"));
    String host = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip().split("\\.")[0];
    Files.writeString(
        configuration,
        """
        ClusterName=vmcheck
        SlurmctldHost=%1$s(127.0.0.1)
        SlurmUser=root
        SlurmctldPort=%3$d
        SlurmdPort=%4$d
        AuthType=auth/munge
        AuthInfo=socket=%2$s/munge/s
        CredType=cred/munge
        StateSaveLocation=%2$s/state
        SlurmdSpoolDir=%2$s/spool
        SlurmctldPidFile=%2$s/slurmctld.pid
        SlurmdPidFile=%2$s/slurmd.pid
        SlurmctldLogFile=%2$s/slurmctld.log
        SlurmdLogFile=%2$s/slurmd.log
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        SwitchType=switch/none
        MpiDefault=none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_CPU
        JobAcctGatherType=jobacct_gather/none
        AccountingStorageType=accounting_storage/none
        KillWait=20
        ReturnToService=2
        NodeName=n1 NodeHostname=%1$s NodeAddr=127.0.0.1 CPUs=2
        PartitionName=all Nodes=n1 Default=YES MaxTime=INFINITE State=UP
        """
            .formatted(host, directory, freePort(), freePort()));
    daemon(directory.resolve("slurmctld.pid"), "slurmctld", "-c");
    daemon(directory.resolve("slurmd.pid"), "slurmd", "-N", "n1");
    await("no node is up", () -> run("sinfo", "-h", "-o", "%t").contains("idle"));
  }

  private static int freePort() throws IOException {
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return free.getLocalPort();
    }
  }

  private void daemon(Path pid, String program, String... arguments) throws Exception {
    pids.addFirst(pid);
    List<String> command = new ArrayList<>(List.of(SBIN.resolve(program).toString()));
    command.addAll(List.of(arguments));
    // Not a pipe: the daemon would hold it open.
    Path said = directory.resolve(program + ".said");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(said.toFile());
    builder.environment().putAll(environment());
    Process process = builder.start();
    if (!process.waitFor(60, TimeUnit.SECONDS) || process.exitValue() != 0) {
      process.destroyForcibly();
      throw new IOException(program + ": " + Files.readString(said));
    }
  }

  /// What tells Slurm's commands which cluster is meant.
  java.util.Map<String, String> environment() {
    return java.util.Map.of("SLURM_CONF", configuration.toString());
  }

  /// What a command of Slurm's prints.
  String run(String... command) throws Exception {
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().putAll(environment());
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor();
    return said;
  }

  /// Something that becomes true.
  interface Condition {
    boolean isMet() throws Exception;
  }

  static void await(String what, Condition condition) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(180);
    while (!condition.isMet()) {
      if (System.nanoTime() > end) {
        throw new IOException(what);
      }
      Thread.sleep(200);
    }
  }

  /// Waits until no job is left.
  void awaitEnd() throws Exception {
    await("jobs do not end", () -> run("squeue", "-h").isBlank());
  }

  /// Ends the daemons.
  void stop() throws Exception {
    for (Path pid : pids) {
      if (Files.exists(pid)) {
        ProcessHandle.of(Long.parseLong(Files.readString(pid).strip()))
            .ifPresent(
                process -> {
                  process.destroy();
                  try {
                    process.onExit().get(20, TimeUnit.SECONDS);
                  } catch (Exception _) {
                    process.destroyForcibly();
                  }
                });
      }
    }
  }
}
