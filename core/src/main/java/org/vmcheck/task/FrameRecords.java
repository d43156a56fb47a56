package org.vmcheck.task;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Backtrace.End;
import org.vmcheck.finding.Backtrace.Frame;
import org.vmcheck.finding.Backtrace.Mark;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;

/// Unwinds one stack of arm64 by its frame records: x29 leads to the caller's x29 and, behind it,
/// the address to return to, which may be signed.
///
/// Every record lies on one of the stacks given. A record of zeros ends the chain; from 6.14 on
/// (`struct frame_record_meta`) a third word says whether it is the last one or saved registers
/// follow. One walk is one object.
///
/// Source: Linux `arch/arm64/kernel/stacktrace.c`, `asm/stacktrace/frame.h`.
final class FrameRecords {
  private static final int MAX_FRAMES = 512;
  private static final int RECORD_BYTES = 16;
  private static final int META_FINAL = 1;
  private static final int META_REGISTERS = 2;

  private final Kernel kernel;
  private final Code code;
  private final List<Stack> stacks;
  private final List<Frame> frames = new ArrayList<>();
  private final Set<Stack> left = new HashSet<>();
  private final Optional<StructLayout> saved;
  private final boolean hasMeta;

  /// @param stacks that the walk may be on, the innermost first
  FrameRecords(Kernel kernel, Code code, List<Stack> stacks) {
    this.kernel = kernel;
    this.code = code;
    this.stacks = List.copyOf(stacks);
    this.saved = kernel.struct("pt_regs", "stackframe", "regs", "pc", "pstate");
    this.hasMeta = kernel.struct("frame_record_meta", "type").isPresent();
  }

  /// From the registers of a CPU. Where it was in a function that had made no record yet, the
  /// function that called it is not told by the chain: the link register has it.
  Backtrace from(Registers start) {
    add(start.sp(), start.ip(), false, Optional.of(start), Mark.UNWOUND);
    if (start.isUser()) {
      return new Backtrace(frames, End.USER, "");
    }
    long fp = start.get("x29").orElse(0);
    long lr = code(start.get("lr").orElse(0));
    OptionalLong told = word(fp + 8);
    if (code.isText(lr - 4)
        && (told.isEmpty() || code(told.getAsLong()) != lr)
        && !code.functionStart(lr - 4).equals(code.functionStart(start.ip()))) {
      add(start.sp(), lr, true, Optional.empty(), Mark.SEEN);
    }
    return walk(fp);
  }

  /// From where a task gave up the CPU.
  ///
  /// @param sp its saved stack pointer
  Backtrace fromSleep(long sp, long pc, long fp) {
    if (pc == 0) {
      return new Backtrace(
          List.of(), End.INCOMPLETE, "where the task gave up the CPU is not known");
    }
    // A task that never ran goes on at the first byte of a function.
    long at = code(pc);
    OptionalLong function = code.functionStart(at);
    boolean isExact = function.isPresent() && function.getAsLong() == at;
    add(sp, at, !isExact, Optional.empty(), Mark.UNWOUND);
    return walk(fp);
  }

  private Backtrace walk(long start) {
    long fp = start;
    Optional<Stack> stack = Optional.empty();
    for (int i = 0; i < MAX_FRAMES; i++) {
      if (fp == 0) {
        return new Backtrace(frames, End.BOTTOM, "");
      }
      Optional<Stack> on = stackAt(fp);
      if (on.isEmpty() || (fp & 7) != 0) {
        return stuck("0x%x is on no stack of this task or CPU".formatted(fp));
      }
      if (stack.isPresent() && !on.equals(stack)) {
        left.add(stack.get());
        if (left.contains(on.get())) {
          return stuck("the walk comes back to a stack that it left");
        }
      }
      stack = on;
      OptionalLong next = word(fp);
      OptionalLong lr = word(fp + 8);
      if (next.isEmpty() || lr.isEmpty()) {
        return stuck("the frame record at 0x%x cannot be read".formatted(fp));
      }
      if (next.getAsLong() == 0 && lr.getAsLong() == 0) {
        Optional<Registers> interrupted = registersBehind(fp);
        if (interrupted.isEmpty()) {
          return new Backtrace(frames, End.BOTTOM, "");
        }
        Registers at = interrupted.get();
        add(fp, at.ip(), false, interrupted, Mark.UNWOUND);
        if (at.isUser()) {
          return new Backtrace(frames, End.USER, "");
        }
        fp = at.get("x29").orElse(0);
        continue;
      }
      long to = code(lr.getAsLong());
      if (!code.wasText(to - 4)) {
        return stuck(
            "the return address at 0x%x, 0x%x, is in no code of the kernel or its modules"
                .formatted(fp + 8, lr.getAsLong()));
      }
      add(fp + 8, to, true, Optional.empty(), Mark.UNWOUND);
      boolean isDown =
          Long.compareUnsigned(next.getAsLong(), fp) <= 0
              && stackAt(next.getAsLong()).equals(stack);
      if (isDown && next.getAsLong() != 0) {
        return stuck("the walk would go down the stack, to 0x%x".formatted(next.getAsLong()));
      }
      fp = next.getAsLong();
    }
    return stuck("the stack has more than %d frames".formatted(MAX_FRAMES));
  }

  private Backtrace stuck(String why) {
    return new Backtrace(frames, End.INCOMPLETE, why);
  }

  /// The registers that were saved where a record of zeros lies, if its third word says so.
  private Optional<Registers> registersBehind(long record) {
    OptionalLong type = hasMeta ? word(record + RECORD_BYTES) : OptionalLong.empty();
    boolean isFinal = type.isPresent() && type.getAsLong() == META_FINAL;
    if (type.isEmpty()
        || (!isFinal && type.getAsLong() != META_REGISTERS)
        || saved.isEmpty()
        || !(StructRef.read(
                kernel.memory(),
                saved.get(),
                record - saved.get().member("stackframe").orElseThrow().offset())
            instanceof StructRef at)) {
      return Optional.empty();
    }
    Map<String, Long> words = new LinkedHashMap<>();
    words.put("pc", at.get("pc"));
    words.put("lr", at.word("regs", 30));
    words.put("sp", at.get("sp"));
    words.put("pstate", at.get("pstate"));
    for (int i = 29; i >= 0; i--) {
      words.put("x" + i, at.word("regs", i));
    }
    Registers registers = Registers.of(words);
    // The last record of a kernel thread lies over registers that nobody saved.
    return isFinal && (!registers.isUser() || registers.ip() == 0)
        ? Optional.empty()
        : Optional.of(registers);
  }

  private void add(long slot, long ip, boolean isReturn, Optional<Registers> registers, Mark mark) {
    String text =
        registers.isPresent() && registers.get().isUser()
            ? "user 0x%x".formatted(ip)
            : code.describe(ip, isReturn);
    frames.add(
        new Frame(slot, ip, text, mark, stackAt(slot).map(Stack::tag).orElse(""), registers));
  }

  private long code(long word) {
    return word == 0 ? 0 : kernel.architecture().returnAddress(kernel.vmcoreinfo(), word);
  }

  private Optional<Stack> stackAt(long address) {
    return stacks.stream().filter(stack -> stack.contains(address)).findFirst();
  }

  private OptionalLong word(long address) {
    return stackAt(address).isPresent()
            && kernel.memory().read(address, 8) instanceof MemoryRead.Bytes(ByteView view)
        ? OptionalLong.of(view.u64(0))
        : OptionalLong.empty();
  }
}
