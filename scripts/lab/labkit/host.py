"""What the host gives: commands, packages of its own, space, the cache."""

import os
import pathlib
import shutil
import subprocess

from . import LabError

# Every program that the lab starts and every file it wants of a package -> the Debian package. What is not here cannot
# be run (program() says so on any machine): so none is forgotten because it happened to be installed.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "kexec": "kexec-tools",
    "makedumpfile": "makedumpfile",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "lz4": "lz4",
    "zstd": "zstd",
    "xz": "xz-utils",
    "gcc-12": "gcc-12",
    "/usr/include/stdio.h": "libc6-dev",
    "make": "make",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    # of every Debian; named for a host that is none
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "sh": "dash",
    "env": "coreutils",
    "nice": "coreutils",
    "chroot": "coreutils",
    "ldd": "libc-bin",
    "unshare": "util-linux",
    "mount": "util-linux",
}
# the same for what only some commands want: installed when it is
RARE = {
    "crash": "crash",
    "/usr/bin/python3": "python3",
    "pahole": "dwarves",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "/usr/include/libelf.h": "libelf-dev",
}
LOCK = ["-o", "DPkg::Lock::Timeout=900"]  # another apt may be at work


def say(text):
    print(f"lab: {text}", flush=True)


def cache_dir():
    return pathlib.Path(os.environ.get("VMCHECK_LAB_CACHE") or pathlib.Path.home() / ".cache/vmcheck-lab").absolute()


def which(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def there(name):
    """Whether a program, or a file with its path, is on this host."""
    return pathlib.Path(name).exists() if name.startswith("/") else bool(which(name))


def need_space(directory, mebibytes):
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free >> 20
    if free < mebibytes:
        raise LabError(f"no space: {directory} has {free} MiB free, {mebibytes} MiB are needed")


def program(name):
    """Where a program is; it is installed when it is missing, and the one line of a failure names its package."""
    name = str(name)
    known = name if name in (PROGRAMS | RARE) else name.rpartition("/")[2]
    package = (PROGRAMS | RARE).get(known)
    if not package:
        raise LabError(f"{name} is not in the lab's list of programs: add it, with its package, in labkit/host.py")
    if not which(name):
        need_packages([package])
    found = which(name)
    if not found:
        raise LabError(f"there is no {name}, though {package} is installed")
    return found


def command(argv):
    """The words of a command as subprocess wants them, its program looked up."""
    return [program(argv[0]), *(str(word) for word in argv[1:])]


def run(argv, what, **options):
    """Run a command; its failure becomes one clear message with the end of what it said."""
    done = subprocess.run(command(argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        tail = "\n  ".join(text.strip().splitlines()[-15:])
        raise LabError(f"{what} failed (exit {done.returncode}):\n  {tail}")
    return text


def need_packages(packages):
    """Install what is missing of the host's own suite; waits for another apt to end."""
    if os.geteuid() != 0:
        raise LabError("these packages are missing and only root can install them: " + " ".join(packages))
    if not which("apt-get"):
        raise LabError("this host has no apt-get, and these packages are missing: " + " ".join(packages))
    say("installing " + " ".join(packages))
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", *LOCK, "update"], "apt-get update (no network?)", env=environment)
    run(["apt-get", *LOCK, "install", "-y", "--no-install-recommends", *packages], "apt-get install", env=environment)


def need_tools(*rare):
    """Install at once what is missing of the programs of every command, and of the rare ones that are named."""
    missing = sorted({package for name, package in PROGRAMS.items() if not there(name)} | {RARE[n] for n in rare if not there(n)})
    if missing:
        need_packages(missing)
