package org.vmcheck.archive;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.List;
import java.util.Properties;

/// Where a catalogue lies in PostgreSQL, as `psql` writes it:
/// `postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full`.
///
/// @param jdbc what the driver calls it, without the user
/// @param user empty for PGUSER, or the name of who runs this
/// @param words what messages call it
record PostgresAddress(String jdbc, String user, String words) {
  private static final List<String> SCHEMES = List.of("postgresql://", "postgres://");

  /// What may stand behind the question mark. Others of the driver's would load classes by name.
  private static final List<String> PARAMETERS =
      List.of("sslmode", "sslrootcert", "sslcert", "sslkey", "currentSchema", "targetServerType");

  static boolean isOne(String place) {
    return SCHEMES.stream().anyMatch(place::startsWith);
  }

  /// @throws CatalogueException if it is none
  static PostgresAddress of(String place) throws IOException {
    URI uri;
    try {
      uri = new URI(place);
    } catch (URISyntaxException failure) {
      throw refusal("expected postgresql://USER@HOST:PORT/DATABASE", failure);
    }
    String authority = uri.getRawAuthority();
    String path = uri.getPath();
    if (authority == null || path == null || path.length() < 2 || uri.getRawFragment() != null) {
      throw refusal("expected postgresql://USER@HOST:PORT/DATABASE", null);
    }
    int at = authority.lastIndexOf('@');
    String user = at < 0 ? "" : authority.substring(0, at);
    if (user.contains(":")) {
      throw refusal(
          "a password on a command line is seen by everybody: put it into ~/.pgpass, a file that"
              + " PGPASSFILE names, or PGPASSWORD",
          null);
    }
    String query = uri.getRawQuery() == null ? "" : uri.getRawQuery();
    for (String parameter : query.isEmpty() ? new String[0] : query.split("&")) {
      if (!PARAMETERS.contains(parameter.split("=", 2)[0])) {
        throw refusal(
            "%s: expected one of %s"
                .formatted(parameter.split("=", 2)[0], String.join(", ", PARAMETERS)),
            null);
      }
    }
    String hosts = authority.substring(at + 1);
    return new PostgresAddress(
        "jdbc:postgresql://" + hosts + uri.getRawPath() + (query.isEmpty() ? "" : "?" + query),
        user,
        "postgresql://" + hosts + path);
  }

  private static CatalogueException refusal(String what, Exception cause) {
    return new CatalogueException("catalogue postgresql://...: " + what, cause);
  }

  /// What a connection is made with. The driver itself looks into `~/.pgpass`.
  Properties properties() {
    Properties properties = new Properties();
    String name = user.isEmpty() ? System.getenv("PGUSER") : user;
    if (name != null) {
      properties.setProperty("user", name);
    }
    String password = System.getenv("PGPASSWORD");
    if (password != null) {
      properties.setProperty("password", password);
    }
    properties.setProperty("ApplicationName", "vmcheck");
    properties.setProperty("connectTimeout", "10");
    properties.setProperty("loginTimeout", "30");
    // A server that is gone without a word is noticed.
    properties.setProperty("tcpKeepAlive", "true");
    properties.setProperty("socketTimeout", "300");
    // Kerberos is not in the program's own Java runtime.
    properties.setProperty("gssEncMode", "disable");
    // Rows that come at once are few; more bytes than this are no catalogue's.
    properties.setProperty("maxResultBuffer", "96M");
    return properties;
  }
}
