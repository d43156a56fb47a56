package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.lang.annotation.Annotation;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/// Runs every benchmark once, so that none rots: `scripts/bench` runs them for their numbers.
class BenchmarksTest {
  /// Each class with a benchmark, for each value of its parameter.
  static Stream<Arguments> benchmarks() {
    return new ClassFileImporter()
            .importUrl(BenchmarksTest.class.getProtectionDomain().getCodeSource().getLocation())
            .stream()
            .filter(
                type ->
                    type.getMethods().stream().anyMatch(m -> m.isAnnotatedWith(Benchmark.class)))
            .map(JavaClass::reflect)
            .flatMap(type -> values(type).stream().map(value -> Arguments.of(type, value)));
  }

  @ParameterizedTest
  @MethodSource("benchmarks")
  void doesAsMuchAsItsBound(Class<?> type, Object value) throws Exception {
    Object benchmark = type.getConstructor().newInstance();
    for (Field field : annotated(type.getFields(), Param.class)) {
      field.set(benchmark, value);
    }
    Map<String, Long> counted = new TreeMap<>();
    call(benchmark, Setup.class);
    try {
      for (Method method : annotated(type.getMethods(), Benchmark.class)) {
        Object count = method.getParameterTypes()[0].getConstructor().newInstance();
        method.invoke(benchmark, count);
        counted.put(method.getName(), count.getClass().getFields()[0].getLong(count));
      }
    } finally {
      call(benchmark, TearDown.class);
    }

    assertThat(counted).containsOnlyKeys("vmcheck", "bound");
    assertThat(counted.get("vmcheck")).isPositive().isEqualTo(counted.get("bound"));
  }

  private static void call(Object benchmark, Class<? extends Annotation> when) throws Exception {
    for (Method method : annotated(benchmark.getClass().getMethods(), when)) {
      method.invoke(benchmark);
    }
  }

  /// The values of the one parameter, which is an enum or a number; one of no use if there is none.
  private static List<?> values(Class<?> type) {
    List<Field> params = annotated(type.getFields(), Param.class);
    if (params.isEmpty()) {
      return List.of("");
    }
    assertThat(params).as("parameters of %s", type).hasSize(1);
    Field param = params.getFirst();
    return param.getType().isEnum()
        ? List.of(param.getType().getEnumConstants())
        : Arrays.stream(param.getAnnotation(Param.class).value()).map(Integer::valueOf).toList();
  }

  private static <T extends java.lang.reflect.AnnotatedElement> List<T> annotated(
      T[] all, Class<? extends Annotation> by) {
    List<T> found = new ArrayList<>();
    for (T one : all) {
      if (one.isAnnotationPresent(by)) {
        found.add(one);
      }
    }
    return found;
  }
}
