package org.vmcheck.check;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.KfenceObjects;
import org.vmcheck.slab.KfenceObjects.KfenceObject;
import org.vmcheck.slab.KfenceObjects.KfenceTrack;
import org.vmcheck.slab.KfenceObjects.State;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.Words;

/// Are the bytes around KFENCE's objects as it left them, and does its metadata make sense?
final class KfenceCanariesCheck implements Check {
  private static final int MAX_FINDINGS = 32;
  private static final int MAX_FRAMES = 5;

  /// From the moment that stops a CPU to the last line of the log.
  private static final long LONGEST_STOP = 10_000_000_000L;

  @Override
  public String id() {
    return "kfence.canaries";
  }

  @Override
  public String question() {
    return "Are the bytes around KFENCE's objects as it left them?";
  }

  @Override
  public String explanation() {
    return """
    KFENCE (5.12 on) gives a sample of all slab objects a page of their own and fills the rest of the
    page with a pattern, 0xaa ^ (address & 7), when it hands the object out. The pattern stays when
    the object is freed, until the page is used again, and the kernel itself looks at it at the free
    only. Here every object that is or was in use is looked at; its metadata says where it lies, of
    which cache it is, and who allocated and freed it.

    Legal, and so a note: the object that was handed out last, if it has no pattern from some byte
    on, for a CPU may have been stopped while it wrote the pattern.

    Nothing to look at: a kernel without a pool, or a pool whose metadata cannot be found, which is
    said. It can mislead: what the kernel found itself is damage that it left; see the log.
    Next: the stack of the allocation names the owner of the object that was overrun.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SYMBOLS;
  }

  /// Wrong bytes beside an object.
  ///
  /// @param from the first, `to` behind the last
  private record Damage(KfenceObject object, long from, long to, int bytes, boolean mayBeUnset) {}

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    KfenceObjects kfence = KfenceObjects.of(kernel);
    if (kfence.objects().isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          kfence.pool() == 0
              ? noPool(kernel)
              : "the KFENCE pool at 0x%x was not looked at: %s"
                  .formatted(kfence.pool(), kfence.problem()));
    }
    Pass pass = new Pass(kernel, kfence);
    for (KfenceObject object : kfence.objects()) {
      Cancellation.check();
      pass.look(object);
    }
    return pass.outcome();
  }

  /// A kernel that names functions only does not name its pool either.
  private static String noPool(Kernel kernel) {
    return kernel.symbol("__kfence_pool").isEmpty() && kernel.symbol("slab_caches").isEmpty()
        ? "whether the kernel has a KFENCE pool is not known: it names functions only"
        : "the kernel has no KFENCE pool";
  }

  /// One look at every object.
  private final class Pass {
    private final Kernel kernel;
    private final KfenceObjects kfence;
    private final Map<State, Integer> states = new EnumMap<>(State.class);
    private final List<Finding> findings = new ArrayList<>();
    private final List<Note> notes = new ArrayList<>();
    private final Map<String, Long> notRead = new TreeMap<>();

    /// When the last object was handed out; later than any if that is long before the end.
    private final long newest;

    private long looked;
    private long dropped;

    Pass(Kernel kernel, KfenceObjects kfence) {
      this.kernel = kernel;
      this.kfence = kfence;
      long last = kfence.objects().stream().mapToLong(o -> o.allocated().nanos()).max().orElse(0);
      // Tracks and log have one clock (local_clock); CPUs are stopped soon after the panic's line.
      List<LogBuffer.Line> log = kernel.log().records();
      boolean isLongAgo = !log.isEmpty() && last < log.getLast().timestampNanos() - LONGEST_STOP;
      newest = isLongAgo ? Long.MAX_VALUE : last;
    }

    void look(KfenceObject object) {
      states.merge(object.state(), 1, Integer::sum);
      if (object.state() == State.UNUSED) {
        return;
      }
      boolean isNewest = object.state() == State.ALLOCATED && object.allocated().nanos() == newest;
      if (object.state() == State.UNKNOWN || !object.isInPage(kernel.memory().pageSize())) {
        if (isNewest) {
          notes.add(setUp(object));
        } else {
          keep(metadata(kernel, object));
        }
        return;
      }
      MemoryRead page = kernel.memory().read(object.page(), kernel.memory().pageSize());
      if (!(page instanceof MemoryRead.Bytes(ByteView bytes))) {
        notRead.merge("KFENCE pages " + page.words(), 1L, Long::sum);
        return;
      }
      looked++;
      Damage damage = damage(object, bytes);
      if (damage != null && isNewest && damage.mayBeUnset) {
        notes.add(setUp(object));
      } else if (damage != null) {
        keep(finding(kernel, damage));
      }
    }

    private void keep(Finding finding) {
      if (findings.size() < MAX_FINDINGS) {
        findings.add(finding);
      } else {
        dropped++;
      }
    }

    CheckOutcome outcome() {
      if (kfence.unread() > 0) {
        notRead.put("KFENCE metadata", (long) kfence.unread());
      }
      Map<String, String> facts = new LinkedHashMap<>();
      facts.put("objects", Integer.toString(kfence.objects().size()));
      states.forEach((state, count) -> facts.put(state.words(), Integer.toString(count)));
      List<String> gaps =
          dropped == 0
              ? List.of()
              : List.of(dropped + " more KFENCE objects are damaged and not listed");
      if (looked == 0 && findings.isEmpty()) {
        return new CheckOutcome.NothingToLookAt(
            id(),
            "of %s none that was ever used has its page in the dump"
                .formatted(
                    Words.plural(kfence.objects().size(), "KFENCE object", "KFENCE objects")),
            facts,
            notes,
            new Coverage(Map.of(), notRead, gaps));
      }
      return new CheckOutcome.Ran(
          id(),
          findings.isEmpty()
              ? "the bytes around %s are right; %d of %d were never used%s"
                  .formatted(
                      Words.plural(looked, "object", "objects"),
                      states.getOrDefault(State.UNUSED, 0),
                      kfence.objects().size(),
                      notRead.isEmpty() ? "" : "; the pages of others cannot be read")
              : Words.plural(findings.size() + dropped, "object is damaged", "objects are damaged"),
          facts,
          findings,
          notes,
          new Coverage(Map.of("KFENCE objects", looked), notRead, gaps));
    }
  }

  private static Note setUp(KfenceObject object) {
    return new Note(
        "KFENCE",
        "%s was the last to be handed out and may have been so when its CPU was stopped: the bytes around it are not all set"
            .formatted(object.words()));
  }

  /// The wrong bytes of an object's page; null if there are none. The kernel sets the bytes before
  /// the object first and then those behind it, upwards.
  private static Damage damage(KfenceObject object, ByteView page) {
    int start = (int) (object.address() - object.page());
    int end = start + (int) object.size();
    long first = -1;
    long last = -1;
    int wrong = 0;
    boolean isUnset = true;
    int rightInARow = 0;
    for (int at = 0; at < page.size(); at++) {
      if (at == start) {
        at = end;
        if (at == page.size()) {
          break;
        }
      }
      boolean isRight = page.u8(at) == (0xaa ^ (at & 7));
      if (!isRight) {
        first = first < 0 ? at : first;
        last = at;
        wrong++;
      }
      // A byte of what was there before may be right by chance, eight in a row are not.
      rightInARow = isRight ? rightInARow + 1 : 0;
      isUnset &= first < 0 || rightInARow < 8;
    }
    return first < 0
        ? null
        : new Damage(object, object.page() + first, object.page() + last + 1, wrong, isUnset);
  }

  // ---- findings

  private Finding finding(Kernel kernel, Damage damage) {
    KfenceObject object = damage.object;
    String cache = cache(kernel, object);
    boolean isBefore = damage.from < object.address();
    String side = isBefore ? (damage.to > object.address() ? "around" : "before") : "behind";
    List<Evidence> evidence = new ArrayList<>();
    long raw = kernel.word(damage.from & -8).orElse(Evidence.UNKNOWN);
    long nearest =
        isBefore ? object.address() - damage.from : damage.from - object.address() - object.size();
    evidence.add(
        new Evidence.WordAt(
            damage.from,
            kernel.memory().physicalAddress(damage.from),
            raw,
            Evidence.UNKNOWN,
            "%s not 0xaa ^ (address & 7), the first at 0x%x, %d bytes %s the object, the last at 0x%x"
                .formatted(
                    Words.plural(damage.bytes, "byte is", "bytes are"),
                    damage.from,
                    nearest,
                    isBefore ? "before" : "behind the end of",
                    damage.to - 1)));
    evidence.add(
        HexWindow.around(
            kernel,
            damage.from,
            (int) Math.min(32, damage.to - damage.from),
            "the bytes around the first of them"));
    tracks(kernel, object, evidence);
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.REDZONE_OVERWRITTEN,
        "the bytes %s %s, %d bytes of cache %s, are overwritten; it is %s"
            .formatted(side, object.words(), object.size(), cache, object.state().words()),
        Subject.cache(cache)
            .withObject(object.address())
            .withAddress(damage.from, kernel.memory().physicalAddress(damage.from))
            .withWord(raw, Evidence.UNKNOWN),
        evidence,
        List.of(),
        Fingerprint.of(id(), Cause.REDZONE_OVERWRITTEN, cache, side));
  }

  private Finding metadata(Kernel kernel, KfenceObject object) {
    String why =
        object.state() == State.UNKNOWN
            ? "its state is none of the kernel's"
            : "its object, %d bytes at 0x%x, does not lie in its page at 0x%x"
                .formatted(object.size(), object.address(), object.page());
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.WordAt(
            object.metadata(),
            kernel.memory().physicalAddress(object.metadata()),
            Evidence.UNKNOWN,
            Evidence.UNKNOWN,
            "kfence_metadata at 0x%x: %s".formatted(object.metadata(), why)));
    tracks(kernel, object, evidence);
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.METADATA_OVERWRITTEN,
        "the metadata of %s is not one that the kernel could have written"
            .formatted(object.words()),
        Subject.NONE.withAddress(
            object.metadata(), kernel.memory().physicalAddress(object.metadata())),
        evidence,
        List.of(),
        Fingerprint.of(id(), Cause.METADATA_OVERWRITTEN));
  }

  /// The name of an object's cache.
  static String cache(Kernel kernel, KfenceObject object) {
    SlabCache cache = SlabCaches.of(kernel).byAddress().get(object.cache());
    return cache == null ? "(destroyed)" : Words.name(cache);
  }

  private static void tracks(Kernel kernel, KfenceObject object, List<Evidence> evidence) {
    track(kernel, object.allocated(), "allocated", evidence);
    if (object.state() == State.FREED || object.state() == State.RCU_FREEING) {
      track(kernel, object.freed(), "freed", evidence);
    }
  }

  private static void track(
      Kernel kernel, KfenceTrack track, String what, List<Evidence> evidence) {
    if (track.stack().isEmpty()) {
      return;
    }
    List<String> frames = track.stack().stream().limit(MAX_FRAMES).map(kernel::describe).toList();
    evidence.add(
        new Evidence.WordAt(
            track.stack().getFirst(),
            Evidence.UNKNOWN,
            Evidence.UNKNOWN,
            Evidence.UNKNOWN,
            "the object was %s by task %d on cpu %d at %s s: %s"
                .formatted(
                    what,
                    track.pid(),
                    track.cpu(),
                    String.format(Locale.ROOT, "%.6f", track.nanos() / 1e9),
                    String.join(" < ", frames))));
  }
}
