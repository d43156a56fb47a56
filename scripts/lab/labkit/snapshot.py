"""Many cases out of one boot: the guest is kept as a snapshot at the moment when its module waits for the fault's words."""

import json
import re
import socket
import time

from . import LabError, lkdtm
from .guest import Patience, Qmp, end, start
from .host import run, say


class Session:
    """A booted guest; each case starts from the same instant of it."""

    def __init__(self, plan, kernel, module, work):
        self.plan, self.work, self.heard = plan, work, b""
        plan.wait, plan.vmcoreinfo = True, True
        run(["qemu-img", "create", "-q", "-f", "qcow2", work / "state", "16G"], "making the snapshot's file")
        self.qemu = start(plan, kernel, module, work)
        try:
            self.line = self._connect(work / "words")
            self._until(b"VMCHECK-READY\n")
            self.qmp = Qmp(work / "qmp")
            self._monitor("savevm armed")
            form = self.qmp("query-dump-guest-memory-capability")["formats"]
            self.form = "kdump-lzo" if "kdump-lzo" in form else "kdump-zlib"
        except BaseException:
            end(self.qemu)
            raise
        self.serial = (work / "serial.log").read_text(errors="replace")

    def close(self):
        end(self.qemu)

    def _connect(self, path):
        for _ in range(600):
            try:
                line = socket.socket(socket.AF_UNIX)
                line.connect(str(path))
                line.settimeout(0.3)
                return line
            except OSError:
                if self.qemu.poll() is not None:
                    break
                time.sleep(0.1)
        raise LabError("QEMU did not start: " + (self.work / "qemu.log").read_text(errors="replace").strip()[-300:])

    def _until(self, wanted):
        """What the guest says on the second port, up to a line that begins as wanted."""
        patience = Patience(self.plan, self.qemu, self.work)
        while True:
            for at in range(len(lines := self.heard.split(b"\n")) - 1):
                if (lines[at] + b"\n").startswith(wanted):
                    self.heard = b"\n".join(lines[at + 1 :])
                    return lines[at].decode(errors="replace")
            try:
                more = self.line.recv(4096)
            except TimeoutError:
                more = None
            if more == b"" or self.qemu.poll() is not None:
                raise LabError("the guest went away: " + (self.work / "qemu.log").read_text(errors="replace").strip()[-300:])
            self.heard += more or b""
            patience.check(len(self.heard))

    def _monitor(self, line):
        said = self.qmp("human-monitor-command", **{"command-line": line})
        if said.strip():
            raise LabError(f"QEMU refused {line}: {said.strip()}")

    def take(self, plan, work):
        """One case from the snapshot: its words in, its dump out. Returns the module's truth."""
        plan.wait = plan.vmcoreinfo = True
        self.qmp("stop")
        self._monitor("loadvm armed")
        self.heard = b""
        self.qmp("cont")
        words = plan.fault_words().replace(",", " ").replace("wait=1", "").strip()
        before = (self.work / "serial.log").stat().st_size
        self.line.sendall(words.encode() + b"\n")
        if plan.lkdtm:
            truth = self._provoked(plan.fault.removeprefix("lkdtm-"), before)
        else:
            truth = json.loads(self._until(b"VMCHECK-TRUTH ")[len("VMCHECK-TRUTH ") :])
        if "refused" in truth:
            raise LabError(f"the fault was not planted: {truth['refused']}")
        if plan.fault.startswith("healthy"):
            time.sleep(0.5)  # it works on a little: the dump is of a running guest
        self.qmp("stop")
        self.qmp("dump-guest-memory", paging=False, protocol=f"file:{work / 'dump'}", format=self.form)
        (work / "serial.log").write_text((self.work / "serial.log").read_text(errors="replace"))
        (work / "qemu.cmd").write_text((self.work / "qemu.cmd").read_text())
        return truth

    def _provoked(self, test, before):
        """Waits until the kernel has told of the test and is quiet; its words are the truth, with what memory shows."""
        patience, said, since = Patience(self.plan, self.qemu, self.work), "", time.monotonic()
        while not (f"direct entry {test}" in said and time.monotonic() - since > 2):
            text = (self.work / "serial.log").read_bytes()[before:].decode(errors="replace")
            if text != said:
                said, since = text, time.monotonic()
            if self.qemu.poll() is not None or "Rebooting in" in said:
                raise LabError(f"{test} made the kernel panic: it was not planted in a guest that can be dumped")
            patience.check(len(said))
            time.sleep(0.2)
        dull = re.compile(r"Code:|\] (R[0-9A-Z]+|CR2|CS|FS|PKRU):|Object   |Redzone  |Padding  |^LAB:")
        lines = [line.rstrip() for line in said.splitlines() if not dull.search(line)][:30]
        return lkdtm.place(lines, {"fault": "lkdtm", "what": test, "provoked": True, "said": lines})


__all__ = ["Session", "say"]
