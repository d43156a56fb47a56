"""What is done to a dump after it was made: parts, a cut."""

import json
import os

from .packages import run, say, which


def apply(target, options):
    dump = target / "dump"
    if options.split:
        parts = [target / f"dump.{n}" for n in range(1, options.split + 1)]
        run([which("makedumpfile"), "--split", "-d", options.level, "-c", dump, *parts], "splitting the dump")
        say(f"{target}: in {options.split} parts")
    if options.truncate:
        os.truncate(dump, dump.stat().st_size * options.truncate // 100)
        path = target / "expected.json"
        expected = json.loads(path.read_text())
        expected["truncatedToPercent"] = options.truncate
        if expected["verdict"] == "intact":
            expected.update(verdict="dump-damaged", causes=["dump-truncated"])
        path.write_text(json.dumps(expected, indent=2) + "\n")
