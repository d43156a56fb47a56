package org.vmcheck.task;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Backtrace.End;
import org.vmcheck.finding.Backtrace.Frame;
import org.vmcheck.finding.Backtrace.Mark;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// Unwinds one stack of x86_64 by the kernel's own ORC data, as `arch/x86/kernel/unwind_orc.c`
/// does; where a function has none, by the call instruction that led into it; where the kernel has
/// none, by frame pointers.
///
/// Every word that is followed lies on one of the stacks given. One walk is one object.
final class Unwinder {
  /// Frames and words that look like some, of one trace.
  private static final int MAX_WORDS = 2048;

  /// Frames of one walk.
  private static final int MAX_FRAMES = 512;

  /// Words of the stack that are tried as the frame pointer of the caller of a function without
  /// unwind data.
  private static final int MAX_TRIES = 64;

  /// `TOP_OF_KERNEL_STACK_PADDING` at its most, and what the first function loses to alignment.
  private static final int MAX_PADDING = 32;

  /// Frames that are only guessed, behind the last proven one.
  private static final int MAX_SEEN = 64;

  private final Kernel kernel;
  private final Code code;
  private final List<Stack> stacks;
  private final List<Frame> frames = new ArrayList<>();
  private final Set<Stack> left = new HashSet<>();

  private long ip;
  private long sp;
  private long bp;
  private Optional<Registers> registers = Optional.empty();

  /// Whether [#ip] is the instruction itself, and no return address.
  private boolean isExact;

  private Mark mark = Mark.UNWOUND;
  private long slot;

  /// @param stacks that the walk may be on, the innermost first
  Unwinder(Kernel kernel, Code code, List<Stack> stacks) {
    this.kernel = kernel;
    this.code = code;
    this.stacks = List.copyOf(stacks);
  }

  /// From the registers of a CPU.
  Backtrace from(Registers start) {
    ip = start.ip();
    sp = start.sp();
    slot = sp;
    bp = start.get("RBP").orElse(0);
    registers = Optional.of(start);
    isExact = true;
    if (start.isUser()) {
      add(Optional.of(start));
      return new Backtrace(frames, End.USER, "");
    }
    return walk();
  }

  /// From where a task gave up the CPU (`struct inactive_task_frame`: r15, r14, r13, r12, bx, bp
  /// and the address to return to).
  Backtrace fromSleep(long savedSp) {
    MemoryRead read = read(savedSp, 56);
    if (!(read instanceof MemoryRead.Bytes(ByteView saved))) {
      return new Backtrace(
          List.of(),
          End.INCOMPLETE,
          "where the task gave up the CPU, 0x%x, cannot be read: %s"
              .formatted(savedSp, read.words()));
    }
    ip = saved.u64(48);
    bp = saved.u64(40);
    slot = savedSp + 48;
    sp = savedSp + 56;
    // A task that never ran "returns" to the first byte of a function.
    OptionalLong start = code.functionStart(ip);
    isExact = start.isPresent() && start.getAsLong() == ip;
    return walk();
  }

  private Backtrace walk() {
    String why = "the stack has more than %d frames".formatted(MAX_FRAMES);
    add(registers);
    for (int i = 0; i < MAX_FRAMES; i++) {
      Step step = step();
      if (step instanceof Step.Ended(End end)) {
        return new Backtrace(frames, end, "");
      }
      if (step instanceof Step.Stuck(String reason)) {
        why = reason;
        break;
      }
      add(isExact ? registers : Optional.empty());
      if (registers.isPresent() && isExact && registers.get().isUser()) {
        return new Backtrace(frames, End.USER, "");
      }
    }
    long from = sp;
    addSeen(from);
    return new Backtrace(frames, End.INCOMPLETE, why);
  }

  private void add(Optional<Registers> saved) {
    String text =
        saved.isPresent() && saved.get().isUser()
            ? "user 0x%x".formatted(ip)
            : code.describe(ip, !isExact);
    frames.add(new Frame(slot, ip, text, mark, stackAt(slot).map(Stack::tag).orElse(""), saved));
    mark = Mark.UNWOUND;
  }

  // ---- one step

  private sealed interface Step {
    record Next() implements Step {}

    record Ended(End end) implements Step {}

    record Stuck(String why) implements Step {}
  }

