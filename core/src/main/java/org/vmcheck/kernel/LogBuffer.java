package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Lines;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The kernel log, read with the sizes and offsets that VMCOREINFO gives: no symbols or types are
/// needed, and what VMCOREINFO lacks is named, never supplied.
///
/// @param records in order of their sequence numbers
/// @param problem why there are none, or not all; empty if all is well
public record LogBuffer(List<Line> records, String problem) {
  /// One record.
  ///
  /// @param timestampNanos since boot
  /// @param level 0 to 7
  /// @param facility 0 (LOG_KERN) of what the kernel itself said; of what came through /dev/kmsg
  ///   the writer's, never 0 (Linux `kernel/printk/printk.c`, devkmsg_write); [#ANYONE] where
  ///   records do not tell
  /// @param caller who wrote it: with bit 31 a CPU, else a thread; [#ANYONE] where records do not
  ///   tell
  /// @param text as stored, unescaped
  public record Line(long timestampNanos, int level, int facility, int caller, String text) {
    /// Stands for a caller or a facility that is not known.
    public static final int ANYONE = -1;

    /// A line of the kernel's own.
    public Line(long timestampNanos, int level, String text) {
      this(timestampNanos, level, 0, ANYONE, text);
    }

    /// Whether the kernel said it, not a program through /dev/kmsg.
    public boolean isKernels() {
      return facility == 0;
    }
  }

  /// Log buffers are at most a few MiB; the largest that the kernel allows is 2 GiB.
  private static final int MAX_BYTES = 64 << 20;

  private static final int MAX_RECORDS = 1 << 20;

  /// No structure of the log is larger.
  private static final int MAX_STRUCT = 4096;

  public LogBuffer {
    records = List.copyOf(records);
  }

  /// What the kernel itself said: the only records that testify, for any program that may write to
  /// /dev/kmsg can write the words of all others.
  public List<Line> kernelRecords() {
    return records.stream().filter(Line::isKernels).toList();
  }

  static LogBuffer read(Kernel kernel) {
    Vmcoreinfo info = kernel.vmcoreinfo();
    if (info.symbol("prb").isPresent()) {
      return RingBuffer.read(kernel, info);
    }
    if (info.symbol("log_buf").isPresent()) {
      return recordBuffer(kernel, info);
    }
    return new LogBuffer(List.of(), "VMCOREINFO names neither prb nor log_buf");
  }

  /// Where a record keeps who said it. No kernel exports that: the types tell, else the order of
  /// the members, in which facility, then flags and level, one byte each, follow the last length.
  ///
  /// @param facilityAt -1 where it is not known
  /// @param callerAt -1 where records have none
  private record Speaker(int facilityAt, int callerAt) {
    /// @param struct name of the record's structure
    /// @param lastLength the member before the facility
    static Speaker of(Kernel kernel, String struct, String lastLength) throws Unreadable {
      Vmcoreinfo info = kernel.vmcoreinfo();
      Optional<StructLayout> type = kernel.struct(struct, "facility");
      int caller =
          (int) info.offset(struct + ".caller_id").orElse(offset(type, "caller_id").orElse(-1));
      OptionalLong last = info.offset(struct + "." + lastLength);
      if (type.isPresent() || last.isEmpty()) {
        return new Speaker((int) offset(type, "facility").orElse(-1), caller);
      }
      int next = (int) last.getAsLong() + 2;
      // With a caller the gap must be that of the two bytes; else the record's own size bounds
      // them.
      boolean fits = caller < 0 ? next + 2 <= size(info, struct) : caller == next + 2;
      return new Speaker(fits ? next : -1, caller);
    }

    private static OptionalLong offset(Optional<StructLayout> type, String member) {
      return type.flatMap(t -> t.member(member))
          .map(found -> OptionalLong.of(found.offset()))
          .orElse(OptionalLong.empty());
    }

    Line line(long nanos, ByteView record, long at, String text) {
      boolean isKnown = facilityAt >= 0;
      return new Line(
          nanos,
          isKnown ? record.u8(at + facilityAt + 1) >>> 5 : 0,
          isKnown ? record.u8(at + facilityAt) : Line.ANYONE,
          callerAt >= 0 ? (int) record.u32(at + callerAt) : Line.ANYONE,
          text);
    }

    String problem(String struct) {
      return facilityAt >= 0
          ? ""
          : "neither VMCOREINFO nor types tell where struct %s keeps the facility"
              .formatted(struct);
    }
  }

