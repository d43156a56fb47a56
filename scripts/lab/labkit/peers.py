"""The tools that are scored: vmcheck, and crash and drgn of the host's Debian and of the newest suite."""

import contextlib
import json
import pathlib
import re
import shlex
import subprocess
import tempfile
import time

from . import LabError
from .host import cache_dir, command, need_packages, program, run as must, which
from .packages import debug_vmlinux_of
from .suites import in_tree_argv, suite

HERE = pathlib.Path(__file__).resolve().parent.parent
DEBIAN_PYTHON = "/usr/bin/python3"  # the one that python3-drgn is installed for
# what crash prints when a freelist or a list does not add up
COMPLAINT = re.compile(r"invalid freepointer|duplicate|cannot gather|invalid (slab|kernel|list|size)|seek error|read error|corrupt")
BATCH = 12  # dumps that one start of vmcheck checks


def run(argv, timeout, text=None):
    """(seconds, output, exit) of a command; a command that does not end is told apart by exit None."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [str(a) for a in argv], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, errors="replace"
        )
        return time.monotonic() - started, done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return time.monotonic() - started, out.decode(errors="replace") if isinstance(out, bytes) else out, None


def number(text):
    try:
        return int(str(text), 16)
    except ValueError:
        return -1


def places(truth):
    """Addresses that name the damage: (first, past the last) of each."""
    words = {number(a) for a in (truth.get("slot"), truth.get("physical"), *truth.get("also", []))} - {-1}
    spans = [(w, w + 1) for w in words]
    if damaged := truth.get("damaged"):
        start = number(damaged["from"])
        spans.append((start, start + damaged["length"]))
        if {"slot", "physical"} <= truth.keys():
            shift = number(truth["physical"]) - number(truth["slot"])
            spans.append((start + shift, start + shift + damaged["length"]))
    return spans


class Vmcheck:
    name = "vmcheck"

    def __init__(self, command, label):
        self.command, self.label = shlex.split(command), label

    compares = True  # not when only kept answers are wanted

    def compared(self, base, new):
        """The exit code of a comparison of two kernels' dumps; None if it did not end."""
        return run([*self.command, "compare", "--policy", "kernel-upgrade", base / "dump", new / "dump"], 600)[2]

    def version(self):
        said = run([*self.command, "--version"], 60)[1].strip().splitlines()
        return f"{said[-1] if said else '?'}{' ' + self.label if self.label else ''}"

    def look_at(self, directories, truths):
        """The answers for some dumps: one start of the program for all of them."""
        started = time.monotonic()
        types = []
        if truths[0]["kernel"].endswith("-nobtf"):  # no types of its own: vmcheck then needs what the others always get
            types = ["--vmlinux", str(debug_vmlinux_of(truths[0]["kernel"]))]
        reports, trouble = {}, ""
        try:
            argv = [*self.command, "check", "--format", "json", *types, *[str(d / "dump") for d in directories]]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=300 + 60 * len(directories))
            trouble = done.stderr.strip()[-150:]
            # one dump: one document; several: a line each
            texts = [done.stdout] if len(directories) == 1 else done.stdout.splitlines()
            for text in texts:
                report = json.loads(text)
                reports[report.get("dump", {}).get("path") or report.get("path") or report.get("file")] = report
        except (subprocess.TimeoutExpired, ValueError, OSError) as error:
            trouble = str(error)[:150]
        seconds = (time.monotonic() - started) / len(directories)
        answers = []
        ordered = list(reports.values())
        for i, (directory, truth) in enumerate(zip(directories, truths)):
            report = reports.get(str(directory / "dump")) or (ordered[i] if len(ordered) == len(directories) else None)
            answers.append(judged(report, truth, seconds) if report else self._none(seconds, trouble))
        return answers

    @staticmethod
    def _none(seconds, why):
        return {"seconds": seconds, "said": f"no report: {why}"[:200], "found": False, "located": False, "cause": False, "extra": 0, "alarm": True}


def judged(report, truth, seconds):
    findings = [f for check in report.get("checks", []) for f in check.get("findings", [])]
    verdict = report.get("verdict", {}).get("kind")
    spans = places(truth)
    named = lambda f: {number(f.get("address")), number(f.get("physical"))} - {-1}  # noqa: E731
    at = [f for f in findings if any(low <= a < high for a in named(f) for low, high in spans)]
    first = (at or findings)[:1]
    return {
        "seconds": seconds,
        "said": f"{verdict}: " + "; ".join(dict.fromkeys(str(f.get("cause")) for f in (*at, *findings))),
        "found": verdict == truth["verdict"],
        "located": bool(at),
        "cause": first[0].get("cause") in truth["causes"] if first else not truth["causes"],
        "extra": len(findings) - len(first),
        "undetermined": verdict == "undetermined",
        "alarm": verdict != "intact" or bool(findings),
    }


