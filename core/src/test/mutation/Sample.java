import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.List;
import org.pitest.bytecode.analysis.ClassTree;
import org.pitest.mutationtest.build.InterceptorParameters;
import org.pitest.mutationtest.build.InterceptorType;
import org.pitest.mutationtest.build.MutationInterceptor;
import org.pitest.mutationtest.build.MutationInterceptorFactory;
import org.pitest.mutationtest.engine.Mutater;
import org.pitest.mutationtest.engine.MutationDetails;
import org.pitest.plugin.Feature;

/// Keeps a share of a class's mutants, drawn by a seed, and counts them all: a plug-in that
/// `scripts/mutate` compiles and hands to PIT. A mutant is drawn by its name alone, so that a run
/// with a larger share runs those of a smaller one too.
public final class Sample implements MutationInterceptorFactory {
  private static final double SHARE = Double.parseDouble(System.getProperty("sample.share"));
  private static final long SEED = Long.getLong("sample.seed");
  private static final Path COUNTS = Path.of(System.getProperty("sample.counts"));

  @Override
  public MutationInterceptor createInterceptor(InterceptorParameters parameters) {
    return new Draw();
  }

  @Override
  public Feature provides() {
    return Feature.named("SAMPLE").withOnByDefault(true).withDescription(description());
  }

  @Override
  public String description() {
    return "a share of all mutants";
  }

  private static final class Draw implements MutationInterceptor {
    private String name = "";

    @Override
    public InterceptorType type() {
      // After PIT has left out what is no mutant at all.
      return InterceptorType.REPORT;
    }

    @Override
    public void begin(ClassTree type) {
      name = type.name().asJavaName();
    }

    @Override
    public Collection<MutationDetails> intercept(
        Collection<MutationDetails> mutants, Mutater mutater) {
      List<MutationDetails> drawn = mutants.stream().filter(Draw::isDrawn).toList();
      try {
        Files.writeString(
            COUNTS,
            name + "\t" + mutants.size() + "\t" + drawn.size() + "\n",
            StandardOpenOption.CREATE,
            StandardOpenOption.APPEND);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      return drawn;
    }

    private static boolean isDrawn(MutationDetails mutant) {
      long mixed = SEED * 0x9e3779b97f4a7c15L + mutant.getId().toString().hashCode();
      mixed = (mixed ^ (mixed >>> 30)) * 0xbf58476d1ce4e5b9L;
      mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
      return ((mixed ^ (mixed >>> 31)) >>> 11) * 0x1p-53 < SHARE;
    }

    @Override
    public void end() {}
  }
}
