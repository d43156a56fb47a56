"""The guest: initramfs, QEMU, the dump that comes out of it."""

import ctypes
import gzip
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

from . import LabError
from .host import command, need_space, program, run, say
from .suites import suite

HERE = pathlib.Path(__file__).resolve().parent.parent
MODULES = ["virtio_pci", "virtio_blk", "qemu_fw_cfg"]


class Cpio:
    """A newc archive: what the kernel unpacks as its first root."""

    def __init__(self):
        self.parts, self.names, self.inode = [], set(), 1

    def _entry(self, name, mode, data=b""):
        if name in self.names:
            return
        self.names.add(name)
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        self.inode += 1
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def directory(self, name):
        if name:
            self.directory(name.rpartition("/")[0])
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.directory(name.rpartition("/")[0])
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.directory(name.rpartition("/")[0])
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def program(self, path, where="bin", tree=None):
        """A program and the shared libraries it needs, at the paths where its loader looks for them."""
        path, root = pathlib.Path(path), pathlib.Path(tree or "/")
        self.file(f"{where}/{path.name}", (root / path.relative_to("/")).read_bytes(), 0o755)
        ask = ["chroot", tree, "/lib64/ld-linux-x86-64.so.2", "--list", path] if tree else ["ldd", path]
        done = subprocess.run(command(ask), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            self.file(library.lstrip("/"), (root / library.lstrip("/")).read_bytes(), 0o755)

    def packed(self):
        self._entry("TRAILER!!!", 0)
        return gzip.compress(b"".join(self.parts), 1)


def module_files(kernel):
    """(name, bytes) of the modules the guest needs, dependencies first."""
    if kernel.modules is None:
        return []
    needs, path_of = {}, {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        name = pathlib.Path(path).name.split(".ko")[0].replace("-", "_")
        path_of[name], needs[name] = path, [p for p in rest.split()]
    ordered = []
    for name in MODULES:
        if name in path_of:  # else it is built in
            for path in [*reversed(needs[name]), path_of[name]]:
                if path not in ordered:
                    ordered.append(path)
    result = []
    for path in ordered:
        data = (kernel.modules / path).read_bytes()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        elif path.endswith(".zst"):
            data = subprocess.run(command(["zstd", "-dc"]), input=data, stdout=subprocess.PIPE, check=True).stdout
        result.append((pathlib.Path(path).name.split(".ko")[0] + ".ko", data))
    return result


def foreign_busybox(kernel):
    """The static busybox of the guest's architecture."""
    tree = kernel.suite.root.parent.parent / "busybox" / kernel.arch
    kernel.suite.unpack("busybox-static", tree)
    return next(path for path in (tree / "usr/bin/busybox", tree / "bin/busybox") if path.exists())


def base_archive(kernel):
    cpio = Cpio()
    for name in ("proc", "sys", "dev", "tmp", "bin", "sbin", "modules"):
        cpio.directory(name)
    if kernel.arch == "amd64":
        cpio.program(program("busybox"))
    else:
        cpio.file("bin/busybox", foreign_busybox(kernel).read_bytes(), 0o755)
    cpio.link("bin/sh", "busybox")
    modules = module_files(kernel)
    for name, data in modules:
        cpio.file(f"modules/{name}", data)
    cpio.file("modules/order", "".join(n + "\n" for n, _ in modules).encode())
    cpio.file("init", (HERE / "initramfs/init").read_bytes(), 0o755)
    return cpio


def build_initrd(kernel, module, plan, work):
    """The first kernel's initramfs; it carries the capture kernel and its initramfs."""
    cpio = base_archive(kernel)
    if module:
        cpio.file("modules/vmcheck_lab.ko", module.read_bytes())
    if plan.lkdtm:
        cpio.file("modules/lkdtm.ko", plan.lkdtm.read_bytes())
        cpio.file("lkdtm", (HERE / "initramfs/lkdtm").read_bytes())
    if plan.files:
        cpio.file("bin/fill", static_program("fill", work).read_bytes(), 0o755)
    if plan.kexec:
        cpio.program(program("kexec"))
        capture = base_archive(kernel)
        if plan.writer != "wait":
            add_dumper(capture, plan.dumper)
        cpio.file("kdump/vmlinuz", kernel.vmlinuz.read_bytes())
        cpio.file("kdump/initrd", capture.packed())
        append = "console=ttyS0 quiet no_timer_check irqpoll nr_cpus=1 reset_devices panic=3 lab.writer=" + plan.writer.replace(" ", ",")
        if plan.writer == "wait":  # this kernel is in the dump too
            append += "".join(f" {word}" for word in ("nokaslr", "lab.scrub=1") if word in plan.append.split())
        cpio.file("kdump/append", append.encode())
    path = work / "initrd"
    path.write_bytes(cpio.packed())
    return path


def add_dumper(cpio, suite_name):
    """The makedumpfile of the suite that was asked for; the host's own when none was."""
    if not suite_name:
        cpio.program(program("makedumpfile"))
        return
    tree = suite(suite_name).toolbox("makedumpfile")
    path = next((p for p in ("usr/bin/makedumpfile", "usr/sbin/makedumpfile") if (tree / p).exists()), None)
    if not path:
        raise LabError(f"makedumpfile of {suite_name} is not where the lab looks")
    cpio.program(f"/{path}", tree=tree)


def static_program(name, work):
    target = work / name
    run(["gcc-12", "-O2", "-static", "-o", target, HERE / f"initramfs/{name}.c"], f"building {name}")
    return target


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(600)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while line := self.stream.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise LabError(f"QEMU went away during {command}")


def command_line(plan, kernel, initrd, work):
    numa = []
    if plan.numa > 1:
        share = plan.memory // plan.numa
        for node in range(plan.numa):
            numa += ["-object", f"memory-backend-ram,id=m{node},size={share}M", "-numa", f"node,nodeid={node},memdev=m{node}"]
        for cpu in range(plan.cpus):
            numa += ["-numa", f"cpu,node-id={cpu % plan.numa},socket-id={cpu}"]
    append = (
        f"console=ttyS0 loglevel=4 no_timer_check panic=3 oops={plan.oops} lab.seconds={plan.seconds} lab.fault={plan.fault_words()} "
        f"{plan.append}"
    )
    if plan.kexec:
        append += f" crashkernel={plan.crashkernel}M lab.kexec={plan.kexec}"
    if plan.files:
        append += f" lab.files={plan.files}"
    if plan.lkdtm:
        append += " lab.lkdtm=1 no_hash_pointers"
    disk = []
    if plan.kexec:
        disk = ["-drive", f"file={work}/disk,format=raw,if=virtio,cache=unsafe"]
    device = ["-device", "vmcoreinfo"] if plan.vmcoreinfo else []
    chardev = f"file,id=words,path={work}/truth.log"
    if plan.wait:
        chardev = f"socket,id=words,path={work}/words,server=on,wait=off"
        disk = ["-drive", f"if=none,id=state,file={work}/state,format=qcow2,cache=unsafe"]
    second = ["-chardev", chardev, "-serial", "chardev:words"]
    if kernel.arch == "arm64":
        second = ["-chardev", chardev, "-device", "pci-serial,chardev=words"]  # the board has one port: the other is a card
        return [
            program("nice"), "-n", "10", program("qemu-system-aarch64"),
            "-accel", "tcg,thread=multi", "-machine", "virt", "-cpu", plan.cpu,
            "-smp", str(plan.cpus), "-m", f"{plan.memory}M", *numa,
            "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{work}/serial.log", *second,
            "-qmp", f"unix:{work}/qmp,server=on,wait=off",
            *disk, *device,
            "-kernel", kernel.vmlinuz, "-initrd", initrd, "-append", append.replace("ttyS0", "ttyAMA0"),
        ]  # fmt: skip
    cpu = "max,la57=on" if plan.la57 else "max,la57=off"
    return [
        program("nice"), "-n", "10", program("qemu-system-x86_64"),
        "-accel", "tcg,thread=multi", "-machine", "pc", "-cpu", cpu,
        "-smp", f"{plan.cpus},sockets={plan.cpus},cores=1" , "-m", f"{plan.memory}M", *numa,
        "-nodefaults", "-display", "none", "-no-reboot",
        "-serial", f"file:{work}/serial.log", *second,
        "-qmp", f"unix:{work}/qmp,server=on,wait=off",
        *disk, *device,
        "-kernel", kernel.vmlinuz, "-initrd", initrd, "-append", append,
    ]  # fmt: skip


def tail_of(path, lines=25):
    if not path.exists():
        return ""
    text = re.sub(r"[^\n\t -~]", "", path.read_text(errors="replace"))
    if not text.strip():
        return ""
    return "\n".join("  | " + line for line in text.strip().splitlines()[-lines:])


def truth_of(work):
    """The module's own words on the second serial port, once the line is whole."""
    for path in (work / "truth.log", work / "serial.log"):  # a machine with one port has it on that
        for line in path.read_text(errors="replace").splitlines(keepends=True) if path.exists() else []:
            if line.startswith("VMCHECK-TRUTH ") and line.endswith("\n"):
                return json.loads(line[len("VMCHECK-TRUTH ") :])
    return None


def start(plan, kernel, module, work):
    """The guest's process, begun; its files lie in the work directory."""
    need_space(work, plan.memory * (3 if plan.mode == "qmp-torn" else 2) + 600)
    initrd = build_initrd(kernel, module, plan, work)
    if plan.kexec:
        with open(work / "disk", "wb") as disk:
            disk.truncate((plan.memory + 64) << 20)
    argv = [str(a) for a in command_line(plan, kernel, initrd, work)]
    (work / "qemu.cmd").write_text(" ".join(argv) + "\n")
    with open(work / "qemu.log", "wb") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)


def end(qemu):
    if qemu.poll() is None:
        qemu.kill()
    qemu.wait()


def boot(plan, kernel, module, work):
    """Run the guest until the dump is there; returns the module's truth."""
    qemu = start(plan, kernel, module, work)
    try:
        return _watch(plan, qemu, work)
    finally:
        end(qemu)


def _die_with_parent():
    """No stray guest, whatever ends this process: Linux's PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Patience:
    """Tells a slow guest from one that hangs: by the processor time that it used without a word on its serial line."""

    WALL = 8  # on a host this many times too busy nobody waits
    TALK = 4  # a guest that oopses again and again talks without end, and gets nowhere

    def __init__(self, plan, qemu, work):
        self.limit, self.qemu, self.serial = plan.timeout, qemu, work / "serial.log"
        self.last, self.since, self.wall = None, 0.0, time.monotonic()
        self.read, self.further = 0, 0.0

    def used(self):
        fields = pathlib.Path(f"/proc/{self.qemu.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def says_where_it_is(self, size):
        """Whether a line of the lab's own is among what came since it was asked last."""
        with open(self.serial, "rb") as file:
            file.seek(self.read)
            new = file.read(size - self.read)
        self.read = max(0, size - len(b"LAB:"))
        return b"LAB:" in new

    def fail(self, why):
        tail = tail_of(self.serial)
        raise LabError(f"{why}; the serial log's last lines:\n{tail}" if tail else f"{why}; its serial log is empty")

    def check(self, *seen):
        """Called again and again; raises when the guest made no progress for too long."""
        if self.qemu.poll() is not None:
            return
        size = self.serial.stat().st_size if self.serial.exists() else 0
        used = self.used()
        if (size, *seen) != self.last:
            if self.last is None or self.last[1:] != seen or self.says_where_it_is(size):
                self.further = used
            self.last, self.since, self.wall = (size, *seen), used, time.monotonic()
        if used - self.since > self.limit:
            self.fail(f"the guest hung: {self.limit} s of processor time without a word")
        if used - self.further > self.limit * self.TALK:
            self.fail(f"the guest got no further in {self.limit * self.TALK} s of processor time, though it talks")
        if time.monotonic() - self.wall > self.limit * self.WALL:
            self.fail(f"the guest got too little of this machine: {used - self.since:.0f} s of it in {self.limit * self.WALL} s")


def _watch(plan, qemu, work):
    patience = Patience(plan, qemu, work)
    serial = work / "serial.log"
    while True:
        truth = truth_of(work)
        patience.check(bool(truth))
        text = serial.read_text(errors="replace") if serial.exists() else ""
        if truth and "refused" in truth:
            raise LabError(f"the fault was not planted: {truth['refused']}")
        there = "LAB: capture kernel, waiting" in text if plan.mode == "qmp-two-kernels" else truth
        if plan.mode.startswith("qmp") and there:
            _hypervisor_dump(plan, work)
            return truth
        if qemu.poll() is not None:
            if plan.kexec and "LAB: dump complete" in text and truth:
                _fetch(plan, work, text)
                return truth
            why = (work / "qemu.log").read_text(errors="replace").strip()
            patience.fail(f"the guest stopped without a dump{': ' + why if why else ''}")
        time.sleep(0.5)


def _fetch(plan, work, text):
    """The dump from the raw disk."""
    disk, dump = work / "disk", work / "dump"
    if plan.writer == "raw":
        size = int(re.search(r"LAB: size (\d+)", text)[1])
        os.truncate(disk, size)
        disk.rename(dump)
        return
    if plan.flattened:
        shutil.copyfile(disk, dump)
        os.truncate(dump, flattened_length(dump))
    else:
        with open(disk, "rb") as source:
            run(["makedumpfile", "-R", dump], "rearranging the flattened dump", stdin=source)
    disk.unlink()


def flattened_length(path):
    """Where the flattened stream ends: header of 4096 bytes, then (offset, size) records up to (-1, -1)."""
    with open(path, "rb") as stream:
        position = 4096
        while True:
            stream.seek(position)
            record = stream.read(16)
            offset, size = (int.from_bytes(record[i : i + 8], "big", signed=True) for i in (0, 8))
            position += 16
            if offset == -1 and size == -1:
                return position
            if size <= 0:
                raise LabError("the flattened dump on the disk is not whole")
            position += size


def _hypervisor_dump(plan, work):
    qmp = Qmp(work / "qmp")
    form = "kdump-zlib" if "kdump" in plan.mode else "elf"

    def take(name):
        qmp("dump-guest-memory", paging=False, protocol=f"file:{work / name}", format=form)

    if plan.mode == "qmp-torn":
        take("first")
        qmp("cont") if qmp("query-status")["status"] == "paused" else None
        time.sleep(1)
        take("second")
        splice(work / "first", work / "second", work / "dump")
    else:
        take("dump")
    qmp("quit")


def splice(first, second, target):
    """The lower half of one dump with the upper half of another: a snapshot that no instant ever showed."""
    size = first.stat().st_size
    if size != second.stat().st_size:
        raise LabError("the two halves differ in size and cannot be spliced")
    half = size // 2 // 4096 * 4096
    with open(first, "rb") as a, open(second, "rb") as b, open(target, "wb") as out:
        shutil.copyfileobj(_Limited(a, half), out, 1 << 20)
        b.seek(half)
        shutil.copyfileobj(b, out, 1 << 20)
    first.unlink()
    second.unlink()


class _Limited:
    def __init__(self, stream, left):
        self.stream, self.left = stream, left

    def read(self, size):
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data


def build_module(kernel, work):
    """The fault module, built against this kernel's headers and its members' offsets."""
    from .layout import header

    tree = work / "module"
    tree.mkdir()
    for source in (HERE / "module").iterdir():
        shutil.copy(source, tree)
    (tree / "layout.h").write_text(header(kernel.members))
    say(f"building the fault module for {kernel.release}")
    kernel.make(tree, "building the fault module")
    return tree / "vmcheck_lab.ko"
