/// Integrity analysis of Linux kernel crash dumps: open one, check it, ask it. The entry is
/// `org.vmcheck.analysis.Analyzer`, the answers are the records of `org.vmcheck.finding`.
///
/// What is not exported is internal and changes without notice. This file stands apart from the
/// other sources because the build, the tests and the command line have them on the class path.
module org.vmcheck.core {
  requires java.sql;
  requires com.github.luben.zstd_jni;
  requires org.apache.commons.compress;
  requires org.bouncycastle.pkix;
  requires org.bouncycastle.provider;
  requires org.lz4.java;
  requires org.postgresql.jdbc;
  requires org.snakeyaml.engine;
  requires org.tukaani.xz;
  requires org.xerial.sqlitejdbc;
  requires tools.jackson.core;

  exports org.vmcheck.analysis;
  exports org.vmcheck.finding;
}
