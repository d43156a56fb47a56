package org.vmcheck.dump;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import java.io.BufferedInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import net.jpountz.lz4.LZ4Factory;
import net.jpountz.lz4.LZ4FrameInputStream;
import net.jpountz.xxhash.XXHashFactory;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorInputStream;
import org.tukaani.xz.XZInputStream;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.GzipStream;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.Printable;
import org.vmcheck.io.UnsupportedFormatException;

/// Opens a file down to the bytes of a dump: as it is; as a member of a plain tar, read in place;
/// or unpacked to a spool file, which has no name from the moment it is open and so is gone with
/// this process, however it ends.
///
/// At most two layers are unwrapped (`.tar.gz`). The size of what comes out is bounded by the
/// caller's limit; names of members are never used as paths.
final class Unpacker {
  private static final int MAX_LAYERS = 2;
  private static final int MAX_MEMBERS = 65536;
  private static final int CHUNK = 1 << 20;

  /// `xz -9` needs 65 MiB to unpack.
  private static final int XZ_MEMORY_KIB = 100 << 10;

  /// Runs of zeros of this size become holes in the spool file.
  private static final int HOLE = 64 << 10;

  private final Path path;
  private final MappedFile packed;
  private final String name;
  private final OpenOptions options;
  private final List<OpenFile> found = new ArrayList<>();
  private final List<String> otherMembers = new ArrayList<>();
  private Source source;
  private long spooled;

  /// What came out of all layers of packing, spooled or passed over.
  private long unpacked;

  private int members;

  /// Thrown when more comes out than the caller allows; null before.
  private IOException tooMuch;

  private Unpacker(Path path, MappedFile packed, OpenOptions options) {
    this.path = path;
    this.packed = packed;
    this.name = packed.name();
    this.options = options;
  }

  /// Opens a packed file.
  ///
  /// @param map the packed file; closed unless a member of it is read in place
  static List<OpenFile> open(Path path, MappedFile map, Wrapping wrapping, OpenOptions options)
      throws IOException {
    Unpacker unpacker = new Unpacker(path, map, options);
    try {
      if (wrapping == Wrapping.TAR) {
        unpacker.tarInPlace(map);
      } else {
        unpacker.stream();
      }
      return unpacker.result(wrapping);
    } catch (IOException | RuntimeException | InternalError failure) {
      unpacker.found.forEach(file -> file.map().close());
      throw failure;
    } finally {
      if (unpacker.found.stream().noneMatch(file -> file.map() == map)) {
        map.close();
      }
    }
  }

  private List<OpenFile> result(Wrapping outer) throws IOException {
    if (found.isEmpty()) {
      throw new UnsupportedFormatException(
          "[%s] %s %s"
              .formatted(
                  name,
                  outer.isArchive() ? outer.words() + " archive" : outer.words() + " file",
                  otherMembers.isEmpty()
                      ? "that holds nothing"
                      : "that holds no dump: " + String.join("; ", otherMembers)));
    }
    if (found.size() > 1 && !areParts()) {
      throw new UnsupportedFormatException(
          "[%s] %s archive that holds %d dumps, which are not parts of one: unpack it and give them"
                  .formatted(name, outer.words(), found.size())
              + " one by one: "
              + String.join(", ", found.stream().map(file -> file.source().name()).toList()));
    }
    return found;
  }

  private boolean areParts() throws IOException {
    String first = "";
    for (OpenFile file : found) {
      if (!KdumpFormat.isKdump(file.source())) {
        return false;
      }
      KdumpHeader header = KdumpHeader.read(file.source());
      if (!header.split() || !(first.isEmpty() || first.equals(header.fingerprint()))) {
        return false;
      }
      first = header.fingerprint();
    }
    return true;
  }

