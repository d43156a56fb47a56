import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeElement;
import java.lang.classfile.Label;
import java.lang.classfile.MethodModel;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.LoadableConstantEntry;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.reflect.AccessFlag;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;

/// Rewrites jars of the program so that a JVM starts it faster; what the program does stays the same.
///
/// The JVM keeps no class in its AOT cache whose file is older than Java 6 (they have no stack maps): those of picocli
/// are 240, loaded and verified anew at each start. They are given stack maps.
///
/// A switch over types is linked at run time: the JDK writes a class for each when it is met first, and no cache keeps
/// it. It becomes a method that asks for one type after the other.
///
///     java StartFaster.java JAR LIBRARIES     (rewritten are this jar, vmcheck's and picocli's of the folder)
public final class StartFaster {
  /// The first class file version of which every class has stack maps.
  private static final int STACK_MAPS = 52;

  private static final Pattern REWRITTEN = Pattern.compile("(vmcheck|picocli)-");

  private StartFaster() {}

  public static void main(String[] words) throws IOException {
    List<Path> jars = new ArrayList<>(List.of(Path.of(words[0])));
    try (DirectoryStream<Path> libraries = Files.newDirectoryStream(Path.of(words[1]), "*.jar")) {
      libraries.forEach(jars::add);
    }
    Map<String, byte[]> all = new HashMap<>();
    Map<Path, Map<String, byte[]>> rewritten = new LinkedHashMap<>();
    for (Path jar : jars) {
      Map<String, byte[]> files = read(jar);
      all.putAll(files);
      if (REWRITTEN.matcher(jar.getFileName().toString()).lookingAt()) {
        rewritten.put(jar, files);
      }
    }
    ClassFile reader =
        ClassFile.of(
            ClassFile.StackMapsOption.STACK_MAPS_WHEN_REQUIRED,
            ClassFile.ClassHierarchyResolverOption.of(
                ClassHierarchyResolver.ofResourceParsing(type -> classFile(all, type))
                    .orElse(ClassHierarchyResolver.defaultResolver())));
    for (Map.Entry<Path, Map<String, byte[]>> jar : rewritten.entrySet()) {
      rewrite(reader, jar.getKey(), jar.getValue());
    }
  }

  private static Map<String, byte[]> read(Path jar) throws IOException {
    Map<String, byte[]> files = new LinkedHashMap<>();
    try (ZipInputStream in = new ZipInputStream(Files.newInputStream(jar))) {
      for (ZipEntry entry; (entry = in.getNextEntry()) != null; ) {
        files.put(entry.getName(), in.readAllBytes());
      }
    }
    return files;
  }

  private static void rewrite(ClassFile reader, Path jar, Map<String, byte[]> files)
      throws IOException {
    boolean isChanged = false;
    for (Map.Entry<String, byte[]> file : files.entrySet()) {
      if (file.getKey().endsWith(".class") && !file.getKey().startsWith("META-INF/")) {
        byte[] faster = faster(reader, file.getValue());
        isChanged |= faster != file.getValue();
        file.setValue(faster);
      }
    }
    if (isChanged) {
      write(jar, files);
    }
  }

  private static InputStream classFile(Map<String, byte[]> files, ClassDesc type) {
    String name = type.descriptorString();
    byte[] bytes = files.get(name.substring(1, name.length() - 1) + ".class");
    return bytes == null ? null : new ByteArrayInputStream(bytes);
  }

  private static byte[] faster(ClassFile reader, byte[] bytes) {
    ClassModel type = reader.parse(bytes);
    if (type.majorVersion() < STACK_MAPS) {
      // Only with a constant pool of its own is code written anew, and gets stack maps.
      return reader
          .withOptions(ClassFile.ConstantPoolSharingOption.NEW_POOL)
          .transformClass(
              type,
              ClassTransform.ACCEPT_ALL.andThen(
                  ClassTransform.endHandler(builder -> builder.withVersion(STACK_MAPS, 0))));
    }
    List<InvokeDynamicInstruction> switches = new ArrayList<>();
    for (MethodModel method : type.methods()) {
      method.code().ifPresent(code -> code.forEach(element -> collect(element, switches)));
    }
    return switches.isEmpty() ? bytes : withoutTypeSwitches(reader, type);
  }

