"""Debian kernels: resolved at run time, downloaded once, unpacked into the cache, never installed."""

import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import zlib

from . import LabError

# flavour -> metapackage whose dependency names the current kernel
FLAVOURS = {
    "cloud": "linux-image-cloud-amd64",
    "amd64": "linux-image-amd64",
    "rt": "linux-image-rt-amd64",
    "6.12-cloud": "linux-image-6.12-cloud-amd64",
    "6.12-amd64": "linux-image-6.12-amd64",
    "6.12-rt": "linux-image-6.12-rt-amd64",
}

TOOLS = {  # command -> Debian package
    "qemu-system-x86_64": "qemu-system-x86",
    "kexec": "kexec-tools",
    "makedumpfile": "makedumpfile",
    "busybox": "busybox-static",
    "pahole": "dwarves",
    "depmod": "kmod",
    "lz4": "lz4",
    "zstd": "zstd",
    "gcc-12": "gcc-12",
    "make": "make",
}

STRUCTS = ["kmem_cache", "kmem_cache_cpu", "kmem_cache_node", "slab", "track"]


def say(text):
    print(f"lab: {text}", flush=True)


def cache_dir():
    return pathlib.Path(os.environ.get("VMCHECK_LAB_CACHE") or pathlib.Path.home() / ".cache/vmcheck-lab")


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


def need_tools(commands=TOOLS):
    missing = sorted({TOOLS[c] for c in commands if not which(c)})
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError("these packages are missing and only root can install them: " + " ".join(missing))
    say("installing " + " ".join(missing))
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "update"], "apt-get update (no network?)", env=environment)
    run(["apt-get", "install", "-y", "--no-install-recommends", *missing], "apt-get install", env=environment)


def versions(package):
    """Versions that the archive offers, newest first."""
    text = run(["apt-cache", "madison", package], "apt-cache madison")
    return [line.split("|")[1].strip() for line in text.splitlines() if line.count("|") == 2]


def depends(package):
    text = run(["apt-cache", "depends", package], f"apt-cache depends {package} (run apt-get update once?)")
    return re.findall(r"Depends: (\S+)", text)


def resolve(flavour):
    """Flavour -> (image package, kernel release), as the archive has it today."""
    if flavour not in FLAVOURS:
        raise LabError(f"no such kernel: {flavour}; known: {', '.join(FLAVOURS)} and source-NAME")
    for name in depends(FLAVOURS[flavour]):
        if m := re.match(r"linux-image-(\d.*)$", name):
            return name, m[1]
    raise LabError(f"{FLAVOURS[flavour]} names no kernel: run apt-get update")


def download(package):
    """The .deb in the cache; downloaded when it is not there yet."""
    store = cache_dir() / "deb"
    store.mkdir(parents=True, exist_ok=True)
    offered = versions(package)
    if not offered:
        raise LabError(f"the archive offers no {package}: run apt-get update (network?)")
    version = offered[0].replace(":", "%3a")
    have = sorted(store.glob(f"{package}_{version}_*.deb"))
    if have:
        return have[0]
    need_space(store, 2000 if package.endswith("-dbg") else 500)
    say(f"downloading {package} {offered[0]}")
    partial = store / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    run(["apt-get", "download", package], f"download of {package} (network?)", cwd=partial)
    deb = next(partial.glob("*.deb"))
    return deb.rename(store / deb.name)


def unpack(package, into):
    """Unpack a package once; a stamp beside the tree says that it is whole."""
    stamp = into / f".{package}.done"
    if stamp.exists():
        return
    deb = download(package)
    into.mkdir(parents=True, exist_ok=True)
    say(f"unpacking {package}")
    run(["dpkg-deb", "-x", deb, into], f"unpacking {deb.name}")
    stamp.write_text(deb.name + "\n")


