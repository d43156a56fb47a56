package org.vmcheck.desk;

/// Error numbers (Linux `include/uapi/asm-generic/errno-base.h`, `errno.h`, those of the kernel's
/// own in `include/linux/errno.h`).
final class Errors {
  /// From 1 on; a dash where a number has no name.
  private static final String[] NAMES =
      """
      EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM
      EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE
      EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
      EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG
      EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO
      EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE
      ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ
      EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART
      ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
      EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE
      EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS
      EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN
      EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM
      EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED
      EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
      """
          .split("\\s+");

  private static final int FIRST_OF_THE_KERNEL = 512;

  /// From [#FIRST_OF_THE_KERNEL] on: no program sees these.
  private static final String[] OF_THE_KERNEL =
      """
      ERESTARTSYS ERESTARTNOINTR ERESTARTNOHAND ENOIOCTLCMD ERESTART_RESTARTBLOCK
      EPROBE_DEFER EOPENSTALE ENOPARAM - EBADHANDLE ENOTSYNC EBADCOOKIE ENOTSUPP
      ETOOSMALL ESERVERFAULT EBADTYPE EJUKEBOX EIOCBQUEUED ERECALLCONFLICT ENOGRACE
      """
          .split("\\s+");

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
        number < FIRST_OF_THE_KERNEL
            ? name(NAMES, number - 1)
            : name(OF_THE_KERNEL, number - FIRST_OF_THE_KERNEL);
    return "error -%d%s".formatted(number, name.equals("-") ? "" : " (-" + name + ")");
  }

  private static String name(String[] names, int index) {
    return index < names.length ? names[index] : "-";
  }
}
