package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.fabric8.kubernetes.api.model.Container;
import io.fabric8.kubernetes.api.model.PodSpec;
import io.fabric8.kubernetes.api.model.Volume;
import io.fabric8.kubernetes.api.model.VolumeMount;
import io.fabric8.kubernetes.api.model.batch.v1.Job;
import io.fabric8.kubernetes.api.model.batch.v1.JobSpec;
import io.fabric8.kubernetes.api.model.batch.v1.PodFailurePolicyRule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.vmcheck.testing.TestData;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.cfg.MapperConfig;
import tools.jackson.databind.introspect.Annotated;
import tools.jackson.databind.introspect.JacksonAnnotationIntrospector;
import tools.jackson.databind.json.JsonMapper;

/// The manifest for Kubernetes, read by a typed model of its API: a key that the API does not know,
/// or a value of another type, would be dropped or refused there and must fail here.
class KubernetesJobTest {
  /// The model keeps unknown keys for later; here they are errors.
  private static final class NothingUnknown extends JacksonAnnotationIntrospector {
    private static final long serialVersionUID = 1L;

    @Override
    public Boolean hasAnySetter(MapperConfig<?> config, Annotated method) {
      return false;
    }
  }

  private static final JsonMapper STRICT =
      JsonMapper.builder()
          .annotationIntrospector(new NothingUnknown())
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
          .build();

  private static String text() throws Exception {
    Path fleet = TestData.named("healthy").dump().resolve("../../../scripts/fleet").normalize();
    return Files.readString(fleet.resolve("vmcheck-job.yaml"));
  }

  private static Job job(String yaml) {
    // Keys that stand twice are refused by the reader.
    Object tree = new Load(LoadSettings.builder().build()).loadFromString(yaml);
    return STRICT.convertValue(tree, Job.class);
  }

  @Test
  void theManifestIsAnIndexedJobOfTheApi() throws Exception {
    Job job = job(text());
    JobSpec spec = job.getSpec();

    assertThat(job.getApiVersion()).isEqualTo("batch/v1");
    assertThat(job.getKind()).isEqualTo("Job");
    assertThat(job.getMetadata().getName()).isEqualTo("vmcheck-scan");
    assertThat(spec.getCompletionMode()).isEqualTo("Indexed");
    assertThat(spec.getParallelism()).isLessThanOrEqualTo(spec.getCompletions());
    // What the API server asks for beside a pod failure policy.
    assertThat(spec.getTemplate().getSpec().getRestartPolicy()).isEqualTo("Never");
    assertThat(spec.getBackoffLimitPerIndex()).isPositive();
    assertThat(spec.getBackoffLimit()).as("only one of both limits").isNull();
  }

  /// A verdict is a success in the container already; a wrong command line and a bug end the index,
  /// a drained node costs no try, and all else is tried again.
  @Test
  void thePodFailurePolicyIsThatOfTheExitCodes() throws Exception {
    JobSpec spec = job(text()).getSpec();
    List<PodFailurePolicyRule> rules = spec.getPodFailurePolicy().getRules();

    assertThat(rules).hasSize(2);
    assertThat(rules.get(0).getAction()).isEqualTo("Ignore");
    assertThat(rules.get(0).getOnExitCodes()).isNull();
    assertThat(rules.get(0).getOnPodConditions())
        .singleElement()
        .satisfies(
            condition -> {
              assertThat(condition.getType()).isEqualTo("DisruptionTarget");
              assertThat(condition.getStatus()).isEqualTo("True");
            });
    assertThat(rules.get(1).getAction()).isEqualTo("FailIndex");
    assertThat(rules.get(1).getOnPodConditions()).isNullOrEmpty();
    assertThat(rules.get(1).getOnExitCodes().getOperator()).isEqualTo("In");
    assertThat(rules.get(1).getOnExitCodes().getValues())
        .containsExactly(ExitCode.USAGE, ExitCode.BUG);
    assertThat(spec.getTemplate().getSpec().getContainers())
        .singleElement()
        .extracting(Container::getName)
        .isEqualTo(rules.get(1).getOnExitCodes().getContainerName());
  }

  /// Each place that it writes to, and each that it mounts, is there; of the rights of root it has
  /// none.
  @Test
  void thePodHasNoRightThatItDoesNotNeed() throws Exception {
    PodSpec pod = job(text()).getSpec().getTemplate().getSpec();
    Container scan = pod.getContainers().getFirst();

    assertThat(pod.getSecurityContext().getRunAsNonRoot()).isTrue();
    assertThat(pod.getSecurityContext().getRunAsUser()).isPositive();
    assertThat(pod.getAutomountServiceAccountToken()).isFalse();
    assertThat(scan.getSecurityContext().getReadOnlyRootFilesystem()).isTrue();
    assertThat(scan.getSecurityContext().getAllowPrivilegeEscalation()).isFalse();
    assertThat(scan.getSecurityContext().getCapabilities().getDrop()).containsExactly("ALL");
    assertThat(scan.getVolumeMounts().stream().map(VolumeMount::getName))
        .containsExactlyInAnyOrderElementsOf(
            pod.getVolumes().stream().map(Volume::getName).toList());
    assertThat(scan.getVolumeMounts())
        .filteredOn(mount -> !mount.getMountPath().equals("/tmp"))
        .allMatch(VolumeMount::getReadOnly);
    assertThat(scan.getResources().getLimits()).containsKey("memory");
  }

  @ParameterizedTest
  @CsvSource({
    "backoffLimitPerIndex: 3, backoffLimitPerIndx: 3",
    "completions: 8, completions: eight",
    "operator: In, operater: In",
    "runAsNonRoot: true, runAsNonRoot: 7.5",
    "'drop: [ALL]', 'drop: {ALL: 1}'",
    "mountPath: /tmp, mountpath: /tmp",
    "image: registry, imagePath: registry",
    "claimName: crash, claim: crash"
  })
  void whatTheApiDoesNotKnowIsRefused(String right, String wrong) throws Exception {
    String yaml = text();
    assertThat(yaml).contains(right);

    assertThatThrownBy(() -> job(yaml.replace(right, wrong))).isInstanceOf(JacksonException.class);
  }
}