  private static void collect(CodeElement element, List<InvokeDynamicInstruction> switches) {
    if (element instanceof InvokeDynamicInstruction call && isTypeSwitch(call)) {
      switches.add(call);
    }
  }

  /// Whether all labels are types: a switch over texts, numbers or enums among them is left alone.
  private static boolean isTypeSwitch(InvokeDynamicInstruction call) {
    return call.invokedynamic().bootstrap().bootstrapMethod().reference().owner().asInternalName()
            .equals("java/lang/runtime/SwitchBootstraps")
        && call.name().equalsString("typeSwitch")
        && call.invokedynamic().bootstrap().arguments().stream().allMatch(ClassEntry.class::isInstance);
  }

  private static byte[] withoutTypeSwitches(ClassFile reader, ClassModel type) {
    ClassDesc owner = type.thisClass().asSymbol();
    boolean isInterface = type.flags().has(AccessFlag.INTERFACE);
    Map<List<Object>, String> names = new LinkedHashMap<>();
    Map<String, InvokeDynamicInstruction> calls = new LinkedHashMap<>();
    ClassTransform calling =
        ClassTransform.transformingMethodBodies(
            (builder, element) -> {
              if (element instanceof InvokeDynamicInstruction call && isTypeSwitch(call)) {
                String name =
                    names.computeIfAbsent(
                        List.of(call.type(), call.invokedynamic().bootstrap().arguments()),
                        key -> "typeSwitch$" + names.size());
                calls.putIfAbsent(name, call);
                builder.invokestatic(owner, name, call.typeSymbol(), isInterface);
              } else {
                builder.with(element);
              }
            });
    return reader.transformClass(
        type,
        calling.andThen(
            ClassTransform.endHandler(
                builder -> calls.forEach((name, call) -> addSwitch(builder, name, call)))));
  }

  /// `(value, from)` gives the number of the first label, not before `from`, that the value is an instance of; how many
  /// there are if none; -1 for null (java.lang.runtime.SwitchBootstraps).
  private static void addSwitch(ClassBuilder builder, String name, InvokeDynamicInstruction call) {
    MethodTypeDesc type = call.typeSymbol();
    List<LoadableConstantEntry> labels = call.invokedynamic().bootstrap().arguments();
    builder.withMethodBody(
        name,
        type,
        ClassFile.ACC_PRIVATE | ClassFile.ACC_STATIC | ClassFile.ACC_SYNTHETIC,
        code -> {
          Label isNull = code.newLabel();
          code.aload(0).ifnull(isNull);
          for (int i = 0; i < labels.size(); i++) {
            Label next = code.newLabel();
            code.iload(1).loadConstant(i).if_icmpgt(next);
            code.aload(0).instanceOf(((ClassEntry) labels.get(i)).asSymbol()).ifeq(next);
            code.loadConstant(i).ireturn();
            code.labelBinding(next);
          }
          code.loadConstant(labels.size()).ireturn();
          code.labelBinding(isNull).iconst_m1().ireturn();
        });
  }

  private static void write(Path jar, Map<String, byte[]> files) throws IOException {
    FileTime time = Files.getLastModifiedTime(jar);
    Path written = jar.resolveSibling(jar.getFileName() + ".new");
    try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(written))) {
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        ZipEntry entry = new ZipEntry(file.getKey());
        entry.setTime(time.toMillis());
        out.putNextEntry(entry);
        out.write(file.getValue());
        out.closeEntry();
      }
    }
    Files.move(written, jar, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    Files.setLastModifiedTime(jar, time);
  }
}
