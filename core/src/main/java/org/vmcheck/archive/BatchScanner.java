package org.vmcheck.archive;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.vmcheck.analysis.AnalysisOptions;

/// Brings a catalogue up to date with a tree: judges what is new or changed, leaves the rest.
public final class BatchScanner {
  /// Heap that one analysis is given; more jobs than fit are not started.
  private static final long HEAP_A_JOB = 64L << 20;

  /// After so many scans were killed at an incident, the next does not try.
  private static final int MAX_ATTEMPTS = 5;

  /// How often a scan asks for what others are at, when nothing else is left to do.
  private static final long HELD_MILLIS = 500;

  /// What the user asked for.
  ///
  /// @param files incidents that are meant beside those in the roots, by any of their files
  /// @param origin whose file system this is: the host's name, or one for a tree that hosts share
  /// @param jobs dumps at a time
  /// @param analysis of each dump; its threads count when there is one job, else each has one
  /// @param refresh whether to judge again what another version of the tool judged
  public record Options(
      List<Path> roots,
      List<Path> files,
      String origin,
      int jobs,
      AnalysisOptions analysis,
      Shard shard,
      boolean refresh,
      String tool) {
    public Options {
      roots = List.copyOf(roots);
      files = List.copyOf(files);
    }

    public Options(
        List<Path> roots,
        String origin,
        int jobs,
        AnalysisOptions analysis,
        Shard shard,
        boolean refresh,
        String tool) {
      this(roots, List.of(), origin, jobs, analysis, shard, refresh, tool);
    }

    /// The same, of incidents of another origin.
    Options withOrigin(String other) {
      return new Options(roots, files, other, jobs, analysis, shard, refresh, tool);
    }
  }

  /// Told what happens; called by several threads, one at a time.
  public interface Listener {
    /// The walk is over.
    ///
    /// @param toJudge incidents that are new or changed
    void planned(int toJudge, long bytes, int unchanged);

    void judged(CatalogueEntry entry);

    /// An incident has a verdict that it had not before; called by the threads that judge, several
    /// at a time.
    ///
    /// @param entry as the catalogue has it
    default void newVerdict(CatalogueEntry entry) {}

    /// A place that could not be looked at.
    void problem(FileUri where, String what);
  }

  /// How a scan went.
  ///
  /// @param verdicts counts of all incidents found, judged now or before, by verdict
  /// @param problems places that could not be looked at
  /// @param ioTroubles incidents that another try may read
  /// @param withoutDump incidents with only a log, or only what the dumper says of itself
  public record Summary(
      int incidents,
      int judged,
      int unchanged,
      int vanished,
      int problems,
      int ioTroubles,
      int bugs,
      int withoutDump,
      Map<String, Integer> verdicts,
      long bytes,
      double seconds) {
    public Summary {
      verdicts = Map.copyOf(verdicts);
    }
  }

  private final Catalogue catalogue;
  private final Options options;
  private final Listener listener;
  private final Judge judge;
  private final Watchdog watchdog;
  private final Map<String, Integer> verdicts = new TreeMap<>();
  private final long startedAt = System.currentTimeMillis() / 1000;

  /// What incidents that are judged again were said to be.
  private final Map<FileUri, String> verdictsBefore = new ConcurrentHashMap<>();

  private final List<List<Incident>> heldElsewhere = new ArrayList<>();
  private Claims claims;
  private boolean enqueue;
  private int judgedHere;
  private int judgedElsewhere;
  private int ioTroubles;
  private int bugs;
  private int withoutDump;
  private int problems;
  private long bytes;

  private BatchScanner(Catalogue catalogue, Options options, Listener listener) {
    this.catalogue = catalogue;
    this.options = options;
    this.listener = listener;
    this.judge =
        new Judge(
            (jobs() > 1 ? options.analysis().withThreads(1) : options.analysis()).forManyDumps(),
            options.origin(),
            options.tool(),
            Clock.systemUTC());
    this.watchdog = new Watchdog(judge, options.analysis().deadline());
  }