  /// Members of a plain tar are whole runs of the file: no copy is needed.
  private void tarInPlace(MappedFile map) throws IOException {
    try (TarArchiveInputStream tar = new TarArchiveInputStream(new TarGuard(newSource()))) {
      for (TarArchiveEntry entry = next(tar); entry != null; entry = next(tar)) {
        // The tar reader takes headers from the file block by block, so this is the data.
        long start = source.position();
        long size = Math.min(entry.getSize(), map.size() - start);
        if (!entry.isFile() || entry.isSparse() || size <= 0) {
          if (entry.isFile() && entry.isSparse()) {
            member(tar, entry.getName(), 1);
          }
          continue;
        }
        String memberName = memberName(entry.getName());
        WindowSource window = new WindowSource(map, memberName, start, size);
        if (Unpacking.looksLikeDump(Unpacking.head(window))) {
          List<String> remarks =
              size < entry.getSize() ? List.of("the archive ends inside " + memberName) : List.of();
          found.add(Unpacking.open(path, map, window, remarks));
        } else {
          member(tar, entry.getName(), 1);
        }
      }
    }
  }

  private TarArchiveEntry next(TarArchiveInputStream tar) throws IOException {
    try {
      return tar.getNextEntry();
    } catch (IOException | RuntimeException e) {
      damagedArchive(e);
      return null;
    }
  }

  /// Whether this is the very exception that the limit threw, come back through a library.
  @SuppressWarnings("ReferenceEquality")
  private boolean isTooMuch(Exception e) {
    return e == tooMuch;
  }

  /// Keeps what was found before an archive breaks off; throws if that is nothing.
  private void damagedArchive(Exception e) throws IOException {
    if (isTooMuch(e)) {
      throw tooMuch;
    }
    if (e instanceof CancelledException over) {
      throw over;
    }
    if (source.failed || found.isEmpty()) {
      throw source.failed && e instanceof IOException io
          ? io
          : new MalformedFileException(
              "[%s] damaged archive after %d members: %s"
                  .formatted(name, members, Printable.of(String.valueOf(e.getMessage()), 200)));
    }
    OpenFile last = found.removeLast();
    List<String> remarks = new ArrayList<>(last.remarks());
    remarks.add("the archive is damaged or cut short behind " + last.source().name());
    found.add(new OpenFile(last.path(), last.map(), last.source(), last.flattened(), remarks));
  }

  private void stream() throws IOException {
    unwrap(new Peeked(new BufferedInputStream(newSource(), CHUNK)), name, MAX_LAYERS);
  }

  private Source newSource() {
    source = new Source(packed.channel());
    return source;
  }

  private String memberName(String inArchive) {
    return name + "!" + Printable.of(inArchive, 200);
  }

  private void member(InputStream in, String inArchive, int layersLeft) throws IOException {
    if (++members > MAX_MEMBERS) {
      throw new MalformedFileException(
          "[%s] expected at most %d members, got more".formatted(name, MAX_MEMBERS));
    }
    unwrap(new Peeked(in), memberName(inArchive), layersLeft);
  }

  /// Looks at a stream and spools it if it is a dump.
  private void unwrap(Peeked in, String what, int layersLeft) throws IOException {
    byte[] head;
    try {
      head = in.peek();
    } catch (IOException e) {
      throw source.failed || isTooMuch(e)
          ? e
          : new MalformedFileException(
              "[%s] nothing can be unpacked: %s"
                  .formatted(what, Printable.of(String.valueOf(e.getMessage()), 200)));
    }
    if (Unpacking.looksLikeDump(head)) {
      found.add(spool(in, what));
      return;
    }
    Optional<Wrapping> wrapping = Wrapping.of(head);
    if (wrapping.isEmpty() || layersLeft == 0) {
      if (otherMembers.size() < 5) {
        otherMembers.add(
            wrapping.isPresent()
                ? "%s is %s inside %d layers of packing; unpack the outer ones first"
                    .formatted(what, wrapping.get().words(), MAX_LAYERS)
                : "%s begins with %s"
                    .formatted(what, Dumps.firstBytes(ByteView.of("start", head), 8)));
      }
      return;
    }
    switch (wrapping.get()) {
      case TAR -> {
        TarArchiveInputStream tar = new TarArchiveInputStream(new TarGuard(in));
        for (TarArchiveEntry entry = next(tar); entry != null; entry = next(tar)) {
          if (entry.isFile()) {
            member(tar, entry.getName(), layersLeft - 1);
          }
        }
      }
      case ZIP -> {
        ZipInputStream zip = new CountedZip(in);
        for (ZipEntry entry = next(zip); entry != null; entry = next(zip)) {
          if (!entry.isDirectory()) {
            member(new Guarded(zip), entry.getName(), layersLeft - 1);
          }
        }
      }
      case GZIP, XZ, ZSTD, LZ4, BZIP2 -> {
        InputStream inner;
        try {
          inner = decompressor(wrapping.get(), in);
        } catch (IOException | RuntimeException e) {
          if (e instanceof CancelledException) {
            throw e;
          }
          throw source.failed && e instanceof IOException io
              ? io
              : new MalformedFileException(
                  "[%s] damaged %s header: %s"
                      .formatted(
                          what,
                          wrapping.get().words(),
                          Printable.of(String.valueOf(e.getMessage()), 200)));
        }
        unwrap(new Peeked(new Counted(inner)), what, layersLeft - 1);
      }
    }
  }

