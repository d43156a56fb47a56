package org.vmcheck.testing;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyStore;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// A real PostgreSQL of Debian's package, on loopback, with a data directory of its own. It does
/// not run as root, which PostgreSQL refuses.
public final class PostgresServer {
  private static final String PASSWORD = "secret of the tests";
  private static final String USER = "nobody";

  private static Optional<PostgresServer> shared;

  private final Path bin;
  private final Path directory;
  private final int port;

  private PostgresServer(Path bin, Path directory, int port) {
    this.bin = bin;
    this.directory = directory;
    this.port = port;
  }

  /// One for all tests of this JVM; empty where none is installed.
  public static synchronized Optional<PostgresServer> shared() throws Exception {
    if (shared == null) {
      Optional<Path> bin = bin();
      shared = bin.isEmpty() ? Optional.empty() : Optional.of(start(bin.get()));
    }
    return shared;
  }

  private static Optional<Path> bin() throws IOException {
    Path packages = Path.of("/usr/lib/postgresql");
    if (!Files.isDirectory(packages)) {
      return Optional.empty();
    }
    try (Stream<Path> versions = Files.list(packages)) {
      return versions
          .map(version -> version.resolve("bin"))
          .filter(bin -> Files.isExecutable(bin.resolve("initdb")))
          .sorted()
          .reduce((_, last) -> last);
    }
  }

  private static PostgresServer start(Path bin) throws Exception {
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    Path directory =
        Files.createTempDirectory(
            "vmcheck-postgres",
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    PostgresServer server = new PostgresServer(bin, directory, port);
    Path password = Files.writeString(directory.resolve("password"), PASSWORD);
    // Where the driver looks, as it would at ~/.pgpass.
    Path pgpass =
        Files.writeString(
            directory.resolve("pgpass"), "127.0.0.1:%d:*:*:%s\n".formatted(port, PASSWORD));
    System.setProperty("org.postgresql.pgpassfile", pgpass.toString());
    makeCertificate(directory, "server");
    makeCertificate(directory, "other");
    if (isRoot()) {
      var owner = directory.getFileSystem().getUserPrincipalLookupService();
      for (Path path : List.of(password, directory.resolve("server.key"), directory)) {
        Files.setOwner(path, owner.lookupPrincipalByName(USER));
      }
    }
    Path data = directory.resolve("data");
    server.run(
        "initdb",
        "-D",
        data.toString(),
        "-U",
        "owner",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--pwfile=" + password);
    Runtime.getRuntime().addShutdownHook(new Thread(server::stop));
    server.run(
        "pg_ctl",
        "-D",
        data.toString(),
        "-w",
        "-t",
        "60",
        "-l",
        directory.resolve("log").toString(),
        "-o",
        "-p %d -h 127.0.0.1 -k '' -c fsync=off -c shared_buffers=16MB -c max_connections=20"
                .formatted(port)
            + " -c ssl=on -c ssl_cert_file=%1$s/server.crt -c ssl_key_file=%1$s/server.key"
                .formatted(directory),
        "start");
    return server;
  }

  /// A key and a certificate that signs itself, for 127.0.0.1, as PEM.
  private static void makeCertificate(Path directory, String name) throws Exception {
    Path store = directory.resolve(name + ".p12");
    Process keytool =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-genkeypair",
                "-alias",
                "key",
                "-keyalg",
                "EC",
                "-dname",
                "CN=127.0.0.1",
                "-ext",
                "san=ip:127.0.0.1",
                "-storetype",
                "PKCS12",
                "-storepass",
                PASSWORD,
                "-keystore",
                store.toString())
            .redirectErrorStream(true)
            .start();
    String said = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (keytool.waitFor() != 0) {
      throw new IOException("keytool: " + said);
    }
    KeyStore keys = KeyStore.getInstance(store.toFile(), PASSWORD.toCharArray());
    pem(directory.resolve(name + ".crt"), "CERTIFICATE", keys.getCertificate("key").getEncoded());
    pem(
        directory.resolve(name + ".key"),
        "PRIVATE KEY",
        keys.getKey("key", PASSWORD.toCharArray()).getEncoded());
    Files.setPosixFilePermissions(
        directory.resolve(name + ".key"), PosixFilePermissions.fromString("rw-------"));
  }

  private static void pem(Path file, String what, byte[] encoded) throws IOException {
    Files.writeString(
        file,
        "-----BEGIN %1$s-----\n%2$s\n-----END %1$s-----\n"
            .formatted(what, Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(encoded)));
  }

  private static boolean isRoot() {
    return System.getProperty("user.name").equals("root");
  }

  private void run(String program, String... arguments) throws Exception {
    List<String> command = new ArrayList<>();
    if (isRoot()) {
      command.addAll(List.of("setpriv", "--reuid=" + USER, "--regid=nogroup", "--clear-groups"));
    }
    command.add(bin.resolve(program).toString());
    command.addAll(List.of(arguments));
    Path said = Files.createTempFile("vmcheck-postgres", ".out");
    try {
      // Not a pipe: the server that pg_ctl starts would hold it open.
      Process process =
          new ProcessBuilder(command)
              .directory(Path.of("/").toFile())
              .redirectErrorStream(true)
              .redirectOutput(said.toFile())
              .start();
      if (!process.waitFor(120, TimeUnit.SECONDS) || process.exitValue() != 0) {
        process.destroyForcibly();
        throw new IOException(program + ": " + Files.readString(said, StandardCharsets.UTF_8));
      }
    } finally {
      Files.delete(said);
    }
  }

  private void stop() {
    try {
      run("pg_ctl", "-D", directory.resolve("data").toString(), "-m", "immediate", "stop");
      try (Stream<Path> files = Files.walk(directory)) {
        for (Path file : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    } catch (Exception failure) {
      System.err.println("PostgreSQL of the tests: " + failure);
    }
  }

  /// The catalogue of a schema, as `--catalogue` takes it.
  public String url(String role, String schema) {
    return "postgresql://%s@127.0.0.1:%d/postgres?currentSchema=%s".formatted(role, port, schema);
  }

  /// [#url], where the server must show a certificate that a file of the tests vouches for.
  ///
  /// @param issuer `server`, which is right, or `other`
  public String urlOverTls(String role, String schema, String issuer) {
    return url(role, schema)
        + "&sslmode=verify-full&sslrootcert="
        + directory.resolve(issuer + ".crt");
  }

  /// Ends what is connected, and refuses connections for a while.
  public void restart() throws Exception {
    run("pg_ctl", "-D", directory.resolve("data").toString(), "-m", "immediate", "-w", "restart");
  }

  /// Runs statements as the owner of everything.
  public void sql(String... statements) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", "owner");
    properties.setProperty("password", PASSWORD);
    try (Connection connection =
            DriverManager.getConnection(
                "jdbc:postgresql://127.0.0.1:%d/postgres".formatted(port), properties);
        Statement statement = connection.createStatement()) {
      for (String sql : statements) {
        statement.execute(sql.replace("PASSWORD", "PASSWORD '" + PASSWORD + "'"));
      }
    }
  }
}