  private Step step() {
    long at = isExact ? ip : ip - 1;
    Optional<Orc.Entry> found =
        ip == 0
            // A call through a null pointer: only the return address was pushed.
            ? Optional.of(
                new Orc.Entry(Orc.Base.SP, 8, Orc.Base.UNDEFINED, 0, Orc.Type.CALL, false))
            : code.orc(at);
    if (found.isEmpty()) {
      return code.wasText(at) && code.hasOrc()
          ? behindBlindSpot("the unwind data of %s cannot be read".formatted(name(at)))
          : byFramePointer(
              code.wasText(at)
                  ? "the kernel has no unwind data (ORC)"
                  : "0x%x is in no code of the kernel or its modules".formatted(ip));
    }
    Orc.Entry entry = found.get();
    if (entry.type() == Orc.Type.END_OF_STACK) {
      return new Step.Ended(End.BOTTOM);
    }
    if (entry.type() == Orc.Type.UNDEFINED) {
      return behindBlindSpot("%s has no unwind data".formatted(name(at)));
    }
    OptionalLong cfa = cfa(entry);
    if (cfa.isEmpty()) {
      return new Step.Stuck(
          "the frame of %s cannot be found: it is counted from %s".formatted(name(at), entry.sp()));
    }
    return switch (entry.type()) {
      case CALL -> call(entry, cfa.getAsLong());
      case REGS -> interrupted(cfa.getAsLong(), SavedRegisters.BYTES);
      default -> interrupted(cfa.getAsLong(), SavedRegisters.FRAME_BYTES);
    };
  }

  private String name(long at) {
    String name = code.functionName(at);
    return name.isEmpty() ? "0x" + Long.toHexString(at) : org.vmcheck.io.Printable.of(name);
  }

  /// The address that a frame is counted from; empty if that is not known.
  private OptionalLong cfa(Orc.Entry entry) {
    return switch (entry.sp()) {
      case SP -> OptionalLong.of(sp + entry.spOffset());
      case BP -> OptionalLong.of(bp + entry.spOffset());
      case SP_INDIRECT -> plus(word(sp), entry.spOffset());
      case BP_INDIRECT -> word(bp + entry.spOffset());
      case R10 -> plus(saved("R10"), entry.spOffset());
      case R13 -> plus(saved("R13"), entry.spOffset());
      case DI -> plus(saved("RDI"), entry.spOffset());
      case DX -> plus(saved("RDX"), entry.spOffset());
      case AX -> plus(saved("RAX"), entry.spOffset());
      case UNDEFINED, PREV_SP, UNKNOWN -> OptionalLong.empty();
    };
  }

  private OptionalLong saved(String register) {
    return registers.map(r -> r.get(register)).orElse(OptionalLong.empty());
  }

  private static OptionalLong plus(OptionalLong base, int offset) {
    return base.isPresent() ? OptionalLong.of(base.getAsLong() + offset) : base;
  }

  private Step call(Orc.Entry entry, long cfa) {
    Optional<Step> refusal = moveTo(cfa - 8, entry.sp() == Orc.Base.SP_INDIRECT);
    if (refusal.isPresent()) {
      return refusal.get();
    }
    OptionalLong next = word(cfa - 8);
    if (next.isEmpty()) {
      return new Step.Stuck("the stack word at 0x%x cannot be read".formatted(cfa - 8));
    }
    bp =
        switch (entry.bp()) {
          case PREV_SP -> word(cfa + entry.bpOffset()).orElse(bp);
          case BP -> word(bp + entry.bpOffset()).orElse(bp);
          default -> bp;
        };
    ip = next.getAsLong();
    sp = cfa;
    slot = cfa - 8;
    registers = Optional.empty();
    isExact = false;
    return ip == 0
        ? new Step.Stuck("the return address at 0x%x is 0".formatted(slot))
        : new Step.Next();
  }

  private Step interrupted(long at, int byteCount) {
    Optional<Step> refusal = moveTo(at, true);
    if (refusal.isPresent()) {
      return refusal.get();
    }
    if (!(read(at, byteCount) instanceof MemoryRead.Bytes(ByteView bytes))) {
      return new Step.Stuck("the saved registers at 0x%x cannot be read".formatted(at));
    }
    Registers saved =
        byteCount == SavedRegisters.BYTES
            ? SavedRegisters.whole(bytes, 0)
            : SavedRegisters.partial(bytes, 0);
    ip = saved.ip();
    sp = saved.sp();
    slot = at + byteCount - SavedRegisters.FRAME_BYTES;
    bp = saved.get("RBP").orElse(bp);
    registers = Optional.of(saved);
    isExact = true;
    return new Step.Next();
  }

  /// Refuses to go down on the same stack, to leave the stacks, and to enter one a second time.
  private Optional<Step> moveTo(long address, boolean mayChange) {
    Optional<Stack> to = stackAt(address);
    Optional<Stack> from = stackAt(sp);
    if (to.isEmpty()) {
      return Optional.of(
          new Step.Stuck("0x%x is on no stack of this task or CPU".formatted(address)));
    }
    if (from.isEmpty() || to.equals(from)) {
      // Of an overflow the first frame lies below the stack, and its caller's on it.
      return Long.compareUnsigned(address, sp) < 0
          ? Optional.of(
              new Step.Stuck("the walk would go down the stack, to 0x%x".formatted(address)))
          : Optional.empty();
    }
    if (!mayChange && !registers.isPresent()) {
      return Optional.of(
          new Step.Stuck("the stack changes without a reason, to 0x%x".formatted(address)));
    }
    left.add(from.get());
    return left.contains(to.get())
        ? Optional.of(new Step.Stuck("the walk comes back to a stack that it left"))
        : Optional.empty();
  }