  /// The bytes inside. The libraries work on streams and arrays of the heap, never on the map; zstd
  /// alone is native.
  private static InputStream decompressor(Wrapping wrapping, InputStream in) throws IOException {
    return switch (wrapping) {
      case GZIP -> new GzipStream(in, HOLE);
      case XZ -> new XZInputStream(in, XZ_MEMORY_KIB);
      case ZSTD -> new ZstdInputStreamNoFinalizer(in);
      case LZ4 ->
          new LZ4FrameInputStream(
              in,
              LZ4Factory.safeInstance().safeDecompressor(),
              XXHashFactory.safeInstance().hash32());
      case BZIP2 -> new BZip2CompressorInputStream(in, true);
      case ZIP, TAR -> throw new IllegalStateException(wrapping + " holds members");
    };
  }

  private ZipEntry next(ZipInputStream zip) throws IOException {
    try {
      return zip.getNextEntry();
    } catch (IOException | RuntimeException e) {
      damagedArchive(e);
      return null;
    }
  }

  /// Writes a stream to a file without a name. A stream that breaks off is kept as far as it came.
  private OpenFile spool(InputStream in, String what) throws IOException {
    Path file = Files.createTempFile(options.spoolDirectory(), "vmcheck-", ".spool");
    FileChannel spool;
    try {
      spool = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
    } finally {
      // From here on it is the channel's alone: nothing can leave it behind.
      Files.deleteIfExists(file);
    }
    MappedFile map = null;
    try {
      List<String> remarks = new ArrayList<>();
      copy(in, spool, what, remarks);
      map = MappedFile.of(file, what, spool);
      return Unpacking.open(path, map, map, remarks);
    } catch (IOException | RuntimeException | Error failure) {
      spool.close();
      if (map != null) {
        map.close();
      }
      throw failure;
    }
  }

  private void count(long byteCount) throws IOException {
    Cancellation.check();
    unpacked += Math.max(0, byteCount);
    if (unpacked - CHUNK > options.spoolLimit()) {
      throw limit(name);
    }
  }

  private IOException limit(String what) {
    tooMuch =
        new IOException(
            "%s: unpacks to more than the limit of %d bytes".formatted(what, options.spoolLimit()));
    return tooMuch;
  }

  private void copy(InputStream in, FileChannel out, String what, List<String> remarks)
      throws IOException {
    byte[] chunk = new byte[CHUNK];
    long size = 0;
    boolean ended = false;
    while (!ended) {
      int count = 0;
      try {
        while (count < chunk.length && !ended) {
          int more = in.read(chunk, count, chunk.length - count);
          ended = more < 0;
          count += Math.max(more, 0);
        }
      } catch (IOException e) {
        if (source.failed || isTooMuch(e)) {
          throw e;
        }
        ended = true;
        remarks.add(
            "the packed file is damaged or cut short (%s); what came out before is read"
                .formatted(Printable.of(String.valueOf(e.getMessage()), 200)));
      }
      spooled += count;
      if (spooled > options.spoolLimit()) {
        throw limit(what);
      }
      writeSparse(out, chunk, count, size);
      size += count;
      options.progress().at("unpacking " + name, source.position(), source.size());
    }
    if (out.size() < size) {
      out.write(ByteBuffer.allocate(1), size - 1);
    }
  }