class Crash:
    """crash of the host, or of a suite in its toolbox."""

    def __init__(self, where=None):
        self.where = where
        self.name = f"crash-{where}" if where else "crash"
        if where:
            self.tree = suite(where).toolbox("crash", "bash", "coreutils")

    def argv(self, *words):
        inside = self.where and in_tree_argv(self.tree, ["/usr/bin/crash", *words], binds=[cache_dir(), *map(_parent, words)])
        return command(inside or ["crash", *words])

    def version(self):
        said = run(self.argv("--version"), 60)[1].strip().splitlines()
        return said[0] if said else "crash ?"

    def look(self, dump, truth):
        vmlinux = debug_vmlinux_of(truth["kernel"])
        with plain(dump) as file:
            seconds, text, code = run(self.argv("-s", vmlinux, file), 300, "kmem -s\nkmem -S\nquit\n")
            if not text.strip():  # silent, it does not say why it gives up
                text = run(self.argv(vmlinux, file), 300, "quit\n")[1]
        # a table's row starts with an address; what is left of the kmem commands' words is a complaint
        lines = [line.strip() for line in text.splitlines() if COMPLAINT.search(line) and line.lstrip().startswith(("kmem", "crash"))]
        ended = code == 0 and "CACHE" in text and "invalid structure member" not in text
        return peer_answer(seconds, lines, ended, "CACHE" in text, text, truth)


class Drgn:
    """drgn of the host, or of a suite in its toolbox."""

    def __init__(self, where=None):
        self.where = where
        self.name = f"drgn-{where}" if where else "drgn"
        if where:
            self.tree = suite(where).toolbox("python3-drgn", "python3", "bash", "coreutils")
        elif run(command([DEBIAN_PYTHON, "-c", "import drgn"]), 60)[2]:
            need_packages(["python3-drgn"])

    def argv(self, *words):
        if not self.where:
            return command([DEBIAN_PYTHON, *words])
        return command(in_tree_argv(self.tree, ["/usr/bin/python3", *words], binds=[cache_dir(), HERE, *map(_parent, words)]))

    def version(self):
        return "drgn " + run(self.argv("-c", "import drgn; print(drgn.__version__)"), 60)[1].strip()

    def look(self, dump, truth):
        vmlinux = debug_vmlinux_of(truth["kernel"])
        with plain(dump) as file:
            seconds, text, _ = run(self.argv(HERE / "labkit/drgn_slabs.py", file, vmlinux), 300)
        lines = [line for line in text.splitlines() if line.startswith("COMPLAINT")]
        ended = "END" in text.split()
        return peer_answer(seconds, lines, ended, "BEGIN" in text.split(), text, truth)


def _parent(word):
    path = pathlib.Path(str(word))
    return path.parent if path.is_absolute() else cache_dir()


@contextlib.contextmanager
def plain(dump):
    """The dump as the peers can read it: QEMU writes kdumps flattened, which not all of them know."""
    with open(dump, "rb") as stream:
        flattened = stream.read(12) == b"makedumpfile"
    if not flattened:
        yield dump.absolute()
        return
    with tempfile.TemporaryDirectory(dir=cache_dir()) as work:
        with open(dump, "rb") as source:
            must(["makedumpfile", "-R", f"{work}/dump"], "rearranging the flattened dump", stdin=source)
        yield pathlib.Path(work) / "dump"


def telling(text):
    """The words of a tool that gave up, those that say why first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    why = [line for line in lines if re.search(r"rror|cannot|invalid|not supported|[Uu]nknown", line)]
    return " ".join((why or lines)[-2:])[:190] or "it said nothing"


def peer_answer(seconds, lines, ended, started, text, truth):
    slot = truth.get("slot", "0xno")[2:]
    return {
        "seconds": seconds,
        "said": "; ".join(sorted(set(lines)))[:200] or ("nothing" if ended else f"did not {'end' if started else 'start'}: {telling(text)}"),
        # an exception or an endless loop on the damage is a complaint; a tool that did not begin found nothing
        "found": started and (bool(lines) or (not ended and bool(truth["causes"]))),
        "started": started,
        "located": any(slot in line for line in lines),
        "cause": False,  # they name none
        "extra": 0,
        "alarm": bool(lines) or not ended,
        "ended": ended,
    }


def tool(name, options):
    """The tool of a name on the command line: vmcheck, crash, drgn, crash-SUITE, drgn-SUITE."""
    kind, _, where = name.partition("-")
    if kind == "vmcheck":
        made = Vmcheck(options.vmcheck, options.label)
        made.compares = not options.kept
        if not which(made.command[0]):
            raise LabError(f"vmcheck is not here: {made.command[0]}")
        return made
    if kind not in ("crash", "drgn"):
        raise LabError(f"no such tool: {name}")
    if kind == "crash" and not where:
        program("crash")
    return {"crash": Crash, "drgn": Drgn}[kind](where or None)


__all__ = ["tool", "must"]
