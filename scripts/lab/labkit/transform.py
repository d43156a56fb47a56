"""What is done to a whole dump before its case is finished: parts, a cut."""

import os

from .host import run, say


def apply(work, options, expected):
    dump = work / "dump"
    if options.split:
        parts = [work / f"dump.{n}" for n in range(1, options.split + 1)]
        # small blocks: with makedumpfile's own of 1 GiB all pages of a small guest are in the first part
        block = ["--splitblock-size", 16]
        run(["makedumpfile", "-c", "-d", options.level, "--split", *block, dump, *parts], "splitting the dump")
        for part in parts:
            part.chmod(0o644)
        expected["parts"] = [part.name for part in parts]
        say(f"in {options.split} parts")
    if options.truncate:
        os.truncate(dump, dump.stat().st_size * options.truncate // 100)
        expected["truncatedToPercent"] = options.truncate
        if expected["verdict"] == "intact":
            expected.update(verdict="dump-damaged", causes=["dump-truncated"])