  private static void writeSparse(FileChannel out, byte[] chunk, int count, long at)
      throws IOException {
    byte[] zeros = new byte[HOLE];
    for (int from = 0; from < count; from += HOLE) {
      int to = Math.min(count, from + HOLE);
      if (Arrays.equals(chunk, from, to, zeros, 0, to - from)) {
        continue;
      }
      ByteBuffer bytes = ByteBuffer.wrap(chunk, from, to - from);
      for (long position = at + from; bytes.hasRemaining(); ) {
        position += out.write(bytes, position);
      }
    }
  }

  /// The packed file; remembers whether reading it failed, as opposed to its contents.
  private static final class Source extends InputStream {
    private final FileChannel channel;
    private long position;
    private boolean failed;

    Source(FileChannel channel) {
      this.channel = channel;
    }

    long position() {
      return position;
    }

    long size() throws IOException {
      return channel.size();
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      try {
        int count =
            length == 0 ? 0 : channel.read(ByteBuffer.wrap(bytes, offset, length), position);
        position += Math.max(0, count);
        return count;
      } catch (IOException e) {
        failed = true;
        throw e;
      }
    }

    @Override
    public long skip(long byteCount) throws IOException {
      long from = position;
      position = from + Math.clamp(byteCount, 0, Math.max(0, channel.size() - from));
      return position - from;
    }

    @Override
    public int available() throws IOException {
      return (int) Math.min(Integer.MAX_VALUE, channel.size() - position);
    }
  }

  /// A stream whose first bytes were looked at. Reads one run at a time, so that what came out
  /// before an error is not lost with it.
  private static final class Peeked extends FilterInputStream {
    private byte[] head = new byte[0];
    private int used;

    Peeked(InputStream in) {
      super(in);
    }

    byte[] peek() throws IOException {
      head = in.readNBytes(FileMagic.HEAD_BYTES);
      return head;
    }

    @Override
    public int read() throws IOException {
      return used < head.length ? head[used++] & 0xff : in.read();
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      if (used == head.length || length == 0) {
        return in.read(bytes, offset, length);
      }
      int count = Math.min(length, head.length - used);
      System.arraycopy(head, used, bytes, offset, count);
      used += count;
      return count;
    }

    @Override
    public long skip(long byteCount) throws IOException {
      if (used == head.length || byteCount <= 0) {
        return in.skip(byteCount);
      }
      int count = (int) Math.min(byteCount, head.length - used);
      used += count;
      return count;
    }

    @Override
    public int available() throws IOException {
      return head.length - used + Math.max(0, Math.min(in.available(), 1 << 30));
    }

    @Override
    public boolean markSupported() {
      return false;
    }
  }

  /// Members that are passed over are read by the library itself, through this method.
  private final class CountedZip extends ZipInputStream {
    CountedZip(InputStream in) {
      super(in);
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      int count = super.read(bytes, offset, length);
      count(count);
      return count;
    }
  }

  /// What a layer of packing holds, counted.
  private final class Counted extends Guarded {
    Counted(InputStream in) {
      super(in);
    }

    @Override
    public int read() throws IOException {
      int one = super.read();
      count(one < 0 ? 0 : 1);
      return one;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      int count = super.read(bytes, offset, length);
      count(count);
      return count;
    }

    @Override
    public long skip(long byteCount) throws IOException {
      return Math.max(0, read(new byte[(int) Math.min(byteCount, HOLE)]));
    }
  }

  /// Turns what a library throws at damaged input into an [IOException].
  private static class Guarded extends FilterInputStream {
    Guarded(InputStream in) {
      super(in);
    }

    @Override
    public int read() throws IOException {
      try {
        return super.read();
      } catch (CancelledException over) {
        throw over;
      } catch (RuntimeException e) {
        throw new IOException(e.toString(), e);
      }
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      try {
        return super.read(bytes, offset, length);
      } catch (CancelledException over) {
        throw over;
      } catch (RuntimeException e) {
        throw new IOException(e.toString(), e);
      }
    }

    /// A member's end is not the archive's.
    @Override
    public void close() {}
  }
}
