package org.vmcheck.desk;

import java.util.List;

/// Error numbers (Linux `include/uapi/asm-generic/errno-base.h`, `errno.h`,
/// `include/linux/errno.h`).
final class Errors {
  private static final List<String> NAMES =
      List.of(
          "",
          "EPERM",
          "ENOENT",
          "ESRCH",
          "EINTR",
          "EIO",
          "ENXIO",
          "E2BIG",
          "ENOEXEC",
          "EBADF",
          "ECHILD",
          "EAGAIN",
          "ENOMEM",
          "EACCES",
          "EFAULT",
          "ENOTBLK",
          "EBUSY",
          "EEXIST",
          "EXDEV",
          "ENODEV",
          "ENOTDIR",
          "EISDIR",
          "EINVAL",
          "ENFILE",
          "EMFILE",
          "ENOTTY",
          "ETXTBSY",
          "EFBIG",
          "ENOSPC",
          "ESPIPE",
          "EROFS",
          "EMLINK",
          "EPIPE",
          "EDOM",
          "ERANGE",
          "EDEADLK",
          "ENAMETOOLONG",
          "ENOLCK",
          "ENOSYS",
          "ENOTEMPTY",
          "ELOOP");

  private static final int MAX_ERRNO = 4095;

  private Errors() {}

  /// Whether a word is what an error pointer holds (`IS_ERR_VALUE`).
  static boolean is(long word) {
    return word < 0 && word >= -MAX_ERRNO;
  }

  /// The error by name and number.
  static String words(long word) {
    int number = (int) -word;
    String name =
        number < NAMES.size()
            ? NAMES.get(number)
            : switch (number) {
              case 61 -> "ENODATA";
              case 62 -> "ETIME";
              case 71 -> "EPROTO";
              case 75 -> "EOVERFLOW";
              case 84 -> "EILSEQ";
              case 95 -> "EOPNOTSUPP";
              case 104 -> "ECONNRESET";
              case 110 -> "ETIMEDOUT";
              case 111 -> "ECONNREFUSED";
              case 114 -> "EALREADY";
              case 115 -> "EINPROGRESS";
              case 116 -> "ESTALE";
              case 117 -> "EUCLEAN";
              case 512 -> "ERESTARTSYS";
              case 514 -> "ERESTARTNOHAND";
              case 517 -> "EPROBE_DEFER";
              case 524 -> "ENOTSUPP";
              default -> "";
            };
    return "error -%d%s".formatted(number, name.isEmpty() ? "" : " (-" + name + ")");
  }
}
