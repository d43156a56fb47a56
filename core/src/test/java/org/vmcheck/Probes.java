package org.vmcheck;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// The branches of this project that ran so far, read from the probes that JaCoCo's agent puts into
/// each class: what tells a fuzzer that an input went where none went before.
///
/// The build runs every test under that agent. Without it there are no probes, and no input is new.
final class Probes {
  /// Where the agent keeps a class's probes; the name is part of its published file format.
  private static final String ACCESSOR = "$jacocoInit";

  private final List<boolean[]> classes = new ArrayList<>();
  private long ran;

  /// @param inside any class of the directory of classes to watch
  static Probes of(Class<?> inside) throws IOException {
    Probes probes = new Probes();
    try {
      Path root = Path.of(inside.getProtectionDomain().getCodeSource().getLocation().toURI());
      try (Stream<Path> files = Files.walk(root)) {
        for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
          String name = root.relativize(file).toString().replace('/', '.');
          probes.add(Class.forName(name.substring(0, name.length() - ".class".length())));
        }
      }
    } catch (URISyntaxException | ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
    probes.grew();
    return probes;
  }

  private void add(Class<?> type) throws IllegalAccessException, InvocationTargetException {
    for (Method method : type.getDeclaredMethods()) {
      if (method.getName().equals(ACCESSOR)) {
        // The bootstrap of a dynamic constant, whose parameters it does not read.
        method.setAccessible(true);
        classes.add((boolean[]) method.invoke(null, new Object[method.getParameterCount()]));
      }
    }
  }

  /// Whether a branch ran since the last call that had not run before.
  boolean grew() {
    long now = 0;
    for (boolean[] probes : classes) {
      for (boolean probe : probes) {
        now += probe ? 1 : 0;
      }
    }
    boolean more = now > ran;
    ran = now;
    return more;
  }

  /// Branches that ran.
  long ran() {
    return ran;
  }
}