  /// The buffer of `struct printk_log` records, one after the other.
  private static LogBuffer recordBuffer(Kernel kernel, Vmcoreinfo info) {
    VirtualMemory memory = kernel.memory();
    List<Line> records = new ArrayList<>();
    try {
      long buffer = word(memory, symbol(info, "log_buf"));
      long length = word32(memory, symbol(info, "log_buf_len"));
      long at = word32(memory, symbol(info, "log_first_idx"));
      long end = word32(memory, symbol(info, "log_next_idx"));
      int header = size(info, "printk_log");
      long lenAt = needed(info, "printk_log.len");
      long textLenAt = needed(info, "printk_log.text_len");
      long nanosAt = needed(info, "printk_log.ts_nsec");
      Speaker speaker = Speaker.of(kernel, "printk_log", "dict_len");
      if (length <= 0 || length > MAX_BYTES) {
        return new LogBuffer(List.of(), "log_buf_len is " + length);
      }
      Cancellation cancellation = Cancellation.current();
      for (long walked = 0; at != end && walked <= length && records.size() < MAX_RECORDS; ) {
        cancellation.step();
        ByteView head = view(memory, buffer + at, header);
        int recordLength = head.u16(lenAt);
        if (recordLength == 0) {
          at = 0;
          walked += header;
          continue;
        }
        if (recordLength < header) {
          return new LogBuffer(records, "a record of the log has " + recordLength + " bytes");
        }
        int textLength = Math.min(head.u16(textLenAt), recordLength - header);
        String text = text(view(memory, buffer + at + header, textLength));
        records.add(speaker.line(head.u64(nanosAt), head, 0, text));
        at += recordLength;
        walked += recordLength;
      }
      return new LogBuffer(records, speaker.problem("printk_log"));
    } catch (Unreadable e) {
      return new LogBuffer(records, e.getMessage());
    } catch (IndexOutOfBoundsException _) {
      return new LogBuffer(records, "the log's records have members behind their end");
    }
  }

  /// The lockless ring buffer (Linux `kernel/printk/printk_ringbuffer.h`).
  private static final class RingBuffer {
    private static final long ID_MASK = (1L << 62) - 1;
    private static final int COMMITTED = 1;
    private static final int FINALIZED = 2;

    static LogBuffer read(Kernel kernel, Vmcoreinfo info) {
      VirtualMemory memory = kernel.memory();
      List<Line> records = new ArrayList<>();
      try {
        long ring = word(memory, symbol(info, "prb"));
        long descRing = ring + needed(info, "printk_ringbuffer.desc_ring");
        long textRing = ring + needed(info, "printk_ringbuffer.text_data_ring");
        long counter = needed(info, "atomic_long_t.counter");
        int countBits = bits(memory, descRing + needed(info, "prb_desc_ring.count_bits"));
        int sizeBits = bits(memory, textRing + needed(info, "prb_data_ring.size_bits"));
        int descSize = size(info, "prb_desc");
        int infoSize = size(info, "printk_info");
        if ((long) infoSize << countBits > MAX_BYTES || (long) descSize << countBits > MAX_BYTES) {
          return new LogBuffer(List.of(), "prb_desc_ring.count_bits is " + countBits);
        }
        ByteView descs =
            view(
                memory,
                word(memory, descRing + needed(info, "prb_desc_ring.descs")),
                descSize << countBits);
        ByteView infos =
            view(
                memory,
                word(memory, descRing + needed(info, "prb_desc_ring.infos")),
                infoSize << countBits);
        ByteView text =
            view(
                memory, word(memory, textRing + needed(info, "prb_data_ring.data")), 1 << sizeBits);
        long head = word(memory, descRing + needed(info, "prb_desc_ring.head_id") + counter);
        long tail = word(memory, descRing + needed(info, "prb_desc_ring.tail_id") + counter);
        long stateAt = needed(info, "prb_desc.state_var") + counter;
        long blockAt = needed(info, "prb_desc.text_blk_lpos");
        long beginAt = blockAt + needed(info, "prb_data_blk_lpos.begin");
        long nextAt = blockAt + needed(info, "prb_data_blk_lpos.next");
        long tsAt = needed(info, "printk_info.ts_nsec");
        long lenAt = needed(info, "printk_info.text_len");
        Speaker speaker = Speaker.of(kernel, "printk_info", "text_len");
        long count = 1L << countBits;
        long left = text.size();
        for (long step = 0; step < Math.min(count, MAX_RECORDS); step++) {
          Cancellation.check();
          long id = (tail + step) & ID_MASK;
          long index = id & (count - 1);
          long state = descs.u64(index * descSize + stateAt);
          int kind = (int) (state >>> 62);
          if ((state & ID_MASK) == id && (kind == COMMITTED || kind == FINALIZED)) {
            long begin = descs.u64(index * descSize + beginAt);
            long next = descs.u64(index * descSize + nextAt);
            long record = index * infoSize;
            String line = block(text, begin, next, infos.u16(record + lenAt));
            // Each record has a block of its own: texts that share theirs could be a million long
            // ones.
            left -= line.length();
            if (left < 0) {
              return new LogBuffer(
                  records,
                  "the log's records claim more text than its ring of 2^%d bytes has"
                      .formatted(sizeBits));
            }
            records.add(speaker.line(infos.u64(record + tsAt), infos, record, line));
          }
          if (id == (head & ID_MASK)) {
            break;
          }
        }
        return new LogBuffer(records, speaker.problem("printk_info"));
      } catch (Unreadable e) {
        return new LogBuffer(records, e.getMessage());
      } catch (IndexOutOfBoundsException e) {
        return new LogBuffer(records, "the log's descriptors leave its buffers");
      }
    }