  // ---- where there is no unwind data

  /// Goes on behind a function that has no unwind data, as `__crash_kexec`, in which the registers
  /// of every panic were taken: at the first return address whose call leads into that function.
  private Step behindBlindSpot(String why) {
    OptionalLong function = code.functionStart(isExact ? ip : ip - 1);
    Optional<Stack> stack = stackAt(sp);
    if (function.isEmpty() || stack.isEmpty()) {
      return new Step.Stuck(why);
    }
    for (long at = (sp + 7) & -8L; at < stack.get().high(); at += 8) {
      OptionalLong word = word(at);
      if (word.isEmpty()) {
        break;
      }
      OptionalLong called = code.calledBefore(word.getAsLong());
      if (called.isPresent() && called.getAsLong() == function.getAsLong()) {
        long noted = bp;
        bp = framePointerBehind(at, word.getAsLong(), noted);
        ip = word.getAsLong();
        slot = at;
        sp = at + 8;
        registers = Optional.empty();
        isExact = false;
        mark = Mark.RECONSTRUCTED;
        return new Step.Next();
      }
    }
    return new Step.Stuck(why + ", and no return address on its stack is of a call of it");
  }

  /// The frame pointer with which the walk behind a blind spot reaches its end: that of the
  /// registers, else a word between them and the return address.
  private long framePointerBehind(long at, long returnTo, long noted) {
    if (ends(at, returnTo, noted)) {
      return noted;
    }
    int tries = 0;
    for (long candidate = (sp + 7) & -8L; candidate < at && tries < MAX_TRIES; candidate += 8) {
      OptionalLong word = word(candidate);
      if (word.isPresent() && stackAt(word.getAsLong()).isPresent()) {
        tries++;
        if (ends(at, returnTo, word.getAsLong())) {
          return word.getAsLong();
        }
      }
    }
    return noted;
  }

  private boolean ends(long at, long returnTo, long framePointer) {
    Unwinder trial = new Unwinder(kernel, code, stacks);
    trial.ip = returnTo;
    trial.slot = at;
    trial.sp = at + 8;
    trial.bp = framePointer;
    trial.isBlindAllowed = false;
    return trial.walk().isComplete();
  }

  private boolean isBlindAllowed = true;

  /// The chain of frame pointers. A kernel without unwind data is built with them: there they are
  /// as good, and an address with bit 0 set is that of saved registers (`ENCODE_FRAME_POINTER`).
  private Step byFramePointer(String why) {
    if (!isBlindAllowed) {
      return new Step.Stuck(why);
    }
    boolean isBuiltWith = !code.hasOrc();
    Optional<Stack> stack = stackAt(sp - 8);
    if (isBuiltWith && stack.isPresent()) {
      if (stack.get().kind() == Stack.Kind.TASK
          && stack.get().high() - sp <= SavedRegisters.BYTES + MAX_PADDING) {
        // What is left is the place of the registers with which the user came in.
        return new Step.Ended(End.BOTTOM);
      }
      if ((bp & 1) != 0 && stackAt(bp - 1).isPresent()) {
        return interrupted(bp - 1, SavedRegisters.BYTES);
      }
    }
    OptionalLong caller = word(bp);
    OptionalLong next = word(bp + 8);
    if (stack.isEmpty()
        || !stack.get().contains(bp)
        || Long.compareUnsigned(bp, sp - 8) < 0
        || next.isEmpty()
        || !code.wasText(next.getAsLong() - 1)
        || (code.isText(next.getAsLong() - 1) && !code.isBehindCall(next.getAsLong()))) {
      return new Step.Stuck(why);
    }
    if (isExact && isBuiltWith && callerOfLeaf(next.getAsLong())) {
      return new Step.Next();
    }
    ip = next.getAsLong();
    slot = bp + 8;
    sp = bp + 16;
    bp = caller.getAsLong();
    registers = Optional.empty();
    isExact = false;
    mark = isBuiltWith ? Mark.UNWOUND : Mark.RECONSTRUCTED;
    return new Step.Next();
  }