  /// Scans. What was judged before a failure stays in the catalogue.
  ///
  /// @throws IOException if a root cannot be read, or the catalogue not be written
  public static Summary scan(Catalogue catalogue, Options options, Listener listener)
      throws IOException {
    return new BatchScanner(catalogue, options, listener).scan();
  }

  /// As many as were asked for and the heap has room for.
  private int jobs() {
    return jobs(options);
  }

  static int jobs(Options options) {
    return (int) Math.clamp(Runtime.getRuntime().maxMemory() / HEAP_A_JOB, 1L, options.jobs());
  }

  /// Puts what is new or changed into the catalogue's queue, where [QueueScanner]s find it, and
  /// judges nothing.
  public static Summary enqueue(Catalogue catalogue, Options options, Listener listener)
      throws IOException {
    BatchScanner scanner = new BatchScanner(catalogue, options, listener);
    scanner.enqueue = true;
    return scanner.scan();
  }

  /// One that judges what a queue gives it.
  static BatchScanner ofQueue(
      Catalogue catalogue, Options options, Listener listener, Claims claims) {
    BatchScanner scanner = new BatchScanner(catalogue, options, listener);
    scanner.claims = claims;
    return scanner;
  }

  private Summary scan() throws IOException {
    long start = System.nanoTime();
    Map<FileUri, Incident> found = new LinkedHashMap<>();
    List<FileUri> unseen = new ArrayList<>();
    List<FileUri> roots = new ArrayList<>();
    Incidents.Sink sink =
        new Incidents.Sink() {
          @Override
          public void incident(Incident incident) {
            if (options.shard().has(incident.location())) {
              found.put(incident.location(), incident);
            }
          }

          @Override
          public void problem(FileUri where, String what, boolean complete) {
            if (!complete) {
              unseen.add(where);
            }
            problems++;
            listener.problem(where, what);
          }
        };
    for (Path root : options.roots()) {
      roots.add(FileUri.of(root.toRealPath()));
      Incidents.find(root, sink);
    }
    Incidents.ofFiles(options.files(), sink);
    int incidents = found.size();
    adoptUnrecorded(found);
    List<IncidentKey> gone = new ArrayList<>();
    List<IncidentKey> back = new ArrayList<>();
    // Takes what is known and unchanged out of what was found.
    catalogue.forEachKnown(
        known -> {
          if (!known.key().origin().equals(options.origin())) {
            return;
          }
          FileUri location = known.key().location();
          Incident incident = found.get(location);
          if (incident == null) {
            if (!known.vanished() && isExpected(location, roots, unseen)) {
              gone.add(known.key());
            }
            return;
          }
          if (known.vanished()) {
            back.add(known.key());
          }
          if (isCurrent(incident, known)) {
            count(known.verdict(), known.problemKind(), known.withoutDump());
            found.remove(location);
          } else {
            verdictsBefore.put(location, known.verdict());
          }
        });
    catalogue.mark(gone, true);
    catalogue.mark(back, false);
    int toJudge = found.size();
    List<List<Incident>> work = plan(found.values());
    listener.planned(
        toJudge,
        work.stream().mapToLong(links -> links.getFirst().bytes()).sum(),
        incidents - toJudge);
    found.clear();
    if (enqueue) {
      Map<IncidentKey, Long> queued = new LinkedHashMap<>();
      for (List<Incident> links : work) {
        for (Incident incident : links) {
          queued.put(new IncidentKey(options.origin(), incident.location()), incident.bytes());
        }
      }
      catalogue.enqueue(queued);
      return summary(incidents, incidents - toJudge, gone.size(), start);
    }
    try (Claims taken = new Claims(catalogue)) {
      claims = taken;
      judgeAll(work);
      while (!heldElsewhere.isEmpty()) {
        // Theirs count for this scan too; and what they do not end, being killed, it takes over.
        List<List<Incident>> again = List.copyOf(heldElsewhere);
        heldElsewhere.clear();
        pause();
        judgeAll(again);
      }
    }
    return summary(incidents, incidents - toJudge + judgedElsewhere, gone.size(), start);
  }

