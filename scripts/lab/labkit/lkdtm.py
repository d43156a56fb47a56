"""Faults that the kernel provokes in itself: LKDTM, built from the source of the kernel's own suite."""

import pathlib
import re
import shutil
import tempfile

from . import LabError
from .host import cache_dir, run, say

TABLE = pathlib.Path(__file__).resolve().parent.parent / "lkdtm.tsv"


def tests():
    """Rows of the table: test, condition, verdict, causes, what it leaves; the first row that fits a guest counts."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return rows


def names():
    return list(dict.fromkeys(row[0] for row in tests()))


def row_for(test, conditions):
    """The row of a test for a guest of these conditions (words such as sheaves, FZPU, zero, 6.12)."""
    for row in tests():
        if row[0] == test and all((w[1:] not in conditions) if w[0] == "!" else w in conditions for w in row[1].split() if w != "-"):
            return row
    return None


def module(kernel):
    """lkdtm.ko for this kernel; None with a line when the suite lacks what it needs."""
    ready = cache_dir() / "module" / f"{kernel.release}-lkdtm.ko"
    if ready.exists():
        return ready
    if not kernel.headers() or kernel.modules is None:
        raise LabError(f"no LKDTM for {kernel.release}: its suite has no headers")
    ready.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as work:
        work = pathlib.Path(work)
        deb = kernel.suite.download(f"linux-source-{kernel.series}")
        say(f"taking lkdtm out of {deb.name}")
        script = (
            'dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "./usr/src/linux-source-*.tar.xz"'
            ' | tar -xJ -C "$2" --strip-components=4 --wildcards "*/drivers/misc/lkdtm/*"'
        )
        tree = work / "lkdtm"
        tree.mkdir()
        run(["sh", "-c", script, "sh", deb, tree], f"unpacking {deb.name}")
        bugs = tree / "bugs.c"  # exported only to a kernel that has LKDTM: the test that wants it is not run here
        text = bugs.read_text().replace("native_write_cr4", "lab_write_cr4")
        own = "static void lab_write_cr4(unsigned long v) { asm volatile(\"mov %0, %%cr4\" : : \"r\"(v)); }\n"
        bugs.write_text(own + text)
        say(f"building LKDTM for {kernel.release}")
        kernel.make(tree, "building LKDTM", "CONFIG_LKDTM=m")
        shutil.move(tree / "lkdtm.ko", ready)
    return ready


def place(said, truth):
    """The damaged word, where the kernel told its address."""
    text = "\n".join(said)
    if m := re.search(r"Attempting bad write to freed memory at (?:0x)?([0-9a-f]{16})", text):
        at = int(m[1], 16)
        truth["slot"] = hex(at & ~7)
        truth["damaged"] = {"from": hex(at), "length": 4}
    elif m := re.search(r"(?:Redzone|Poison) overwritten\s*\n?.*?0x([0-9a-f]{16})", text, re.DOTALL):
        truth["reported"] = "0x" + m[1]
    return truth
