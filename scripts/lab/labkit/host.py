"""What the host gives: commands, packages of its own, space, the cache."""

import os
import pathlib
import shutil
import subprocess

from . import LabError

TOOLS = {  # command -> Debian package
    "qemu-system-x86_64": "qemu-system-x86",
    "kexec": "kexec-tools",
    "makedumpfile": "makedumpfile",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "lz4": "lz4",
    "zstd": "zstd",
    "xz": "xz-utils",
    "gcc-12": "gcc-12",
    "make": "make",
}
LOCK = ["-o", "DPkg::Lock::Timeout=900"]  # another apt may be at work


def say(text):
    print(f"lab: {text}", flush=True)


def cache_dir():
    return pathlib.Path(os.environ.get("VMCHECK_LAB_CACHE") or pathlib.Path.home() / ".cache/vmcheck-lab").absolute()


def which(command):
    return shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def need_space(directory, mebibytes):
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free >> 20
    if free < mebibytes:
        raise LabError(f"no space: {directory} has {free} MiB free, {mebibytes} MiB are needed")


def run(argv, what, **options):
    """Run a command; its failure becomes one clear message with the end of what it said."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        tail = "\n  ".join(text.strip().splitlines()[-15:])
        raise LabError(f"{what} failed (exit {done.returncode}):\n  {tail}")
    return text


def need_packages(packages):
    """Install what is missing of the host's own suite; waits for another apt to end."""
    if os.geteuid() != 0:
        raise LabError("these packages are missing and only root can install them: " + " ".join(packages))
    say("installing " + " ".join(packages))
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", *LOCK, "update"], "apt-get update (no network?)", env=environment)
    run(["apt-get", *LOCK, "install", "-y", "--no-install-recommends", *packages], "apt-get install", env=environment)


def need_tools(commands=TOOLS):
    missing = sorted({TOOLS[c] for c in commands if not which(c)})
    if missing:
        need_packages(missing)