  private Summary summary(int incidents, int unchanged, int vanished, long start) {
    return new Summary(
        incidents,
        enqueue ? 0 : incidents - unchanged,
        unchanged,
        vanished,
        problems,
        ioTroubles,
        bugs,
        withoutDump,
        verdicts,
        bytes,
        (System.nanoTime() - start) / 1e9);
  }

  /// Rows of a catalogue that kept no origin are of this one where its files are those that were
  /// judged: of the same size, and changed last in the same nanosecond.
  private void adoptUnrecorded(Map<FileUri, Incident> found) throws IOException {
    List<IncidentKey> own = new ArrayList<>();
    catalogue.forEachKnown(
        known -> {
          Incident incident = found.get(known.key().location());
          if (incident != null
              && known.key().origin().startsWith(IncidentKey.UNRECORDED)
              && known.identity().equals(incident.identity())) {
            own.add(known.key());
          }
        });
    catalogue.adopt(own, options.origin());
  }

  /// What is to be judged, largest first so that the last job is not the longest; hard links to one
  /// file together, as it is read once.
  private static List<List<Incident>> plan(Collection<Incident> found) {
    Map<String, List<Incident>> work = new HashMap<>();
    for (Incident incident : found) {
      String key = incident.link().isEmpty() ? incident.location().uri() : incident.link();
      work.computeIfAbsent(key, _ -> new ArrayList<>()).add(incident);
    }
    List<List<Incident>> ordered = new ArrayList<>(work.values());
    ordered.forEach(links -> links.sort(Comparator.comparing(Incident::location)));
    ordered.sort(
        Comparator.comparingLong((List<Incident> links) -> links.getFirst().bytes())
            .reversed()
            .thenComparing(links -> links.getFirst().location()));
    return ordered;
  }

  /// Whether this scan would have met an incident if it were still there.
  private boolean isExpected(FileUri location, List<FileUri> roots, List<FileUri> unseen) {
    return options.shard().has(location)
        && roots.stream().anyMatch(location::isUnder)
        && unseen.stream().noneMatch(location::isUnder);
  }

  private boolean isCurrent(Incident incident, Catalogue.Known known) {
    return known.identity().equals(incident.identity())
        && (!options.refresh() || known.tool().equals(options.tool()))
        // What failed for a passing reason is tried again.
        && known.problemKind() != CatalogueEntry.Problem.IO;
  }

  private void judgeAll(List<List<Incident>> work) throws IOException {
    int jobs = Math.max(1, Math.min(jobs(), work.size()));
    try (ExecutorService workers = Executors.newFixedThreadPool(jobs)) {
      List<Future<?>> futures = new ArrayList<>();
      for (List<Incident> links : work) {
        futures.add(
            workers.submit(
                () -> {
                  judge(links);
                  return null;
                }));
      }
      for (Future<?> future : futures) {
        try {
          future.get();
        } catch (ExecutionException failure) {
          workers.shutdownNow();
          switch (failure.getCause()) {
            case IOException io -> throw io;
            case RuntimeException bug -> throw bug;
            case null, default -> throw new IllegalStateException(failure.getCause());
          }
        } catch (InterruptedException _) {
          workers.shutdownNow();
          Thread.currentThread().interrupt();
          throw new IOException("interrupted; what was judged is in the catalogue");
        }
      }
    }
  }

  private static void pause() throws IOException {
    try {
      Thread.sleep(HELD_MILLIS);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted; what was judged is in the catalogue");
    }
  }

  private void judge(List<Incident> all) throws IOException {
    if (Thread.currentThread().isInterrupted()) {
      return;
    }
    if (!claims.take(all.getFirst(), options.origin())) {
      synchronized (this) {
        heldElsewhere.add(all);
      }
      return;
    }
    judgeTaken(all);
  }

