"""Debian's suites: an own package index each, so that the host's apt settings stay as they are."""

import functools
import hashlib
import os
import pathlib
import re
import shutil
import time

from . import LabError
from .host import cache_dir, need_space, run, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
STALE = 3 * 24 * 3600  # seconds after which a suite is asked again what it has

# suite -> the archive's parts that are read together; an entry with a slash is of the security archive
PARTS = {
    "bullseye": ["bullseye", "security/bullseye-security"],
    "bookworm": ["bookworm", "bookworm-updates", "security/bookworm-security"],
    "trixie": ["trixie", "security/trixie-security"],
    "trixie-backports": ["trixie", "trixie-backports"],
    "sid": ["sid"],
    "experimental": ["sid", "experimental"],
}


def mirror():
    """Where the host gets Debian from; the other suites lie beside its own."""
    try:
        text = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], "apt-get indextargets")
    except (LabError, OSError):
        text = ""
    for line in text.splitlines():
        if re.search(r"^https?://.*/debian/?$", line):
            return line.rstrip("/")
    return "http://deb.debian.org/debian"


class Suite:
    """One suite's index, downloads and unpacked toolboxes; all of it in the cache."""

    def __init__(self, name, arch="amd64"):
        if name not in PARTS:
            raise LabError(f"no such suite: {name}; known: {', '.join(PARTS)}")
        self.name, self.arch = name, arch
        self.root = cache_dir() / "apt" / (name if arch == "amd64" else f"{name}-{arch}")

    def _options(self):
        root = self.root
        return [
            *("-o", f"Dir::State={root}", "-o", f"Dir::State::lists={root}/lists", "-o", f"Dir::State::status={root}/status"),
            *("-o", f"Dir::Cache={root}", "-o", f"Dir::Cache::archives={root}/archives"),
            *("-o", f"Dir::Etc::sourcelist={root}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"APT::Architecture={self.arch}", "-o", f"APT::Architectures::={self.arch}", "-o", "APT::Install-Recommends=false"),
            *("-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root"),
        ]

    def apt(self, command, *words, **options):
        self.update()
        if command == "apt-cache":  # each call reads the whole index: the answers are kept until the index changes
            kept = self.root / "answers" / hashlib.sha256("\0".join(words).encode()).hexdigest()[:20]
            if kept.exists() and kept.stat().st_mtime > (self.root / "updated").stat().st_mtime:
                return kept.read_text()
            kept.parent.mkdir(exist_ok=True)
            text = run([command, *self._options(), *words], f"{command} {words[0]} ({self.name})", **options)
            kept.write_text(text)
            return text
        return run([command, *self._options(), *words], f"{command} {words[0]} ({self.name})", **options)

    @functools.cache  # noqa: B019  one object a suite and process
    def update(self):
        """The index, verified by apt against the suite's signed release file; asked again when it is old."""
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < STALE:
            return
        for name in ("lists/partial", "archives/partial"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        base = mirror()
        lines = []
        for part in PARTS[self.name]:
            security = part.startswith("security/")
            uri = f"{base}-security" if security else base
            lines.append(f"deb [signed-by={KEYRING}] {uri} {part.removeprefix('security/')} main")
        (self.root / "sources.list").write_text("\n".join(lines) + "\n")
        say(f"reading what {self.name} has")
        text = self._unlocked(["apt-get", *self._options(), "update"], f"reading the index of {self.name} (network? keyring?)")
        if wrong := [line for line in text.splitlines() if line.startswith(("E:", "W:"))]:
            if not stamp.exists():
                raise LabError(f"the index of {self.name} was not read: {wrong[0]}")
            say(f"the index of {self.name} is the old one: {wrong[0]}")
        stamp.touch()

    def _unlocked(self, argv, what):
        """apt-get, once another one that reads the same lists has ended."""
        for left in range(90, -1, -1):
            try:
                return run(argv, what)
            except LabError as error:
                if "ould not get lock" not in str(error) or not left:
                    raise
                time.sleep(10)

    def names(self, pattern):
        """Packages whose names match, as the suite has them today."""
        return [line.split()[0] for line in self.apt("apt-cache", "search", "--names-only", pattern).splitlines() if " - " in line]

    def name_is_meta(self, package):
        """A package without a kernel of its own: its name is the series alone, and it depends on the real one."""
        return any(re.match(r"linux-image-\d", name) for name in self.depends(package))

    def versions(self, package):
        """Versions that the suite offers, newest first."""
        text = self.apt("apt-cache", "madison", package)
        return [line.split("|")[1].strip() for line in text.splitlines() if line.count("|") == 2 and "Sources" not in line]

    def depends(self, package):
        text = self.apt("apt-cache", "depends", "--no-recommends", "--no-suggests", package)
        return re.findall(r"Depends: (\S+)", text)

    def download(self, package):
        """The .deb in the cache; downloaded when it is not there yet."""
        store = cache_dir() / "deb"
        store.mkdir(parents=True, exist_ok=True)
        offered = self.versions(package)
        if not offered:
            raise LabError(f"{self.name} offers no {package}: it has moved on, or its index is old ({self.root}/updated)")
        version = offered[0].replace(":", "%3a")
        have = [deb for arch in (self.arch, "all") for deb in store.glob(f"{package}_{version}_{arch}.deb")]
        if have:
            return have[0]
        need_space(store, 2000 if package.endswith("-dbg") else 500)
        say(f"downloading {package} {offered[0]} from {self.name}")
        partial = store / f"partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            self.apt("apt-get", "download", f"{package}={offered[0]}", cwd=partial)
            deb = next(partial.glob("*.deb"))
            return deb.rename(store / deb.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def unpack(self, package, into, only=None):
        """Unpack a package (or the files of it that match) once; a stamp beside the tree says that it is whole."""
        stamp = into / f".{package}.done"
        if stamp.exists():
            return
        deb = self.download(package)
        into.mkdir(parents=True, exist_ok=True)
        say(f"unpacking {package}")
        if only:
            script = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "$3"'
            run(["sh", "-c", script, "sh", deb, into, only], f"unpacking {deb.name}")
            deb.unlink()
        else:
            run(["dpkg-deb", "-x", deb, into], f"unpacking {deb.name}")
        stamp.write_text(deb.name + "\n")

    def toolbox(self, *packages):
        """A tree with these packages and all they need, for chroot: unpacked, not configured; enough for compilers."""
        tree = cache_dir() / "toolbox" / self.name
        stamp = tree / ("." + "+".join(sorted(packages)) + ".done")
        if stamp.exists():
            return tree
        if os.geteuid() != 0:
            raise LabError(f"only root can run tools of {self.name} (they need chroot)")
        try:
            text = self.apt("apt-get", "-s", "install", "--no-install-recommends", *packages)
        except LabError as error:
            lost = re.findall(r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate", str(error))
            if not lost:
                raise
            raise LabError(f"{self.name} has no {' '.join(a or b for a, b in lost)}: it has moved on") from error
        closure = re.findall(r"^Inst (\S+)", text, re.MULTILINE)
        need_space(cache_dir(), 1500)
        for name in ("bin", "sbin", "lib", "lib64"):  # every suite since bookworm has /usr merged, bullseye's packages allow it
            (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
            if not (tree / name).is_symlink():
                (tree / name).symlink_to(f"usr/{name}")
        for name in ("proc", "dev", "tmp", "root"):
            (tree / name).mkdir(exist_ok=True)
        kept = cache_dir() / "toolbox" / f"{self.name}.debs"
        kept.mkdir(exist_ok=True)
        new = [name for name in closure if not (tree / f".{name.partition(':')[0]}.done").exists()]
        if new:
            say(f"fetching {len(new)} packages of {self.name} for {' '.join(packages)}")
            self.apt("apt-get", "-y", "-d", "-o", f"Dir::Cache::archives={kept}", "install", "--no-install-recommends", *packages)
        for deb in sorted(kept.glob("*.deb")):
            name = deb.name.partition("_")[0]
            # tar, not dpkg-deb -x: a package's own /lib must not take the place of the link to usr/lib
            script = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"'
            run(["sh", "-c", script, "sh", deb, tree], f"unpacking {deb.name}")
            (tree / f".{name}.done").write_text(deb.name + "\n")
            deb.unlink()
        for name, program in (("sh", "bash"), ("awk", "gawk")):  # what the packages' own scripts would have linked
            if (tree / "usr/bin" / program).exists() and not (tree / "usr/bin" / name).exists():
                (tree / "usr/bin" / name).symlink_to(program)
        stamp.touch()
        return tree


@functools.cache
def suite(name, arch="amd64"):
    return Suite(name, arch)


def in_tree_argv(tree, argv, binds=()):
    """The command that runs a command of a toolbox in it: own mounts, which end with the command."""
    steps = ["mount --make-rprivate /", f"mount -t proc proc {tree}/proc", f"mount --bind /dev {tree}/dev"]
    for path in dict.fromkeys(map(str, binds)):
        pathlib.Path(f"{tree}{path}").mkdir(parents=True, exist_ok=True)
        steps.append(f"mount --bind {path} {tree}{path}")
    script = " && ".join(steps) + f' && exec chroot {tree} "$@"'
    return ["unshare", "-m", "env", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", script, "sh", *map(str, argv)]


def in_tree(tree, argv, what, binds=(), **options):
    """Run a command of a toolbox in it."""
    return run(in_tree_argv(tree, argv, binds), what, **options)