def payload(vmlinuz, vmlinux):
    """The ELF kernel inside a bzImage (it carries BTF)."""
    data = vmlinuz.read_bytes()
    setup = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup + 1) * 512 + offset
    packed = data[start : start + length]
    if packed[:6] == b"\xfd7zXZ\0":
        plain = lzma.LZMADecompressor().decompress(packed)
    elif packed[:2] == b"\x1f\x8b":
        plain = zlib.decompressobj(31).decompress(packed)
    elif packed[:4] in (b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd"):
        tool = "lz4" if packed[0] == 2 else "zstd"
        # the last four bytes are the unpacked size, added by the kernel's build
        done = subprocess.run([tool, "-d", "-c"], input=packed[:-4], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        plain = done.stdout
    else:
        raise LabError(f"{vmlinuz.name}: unknown compression {packed[:4].hex()}")
    if plain[:4] != b"\x7fELF":
        raise LabError(f"{vmlinuz.name}: the payload is not an ELF file")
    vmlinux.write_bytes(plain)


class Kernel:
    """One kernel, unpacked: the image, its modules, its headers, its types."""

    def __init__(self, flavour):
        self.flavour = flavour
        if flavour.startswith("source-"):
            self._from_build()
        else:
            self._from_packages()

    def _from_packages(self):
        self.package, self.release = resolve(self.flavour)
        self.root = cache_dir() / "kernel" / self.release
        unpack(self.package, self.root)
        self.vmlinuz = self.root / "boot" / f"vmlinuz-{self.release}"
        self.modules = self.root / "lib/modules" / self.release
        if not self.modules.exists():
            self.modules = self.root / "usr/lib/modules" / self.release
        if not (self.modules / "modules.dep").exists():
            base = self.root if self.modules.is_relative_to(self.root / "lib") else self.root / "usr"
            run([which("depmod"), "-b", base, self.release], "depmod")
        self.types = self.root / "vmlinux-btf"
        if not self.types.exists():
            payload(self.vmlinuz, self.types)

    def _from_build(self):
        self.release = self.flavour
        self.root = cache_dir() / "build" / self.flavour
        if not (self.root / ".built").exists():
            raise LabError(f"{self.flavour} is not built yet: scripts/lab/build-kernel {self.flavour[7:]}")
        self.release = (self.root / "include/config/kernel.release").read_text().strip()
        self.vmlinuz = self.root / "arch/x86/boot/bzImage"
        self.modules = None  # everything needed is built in
        self.types = self.root / "vmlinux"

    def debug_vmlinux(self):
        """vmlinux with full debug info (crash and drgn want it); a large download."""
        if self.modules is None:
            return self.root / "vmlinux"
        return debug_vmlinux_of(self.release)

    def headers(self):
        """A tree that external modules build against; the absolute paths in it are rewritten to the cache."""
        if self.modules is None:
            return self.root
        package = f"linux-headers-{self.release}"
        tree = self.root / "usr/src" / package
        if (tree / ".lab-ready").exists():
            return tree
        wanted = [package] + [d for d in depends(package) if d.startswith(("linux-headers", "linux-kbuild"))]
        for name in wanted:
            unpack(name, self.root)
        makefile = tree / "Makefile"
        makefile.write_text(makefile.read_text().replace("/usr/src/", f"{self.root}/usr/src/"))
        (tree / ".lab-ready").touch()
        return tree

    def layout(self):
        """struct member -> (offset, size), read from the kernel's own types."""
        form = ["-F", "btf"] if b".BTF\0" in self.types.read_bytes() else []
        text = run(["pahole", *form, "-C", ",".join(STRUCTS), self.types], "pahole")
        found, current = {}, None
        for line in text.splitlines():
            if m := re.match(r"struct (\w+) \{", line):
                current = m[1]
            elif m := re.search(r"(\w+)(?:\[[^]]*\])*(?::\d+)?;\s*/\*\s*(\d+)(?::\s*\d+)?\s+(\d+)\s*\*/", line):
                found.setdefault((current, m[1]), (int(m[2]), int(m[3])))
            elif m := re.search(r"\(\*(\w+)\)\([^;]*;\s*/\*\s*(\d+)\s+(\d+)", line):
                found.setdefault((current, m[1]), (int(m[2]), int(m[3])))
            elif m := re.search(r"/\* size: (\d+),", line):
                found.setdefault((current, "sizeof"), (int(m[1]), int(m[1])))
        if ("kmem_cache", "size") not in found:
            raise LabError(f"{self.types}: no slab types found in it")
        return found


def debug_vmlinux_of(release, fetch=True):
    """The full debug info of a kernel that was made here before; fetched when it is missing and wanted."""
    built = cache_dir() / "build" / f"source-{release.rpartition('-lab-')[2]}" / "vmlinux"
    for found in (built, cache_dir() / "debug" / release / "usr/lib/debug/boot" / f"vmlinux-{release}"):
        if found.exists():
            return found
    if not fetch:
        return None
    tree = cache_dir() / "debug" / release
    unpack(f"linux-image-{release}-dbg", tree)
    return tree / "usr/lib/debug/boot" / f"vmlinux-{release}"
