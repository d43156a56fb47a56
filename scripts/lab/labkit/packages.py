"""Debian kernels: resolved at run time, downloaded once, unpacked into the cache, never installed."""

import json
import lzma
import re
import struct
import subprocess
import zlib

from . import LabError, btf
from .host import cache_dir, command, run, say
from .suites import in_tree, suite

# kernel series -> the suite that has it, the compiler its modules want (None: the host's gcc-12)
SERIES = {
    "5.10": ("bullseye", "gcc-10"),
    "6.1": ("bookworm", None),
    "6.12": ("trixie", "gcc-14"),
    "6.16": ("trixie-backports", "gcc-14"),
    "6.17": ("trixie-backports", "gcc-14"),
    "7.2": ("sid", "gcc-16"),
    "7.3": ("experimental", "gcc-16"),
}
# whose makedumpfile fits the kernels of a suite; None: the host's
DUMPERS = {"bullseye": None, "bookworm": None, "trixie": "trixie", "trixie-backports": "trixie", "sid": "sid", "experimental": "sid"}
TOOLCHAINS = {"experimental": "sid", "trixie-backports": "trixie"}  # suites that build with another's compiler
FLAVOURS = ("cloud", "amd64", "rt")
# architecture -> flavour -> how the names of its packages end
WORDS = {
    "amd64": {"cloud": "-cloud-amd64", "rt": "-rt-amd64", "amd64": "-amd64"},
    "arm64": {"cloud": "-cloud-arm64", "arm64": "-arm64", "16k": "-arm64-16k"},
}
CROSS = {"arm64": "aarch64-linux-gnu"}  # the words before the names of a cross compiler and its package

STRUCTS = ["kmem_cache", "kmem_cache_cpu", "kmem_cache_node", "slab", "track"]


def series_of(flavour, arch="amd64"):
    """6.12-cloud -> (6.12, cloud); the bare flavours are those of the host's Debian, 6.1."""
    series, _, kind = flavour.rpartition("-")
    series = series or "6.1"
    if kind not in WORDS[arch] or series not in SERIES:
        known = ", ".join(f"{s}-{f}" for s in SERIES for f in WORDS[arch])
        raise LabError(f"no such kernel of {arch}: {flavour}; known: {', '.join(WORDS[arch])}, {known} and source-NAME")
    return series, kind


def natural(name):
    return [int(part) for part in re.findall(r"\d+", name)]