  /// A function that makes no frame was called by the one whose frame it is: its return address
  /// lies below.
  ///
  /// @param next the return address of the frame
  private boolean callerOfLeaf(long next) {
    OptionalLong function = code.functionStart(ip);
    if (function.isEmpty()
        || code.makesFrame(function.getAsLong())
        || code.calledBefore(next).equals(function)) {
      return false;
    }
    for (long at = (sp + 7) & -8L; Long.compareUnsigned(at, bp) < 0; at += 8) {
      OptionalLong word = word(at);
      if (word.isEmpty()) {
        return false;
      }
      if (code.calledBefore(word.getAsLong()).equals(function)) {
        ip = word.getAsLong();
        slot = at;
        sp = at + 8;
        registers = Optional.empty();
        isExact = false;
        mark = Mark.RECONSTRUCTED;
        return true;
      }
    }
    return false;
  }

  /// What may be frames, from an address of a stack to its end.
  private void addSeen(long from) {
    Optional<Stack> stack = stackAt(from).or(() -> stackAt(from - 8));
    if (stack.isEmpty() || !isBlindAllowed) {
      return;
    }
    int seen = 0;
    for (long at = (from + 7) & -8L; at < stack.get().high() && seen < MAX_SEEN; at += 8) {
      OptionalLong word = word(at);
      if (word.isEmpty()) {
        return;
      }
      if (code.isText(word.getAsLong() - 1) && code.isBehindCall(word.getAsLong())) {
        frames.add(
            new Frame(
                at,
                word.getAsLong(),
                code.describe(word.getAsLong(), true),
                Mark.SEEN,
                stack.get().tag(),
                Optional.empty()));
        seen++;
      }
    }
  }

  // ---- what else is on the stacks

  /// The same trace with every other word of its stacks that is an address of code, as the kernel's
  /// own Call Trace has them behind a question mark (Linux `arch/x86/kernel/dumpstack.c`,
  /// `show_trace_log_lvl`): what is left of earlier calls, or of a frame that the walk missed.
  Backtrace withSeen(Backtrace plain) {
    List<Frame> all = new ArrayList<>();
    List<Frame> proven =
        plain.frames().stream().filter(frame -> frame.mark() != Mark.SEEN).toList();
    for (int i = 0; i < proven.size(); i++) {
      Frame frame = proven.get(i);
      all.add(frame);
      Optional<Stack> stack = stackAt(frame.slot());
      if (stack.isEmpty()) {
        continue;
      }
      // The walk begins at a register's value, and not at a word that was a frame.
      long from = i == 0 && frame.registers().isPresent() ? frame.slot() : frame.slot() + 8;
      Optional<Frame> next =
          i + 1 < proven.size() ? Optional.of(proven.get(i + 1)) : Optional.empty();
      boolean staysHere = next.isPresent() && stack.get().contains(next.get().slot());
      seen(all, from, staysHere ? next.get().slot() : stack.get().high());
      if (next.isPresent() && !staysHere) {
        seen(all, entry(frame, stack.get(), next.get().slot()), next.get().slot());
      }
    }
    return new Backtrace(all, plain.end(), plain.why());
  }

  /// Where the walk comes onto the stack of the next frame: where the registers say, or the top
  /// word of the stack that it leaves.
  private long entry(Frame last, Stack left, long nextSlot) {
    long to =
        last.registers().map(Registers::sp).orElseGet(() -> word(left.high() - 8).orElse(nextSlot));
    Optional<Stack> stack = stackAt(nextSlot);
    return stack.isPresent() && stack.get().contains(to) && Long.compareUnsigned(to, nextSlot) <= 0
        ? to
        : nextSlot;
  }

  private void seen(List<Frame> all, long from, long end) {
    for (long at = (from + 7) & -8L; Long.compareUnsigned(at, end) < 0; at += 8) {
      OptionalLong word = word(at);
      if (word.isPresent() && code.isText(word.getAsLong()) && all.size() < MAX_WORDS) {
        all.add(
            new Frame(
                at,
                word.getAsLong(),
                code.describe(word.getAsLong(), true),
                Mark.SEEN,
                stackAt(at).map(Stack::tag).orElse(""),
                Optional.empty()));
      }
    }
  }

  // ---- the stacks

  private Optional<Stack> stackAt(long address) {
    for (Stack stack : stacks) {
      if (stack.contains(address)) {
        return Optional.of(stack);
      }
    }
    return Optional.empty();
  }

  private OptionalLong word(long address) {
    return read(address, 8) instanceof MemoryRead.Bytes(ByteView view)
        ? OptionalLong.of(view.u64(0))
        : OptionalLong.empty();
  }

  private MemoryRead read(long address, int byteCount) {
    Optional<Stack> stack = stackAt(address);
    return stack.isPresent() && stack.get().contains(address + byteCount - 1)
        ? kernel.memory().read(address, byteCount)
        : new MemoryRead.NotMapped(address, "on no stack of this task or CPU");
  }
}