    private static String block(ByteView text, long begin, long next, int textLength) {
      // An odd position says that the record has no text.
      if ((begin & 1) != 0) {
        return "";
      }
      long size = text.size();
      long from = begin & (size - 1);
      long to = next & (size - 1);
      if (from > to) {
        // The block did not fit before the end: it lies at the start.
        from = 0;
      }
      long start = from + 8;
      long length = Math.min(textLength, to - start);
      return length <= 0 ? "" : text(text.slice("text", start, length));
    }

    private static int bits(VirtualMemory memory, long vaddr) throws Unreadable {
      int bits = view(memory, vaddr, 4).i32(0);
      if (bits < 1 || bits > 26) {
        throw new Unreadable("a ring of 2^" + bits + " entries");
      }
      return bits;
    }
  }

  private static String text(ByteView view) {
    // A longer one is none of printk's.
    int length = (int) Math.min(view.size(), Lines.MAX_CHARS);
    return new String(view.bytes(0, length), java.nio.charset.StandardCharsets.ISO_8859_1);
  }

  private static long needed(Vmcoreinfo info, String member) throws Unreadable {
    OptionalLong offset = info.offset(member);
    if (offset.isEmpty() || offset.getAsLong() < 0 || offset.getAsLong() > MAX_STRUCT) {
      throw new Unreadable("VMCOREINFO lacks OFFSET(" + member + ")");
    }
    return offset.getAsLong();
  }

  private static int size(Vmcoreinfo info, String struct) throws Unreadable {
    OptionalLong size = info.size(struct);
    if (size.isEmpty() || size.getAsLong() < 8 || size.getAsLong() > MAX_STRUCT) {
      throw new Unreadable("VMCOREINFO lacks SIZE(" + struct + ")");
    }
    return (int) size.getAsLong();
  }

  private static long symbol(Vmcoreinfo info, String name) throws Unreadable {
    OptionalLong address = info.symbol(name);
    if (address.isEmpty()) {
      throw new Unreadable("VMCOREINFO lacks SYMBOL(" + name + ")");
    }
    return address.getAsLong();
  }

  private static long word(VirtualMemory memory, long vaddr) throws Unreadable {
    return view(memory, vaddr, 8).u64(0);
  }

  private static long word32(VirtualMemory memory, long vaddr) throws Unreadable {
    return view(memory, vaddr, 4).u32(0);
  }

  private static ByteView view(VirtualMemory memory, long vaddr, int byteCount) throws Unreadable {
    MemoryRead read = memory.read(vaddr, byteCount);
    if (read instanceof MemoryRead.Bytes(ByteView view)) {
      return view;
    }
    throw new Unreadable("the log at 0x%x: %s".formatted(vaddr, read.words()));
  }

  /// Ends a read of the log; what was read before is kept.
  private static final class Unreadable extends Exception {
    private static final long serialVersionUID = 1L;

    Unreadable(String reason) {
      super(reason, null, false, false);
    }
  }
}