  private void judgeTaken(List<Incident> all) throws IOException {
    List<Incident> links = withoutJudged(all);
    if (links.isEmpty()) {
      claims.release(all.getFirst(), options.origin());
      return;
    }
    Judge.Judged first = watchdog.judge(links.getFirst());
    if (Thread.currentThread().isInterrupted()) {
      return; // The scan ends: what was not judged to the end is left for the next.
    }
    for (Incident link : links) {
      Judge.Judged judged =
          link.location().equals(links.getFirst().location()) ? first : judge.sameFile(first, link);
      CatalogueEntry entry = put(link, judged);
      synchronized (this) {
        count(entry.verdict(), entry.problemKind(), entry.state().isWithoutDump());
        bytes += entry.bytes();
        judgedHere++;
        listener.judged(entry);
      }
      if (!entry.verdict().equals(verdictsBefore.get(entry.location()))) {
        listener.newVerdict(catalogue.entry(entry.key()).orElse(entry));
      }
    }
    if (links.size() < all.size()) {
      claims.release(all.getFirst(), options.origin());
    }
  }

  /// Judges an incident that this scan has taken from a queue.
  ///
  /// @param attempts how many scans took it before and did not end
  void judgeQueued(Incident incident, int attempts) throws IOException {
    IncidentKey key = new IncidentKey(options.origin(), incident.location());
    catalogue
        .known(key)
        .ifPresent(known -> verdictsBefore.put(incident.location(), known.verdict()));
    if (attempts < MAX_ATTEMPTS) {
      judgeTaken(List.of(incident));
      return;
    }
    CatalogueEntry entry = put(incident, judge.deadly(incident, attempts, System.nanoTime()));
    synchronized (this) {
      count(entry.verdict(), entry.problemKind(), entry.state().isWithoutDump());
      judgedHere++;
      listener.judged(entry);
    }
  }

  /// How far this one got.
  synchronized Summary soFar(long start) {
    return new Summary(
        judgedHere + judgedElsewhere,
        judgedHere,
        judgedElsewhere,
        0,
        problems,
        ioTroubles,
        bugs,
        withoutDump,
        verdicts,
        bytes,
        (System.nanoTime() - start) / 1e9);
  }

  /// Leaves out what another scan has judged since this one looked.
  private List<Incident> withoutJudged(List<Incident> links) throws IOException {
    List<Incident> left = new ArrayList<>();
    for (Incident link : links) {
      Optional<Catalogue.Known> known =
          catalogue.known(new IncidentKey(options.origin(), link.location()));
      if (known.isPresent() && isJudgedElsewhere(link, known.get())) {
        synchronized (this) {
          judgedElsewhere++;
          count(known.get().verdict(), known.get().problemKind(), known.get().withoutDump());
        }
      } else {
        left.add(link);
      }
    }
    return left;
  }

  private boolean isJudgedElsewhere(Incident incident, Catalogue.Known known) {
    return isCurrent(incident, known)
        || (known.identity().equals(incident.identity())
            && known.tool().equals(options.tool())
            && known.judgedAt() >= startedAt);
  }

  /// Writes a row; where its report cannot be, one that says so.
  ///
  /// @throws IOException if the catalogue cannot be written to at all
  private CatalogueEntry put(Incident incident, Judge.Judged judged) throws IOException {
    try {
      catalogue.put(judged.entry(), judged.report());
      return judged.entry();
    } catch (RuntimeException | Error thrown) {
      CatalogueEntry entry = judge.broken(incident, thrown, System.nanoTime()).entry();
      catalogue.put(entry, Optional.empty());
      return entry;
    }
  }

  private synchronized void count(String verdict, CatalogueEntry.Problem problem, boolean noDump) {
    if (noDump) {
      withoutDump++;
    } else {
      verdicts.merge(verdict, 1, Integer::sum);
    }
    ioTroubles += problem == CatalogueEntry.Problem.IO ? 1 : 0;
    bugs += problem == CatalogueEntry.Problem.BUG ? 1 : 0;
  }
}