def resolve(flavour, arch="amd64"):
    """Flavour -> (suite, image package, kernel release), as the archive has it today."""
    series, kind = series_of(flavour, arch)
    where = suite(SERIES[series][0], arch)
    words = WORDS[arch][kind]
    names = where.names(rf"^linux-image-{re.escape(series)}([.~+-].*)?{words}$")
    fits = re.compile(rf"linux-image-{re.escape(series)}(?![\d])[\w.+~]*(?:-\d+)?{words}")
    # the packages of a major number alone (linux-image-6.1-cloud-amd64) are metapackages where a full release exists
    names = sorted((n for n in names if fits.fullmatch(n)), key=natural, reverse=True)
    name = next((n for n in names if not where.name_is_meta(n)), None)
    if not name:
        raise LabError(f"{where.name} has no {series} kernel of flavour {kind} any more; it has moved on")
    return where, name, name.removeprefix("linux-image-")


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
        done = subprocess.run(command([tool, "-d", "-c"]), input=packed[:-4], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        plain = done.stdout
    else:
        raise LabError(f"{vmlinuz.name}: unknown compression {packed[:4].hex()}")
    if plain[:4] != b"\x7fELF":
        raise LabError(f"{vmlinuz.name}: the payload is not an ELF file")
    vmlinux.write_bytes(plain)


def flat_types(vmlinuz, types):
    """The BTF inside the flat Image of arm64, which is packed by gzip or not at all."""
    data = vmlinuz.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompressobj(31).decompress(data)
    at = data.find(b"\x9f\xeb\x01\x00\x18\x00\x00\x00")
    if at < 0:
        types.write_bytes(b"")
        return
    head, _, _, string_at, string_bytes = struct.unpack_from("<5I", data, at + 4)
    types.write_bytes(data[at : at + head + string_at + string_bytes])


class Kernel:
    """One kernel, unpacked: the image, its modules, its headers, its types."""

    def __init__(self, flavour, arch="amd64"):
        self.flavour, self.arch = flavour, arch
        if flavour.startswith("source-"):
            self._from_build()
        else:
            self._from_packages()

    def _from_packages(self):
        self.suite, self.package, self.release = resolve(self.flavour, self.arch)
        self.series = series_of(self.flavour, self.arch)[0]
        self.compiler = SERIES[self.series][1]
        self.dumper = DUMPERS[self.suite.name]
        self.root = cache_dir() / "kernel" / self.release
        self.suite.unpack(self.package, self.root)
        for part in self.suite.depends(self.package):  # from 7.x on the image is split
            if part.startswith(("linux-binary-", "linux-modules-")):
                self.suite.unpack(part, self.root)
        self.modules = self.root / "lib/modules" / self.release
        if not self.modules.exists():
            self.modules = self.root / "usr/lib/modules" / self.release
        candidates = (self.root / "boot" / f"vmlinuz-{self.release}", self.modules / "vmlinuz")
        self.vmlinuz = next((path for path in candidates if path.exists()), None)
        if not self.vmlinuz:
            raise LabError(f"{self.package} of {self.suite.name} has no vmlinuz where the lab looks: {candidates[0]}, {candidates[1]}")
        if not (self.modules / "modules.dep").exists():
            base = self.root if self.modules.is_relative_to(self.root / "lib") else self.root / "usr"
            run(["depmod", "-b", base, self.release], "depmod")
        self.types = self.root / "vmlinux-btf"
        if not self.types.exists():
            (payload if self.arch == "amd64" else flat_types)(self.vmlinuz, self.types)
        self.members = self._kept_layout()

    def _from_build(self):
        self.release = self.flavour
        self.suite, self.series, self.compiler, self.dumper = suite("bookworm"), "6.1", None, None
        self.root = cache_dir() / "build" / self.flavour
        if not (self.root / ".built").exists():
            raise LabError(f"{self.flavour} is not built yet: scripts/lab/build-kernel {self.flavour[7:]}")
        self.release = (self.root / "include/config/kernel.release").read_text().strip()
        self.vmlinuz = self.root / "arch/x86/boot/bzImage"
        self.modules = None  # everything needed is built in
        self.types = self.root / "vmlinux"
        self.members = self.layout()

    @property
    def debug_key_follows_caches(self):
        """Whether a cache that is made with debug flags turns slub_debug_enabled on (not so from 5.9 to 5.12)."""
        return self.series != "5.10"

    def _kept_layout(self):
        """The layout, read once a kernel."""
        kept = self.root / "layout.json"
        if not kept.exists():
            kept.write_text(json.dumps([[*key, *value] for key, value in self.layout().items()]))
        return {(s, m): (at, size) for s, m, at, size in json.loads(kept.read_text())}

    def debug_vmlinux(self):
        """vmlinux with full debug info (crash and drgn want it); a large download."""
        if self.modules is None:
            return self.root / "vmlinux"
        return debug_vmlinux_of(self.release)

    def headers(self):
        """A tree that external modules build against, or None: some suites carry an image alone."""
        if self.modules is None:
            return self.root
        package = f"linux-headers-{self.release}"
        tree = self.root / "usr/src" / package
        if (tree / ".lab-ready").exists():
            return tree
        if not self.suite.versions(package):
            return None
        wanted = [package] + [d for d in self.suite.depends(package) if d.startswith(("linux-headers", "linux-kbuild"))]
        for name in wanted:
            # the build's own programs run on this machine, whatever it builds for
            (suite(self.suite.name) if name.startswith("linux-kbuild") else self.suite).unpack(name, self.root)
        if not self.compiler:  # built on the host: the absolute paths in the tree are rewritten to the cache
            makefile = tree / "Makefile"
            makefile.write_text(makefile.read_text().replace("/usr/src/", f"{self.root}/usr/src/"))
        (tree / "vmlinux").unlink(missing_ok=True)  # or the build makes BTF for the module, and asks for pahole
        (tree / ".lab-ready").touch()
        return tree

    def make(self, directory, what, *words):
        """make for an external module, with the compiler of the kernel's suite."""
        argv = ["nice", "-n", "10", "make", "-C", self.headers(), f"M={directory}", *words, "modules"]
        if not self.compiler:
            return run(argv, what)
        where = suite(TOOLCHAINS.get(self.suite.name, self.suite.name))
        elf = "libelf1" if where.name == "bullseye" else "libelf1t64"
        tools, cc = [self.compiler, "make", "bash", "coreutils", "sed", "grep", "gawk", "findutils", elf], self.compiler
        if prefix := CROSS.get(self.arch):
            tools.append(f"{self.compiler}-{prefix}")
            cc = f"{prefix}-{self.compiler}"
            words = (f"ARCH={self.arch}", f"CROSS_COMPILE={prefix}-", *words)
        tree = where.toolbox(*tools)
        for source in (self.root / "usr").iterdir():  # the headers' absolute paths are right inside
            if source.name in ("src", "lib"):
                for path in source.iterdir():
                    link_in(tree, path, f"usr/{source.name}/{path.name}")
        inside = f"/usr/src/linux-headers-{self.release}"
        argv = ["nice", "-n", "10", "make", "-C", inside, f"M={directory}", f"CC={cc}", f"HOSTCC={self.compiler}", *words, "modules"]
        return in_tree(tree, argv, what, binds=[cache_dir(), directory])

    def layout(self):
        """struct member -> (offset, size), read from the kernel's own types."""
        data = self.types.read_bytes()
        types = btf.section(data, b".BTF") if self.arch == "amd64" else data
        if self.arch != "amd64" and not types:
            return {}  # no BTF, and no fault module that would want it
        found = btf.layout(types) if types else self._layout_of_dwarf()
        if ("slab", "freelist") not in found:  # before 5.17 a slab is its struct page
            found |= {("slab", member): at for (name, member), at in found.items() if name == "page"}
            found.setdefault(("kmem_cache_cpu", "slab"), found.get(("kmem_cache_cpu", "page"), (-1, 0)))
        if ("kmem_cache", "size") not in found:
            raise LabError(f"{self.types}: no slab types found in it")
        return found

    def _layout_of_dwarf(self):
        text = run(["pahole", "-C", ",".join(STRUCTS), self.types], "pahole")
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
        return found


def link_in(tree, source, name):
    """A name inside a toolbox for a tree of the cache, which is mounted there under its own path."""
    target = tree / name
    if target.is_symlink() or not target.exists():
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def debug_vmlinux_of(release, fetch=True):
    """The full debug info of a kernel that was made here before; fetched when it is missing and wanted."""
    built = cache_dir() / "build" / f"source-{release.rpartition('-lab-')[2]}" / "vmlinux"
    tree = cache_dir() / "debug" / release
    for found in (built, *sorted(tree.glob("usr/lib/debug/**/vmlinux*"))):
        if found.is_file():
            return found
    if not fetch:
        return None
    series = ".".join(re.findall(r"\d+", release)[:2])
    if series not in SERIES:
        raise LabError(f"no suite is known for the debug info of {release}")
    # the modules' debug info is most of the package, and nobody asks for it here
    try:
        suite(SERIES[series][0]).unpack(f"linux-image-{release}-dbg", tree, only="*/vmlinux*")
    except LabError as error:
        raise LabError(f"no debug info for {release}: {str(error).splitlines()[0]}") from error
    found = next((path for path in sorted(tree.glob("usr/lib/debug/**/vmlinux*")) if path.is_file()), None)
    if not found:
        raise LabError(f"no vmlinux in the debug info of {release}")
    return found


__all__ = ["FLAVOURS", "Kernel", "cache_dir", "debug_vmlinux_of"]
